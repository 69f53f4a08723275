#!lua flags=allow-oom
-- Enters a new act.
-- KEYS: act acts open
-- ARGV: id owner lease kind, then fields and values.
-- Answers: {1, id}; {0, id} that one moves the same jobs already; {2, id} too many are under way.
-- If a command fails: the act is in no list and nobody works at it, or it is entered and the
--   operator hears an error.
-- include clock
local KEEP_MS, KEEP_MAX = 604800000, 1000 -- seven days
local now, id = clock(), ARGV[1]
local open = redis.call('SMEMBERS', KEYS[3])
if #open >= KEEP_MAX then return {2, ''} end
local new = {}
for i = 5, #ARGV, 2 do new[ARGV[i]] = ARGV[i + 1] end
if ARGV[4] == 'move' then
  for _, o in ipairs(open) do
    local v = redis.call('HMGET', 'pb:{@}:act:'..o, 'kind', 'queue', 'topic', 'from')
    if v[1] == 'move' and v[2] == new.queue and v[3] == new.topic and v[4] == new.from then
      return {0, o}
    end
  end
end
redis.call('HSET', KEYS[1], 'id', id, 'kind', ARGV[4], 'state', 'running', 'done', 0, 'of', 0,
           'started', ms(now), 'changed', ms(now), 'owner', ARGV[2],
           'until', ms(now + tonumber(ARGV[3])), 'epoch', 1, unpack(ARGV, 5))
redis.call('ZADD', KEYS[2], ms(now), id)
redis.call('SADD', KEYS[3], id)
local function forget(ids)
  for _, o in ipairs(ids) do
    if redis.call('SISMEMBER', KEYS[3], o) == 0 then
      redis.call('DEL', 'pb:{@}:act:'..o)
      redis.call('ZREM', KEYS[2], o)
    end
  end
end
forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms(now - KEEP_MS), 'LIMIT', 0, 100))
local many = redis.call('ZCARD', KEYS[2]) - KEEP_MAX
if many > 0 then forget(redis.call('ZRANGE', KEYS[2], 0, many - 1)) end
return {1, id}
