-- An edited copy takes the place of a retry or dead job that does not run. The copy is due at once
-- and has its attempts back.
-- KEYS: retry dead records bodies claims
-- ARGV: set id new-id body
-- Answers: 1, 0: there is no such job, or it runs. 1 as well where the copy is there already.
-- If a command fails: bytes, record and set of the copy are written first. Then the job is there
--   beside its copy, and the call comes again.
-- include record
local r, x, h, b, c = unpack(KEYS)
local set, id, new = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local dead = set ~= 1 and redis.call('ZSCORE', x, id)
local waits = set ~= 2 and redis.call('ZSCORE', r, id)
if not (dead or waits) then return redis.call('HEXISTS', h, new) end
if redis.call('HEXISTS', c, id) == 1 then return 0 end
if redis.call('HEXISTS', h, new) == 0 then
  local _, _, first, at, code, field, node, msg = parse(redis.call('HGET', h, id) or lost_record('0'))
  if string.sub(first, 1, 1) ~= '0' then first = '0'..first end
  redis.call('HSET', b, new, ARGV[4])
  redis.call('HSET', h, new, record(0, 0, first, at, code, field, node, msg))
end
redis.call('ZADD', r, 0, new)
redis.call('ZREM', x, id)
redis.call('ZREM', r, id)
redis.call('HDEL', h, id)
redis.call('HDEL', b, id)
return 1
