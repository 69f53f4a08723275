#!lua flags=allow-oom
-- Takes over an act that belongs to nobody: its lease ran out, or an earlier process of this node
-- had it. One that has ended is taken over when nobody can undo it any more, to be tidied up.
-- KEYS: act
-- ARGV: owner node lease
-- Answers: its fields and values, or {}.
-- If a command fails: its lease runs out again, and the next look finds it.
-- include clock
-- include free
local now, a = clock(), KEYS[1]
local v = redis.call('HMGET', a, 'owner', 'until', 'state', 'undo_ms')
local till = tonumber(v[4] or 0)
local runs = v[3] == 'running'
if not (runs or (till > 0 and till <= now)) or not free(v[1], v[2], now, ARGV[2], ARGV[1]) then
  return {}
end
if not runs then redis.call('HSET', a, 'undo_ms', 1) end
redis.call('HSET', a, 'owner', ARGV[1], 'until', ms(now + tonumber(ARGV[3])))
redis.call('HINCRBY', a, 'epoch', 1)
return redis.call('HGETALL', a)
