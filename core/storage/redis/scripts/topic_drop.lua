-- Deletes a topic: its group, and all keys of its own.
-- KEYS: stream paused retry dead (records bodies claims errors minutes hours signatures)
-- ARGV: topic retain
-- Answers: how many jobs were dropped, -1 where there was nothing of it.
-- If a command fails: what is left is dropped by the next call.
--
-- With the last group its jobs go as well: what lies in a stream without groups counts as new.
-- Where there was no group to destroy the jobs are not its own: the groups of the others may only
-- be gone for the moment.
-- include dropped
local n, was = redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]), false
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, g in ipairs(groups.err and {} or groups) do
  if g[2] == ARGV[1] then
    local len = redis.call('XLEN', KEYS[1])
    n = n + math.min((g[12] or len) + g[6], len)
    redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
    was = true
  end
end
if was and ARGV[2] ~= '1' and
   not redis.call('XINFO', 'GROUPS', KEYS[1])[1] then
  redis.call('UNLINK', KEYS[1])
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', string.sub(KEYS[1], 1, -2)..'n', ARGV[1])
if was then dropped(KEYS[1], ARGV[1]) end
local keys = redis.call('UNLINK', unpack(KEYS, 3))
return (was or keys > 0) and n or -1
