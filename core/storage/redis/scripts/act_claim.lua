#!lua flags=allow-oom
-- Takes over an act that belongs to nobody: its lease ran out, or an earlier process of this node
-- had it.
-- KEYS: act
-- ARGV: owner node lease
-- Answers: its fields and values, or {}.
-- If a command fails: its lease runs out again, and the next look finds it.
-- include clock
-- include free
local now, a = clock(), KEYS[1]
local v = redis.call('HMGET', a, 'owner', 'until', 'state')
if v[3] ~= 'running' or not free(v[1], v[2], now, ARGV[2], ARGV[1]) then return {} end
redis.call('HSET', a, 'owner', ARGV[1], 'until', ms(now + tonumber(ARGV[3])))
redis.call('HINCRBY', a, 'epoch', 1)
return redis.call('HGETALL', a)
