#!lua flags=no-writes,allow-oom
-- Tells some documents of a kind.
-- KEYS: prefix of the documents' keys
-- ARGV: bytes (no further one after those that have so many), then ids
-- Answers: {the server's clock in ms, then bytes and remaining ms of each: -1 it stays, -2 there is
--   none}.
-- If a command fails: it writes nothing.
-- include clock
local out, left = {ms(clock())}, tonumber(ARGV[1])
for i = 2, #ARGV do
  local v = redis.call('GET', KEYS[1]..ARGV[i])
  out[#out + 1] = v or ''
  out[#out + 1] = v and redis.call('PTTL', KEYS[1]..ARGV[i]) or -2
  left = left - #(v or '') - 50
  if left <= 0 then break end
end
return out
