-- Tells the server's clock, and the acts that belong to nobody.
-- KEYS: open begun
-- ARGV: owner node
-- Answers: {the server's clock in ms, then ids of acts}.
-- If a command fails: it writes nothing.
-- include clock
-- include ownerless
local now = clock()
local out = {ms(now)}
ownerless(out, KEYS[1], KEYS[2], now, ARGV[2], ARGV[1])
return out
