#!lua flags=allow-oom
-- Notes from when on this node stores jobs of those topics that are in another storage also there:
-- what is added later to a group that is still here is not for a move to carry.
-- KEYS: stream left
-- ARGV: shard last-id, then for each topic: 1 here, 0 in another storage, and its name.
-- Answers: 1.
-- If a command fails: the marks before it are written, and the call comes again.
local have = {}
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, g in ipairs(groups.err and {} or groups) do have[g[2]] = true end
for i = 3, #ARGV, 2 do
  local key = KEYS[2]..ARGV[i + 1]
  if ARGV[i] == '1' then
    redis.call('HDEL', key, ARGV[1])
  elseif have[ARGV[i + 1]] then
    redis.call('HSETNX', key, ARGV[1], ARGV[2])
  end
end
return 1
