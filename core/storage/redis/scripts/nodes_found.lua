#!lua flags=allow-oom
-- Nodes that have jobs and are in no registry enter it: they are dead if they do not renew.
-- KEYS: nodes beats
-- ARGV: lease_ms name ...
-- Answers: how many did.
-- If a command fails: the next census finds them again.
local n, up = 0, redis.call('HGET', KEYS[2], '@up') or '0'
for i = 2, #ARGV do
  n = n + redis.call('HSETNX', KEYS[1], ARGV[i], '0 0 - - 0 0 0 -')
  redis.call('HSETNX', KEYS[2], ARGV[i], up..' '..ARGV[1])
end
return n
