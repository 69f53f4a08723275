#!lua flags=allow-oom
-- Gives up the lease of a node's name. A node that leaves jobs behind stays in the registry, so
-- that the others take them over, and at once.
-- KEYS: lease nodes beats
-- ARGV: name instance jobs
-- Answers: 1, or 0 where the lease was not this node's.
-- If a command fails: the lease ends by itself.
local cur = redis.call('GET', KEYS[1])
if cur and cur ~= ARGV[2] then return 0 end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[3], ARGV[1], 'left')
else
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
end
return redis.call('DEL', KEYS[1])
