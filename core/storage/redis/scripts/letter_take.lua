#!lua flags=allow-oom
-- Takes all letters of a node.
-- KEYS: letters
-- ARGV: ms: older ones are not given out
-- Answers: entry and bytes of each, the oldest first.
-- If a command fails: nothing has happened.
-- include clock
local out = {}
for _, e in ipairs(redis.call('XRANGE', KEYS[1], ms(clock() - tonumber(ARGV[1])), '+')) do
  out[#out + 1], out[#out + 2] = e[1], e[2][4]
end
redis.call('DEL', KEYS[1])
return out
