-- Deletes what every group has had and settled, and with a bound nothing younger.
-- KEYS: stream
-- ARGV: oldest ms to keep ('' for none)
-- Answers: how many.
-- If a command fails: nothing has happened.
-- include low
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err or not groups[1] then return 0 end
local m, q, _, len = low(KEYS[1], groups, tonumber(ARGV[1]), 0)
return trim(KEYS[1], m, q, len)
