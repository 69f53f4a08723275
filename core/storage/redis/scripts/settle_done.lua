#!lua flags=allow-oom
-- Settles jobs that went well.
-- KEYS: stream
-- ARGV: spare want group, then the entries. spare, want: see parts/forget.lua.
-- Answers: how many it acknowledged, or {that, what tidy() says}.
-- If a command fails: XACK: nothing has happened, and the batch comes again. What is deleted then
--   may fail: the entries stay in the stream, settled.
-- include forget
local n = redis.call('XACK', KEYS[1], unpack(ARGV, 3))
local said = tidy(KEYS[1], ARGV[3], ARGV, 4, tonumber(ARGV[1]), tonumber(ARGV[2]))
return said and {n, said} or n
