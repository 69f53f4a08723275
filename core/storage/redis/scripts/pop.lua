#!lua flags=allow-oom
-- Takes one job for good, for a pull worker.
-- KEYS: stream retry records bodies claims
-- ARGV: group node now retain want
-- Answers: {} or {id failed crashes field body[, what tidy() says]}.
-- If a command fails: XACK: the job is in this node's pending list, from which it is taken over.
--   ZREM: the job waits where it is. What else is deleted of it then may stay, for the job is given
--   away by now.
-- include forget
-- include record
local s, r, h, b, c = unpack(KEYS)
local a = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', s, '>')
if a and a[1] and a[1][2][1] then
  local e = a[1][2][1]
  redis.call('XACK', s, ARGV[1], e[1])
  local said
  if ARGV[4] ~= '1' then said = tidy(s, ARGV[1], {e[1]}, 1, 0, tonumber(ARGV[5])) end
  return {'0', 0, 0, e[2][1], e[2][2], said}
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', r, '-inf', ARGV[3], 'LIMIT', 0, 10)) do
  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)
  redis.call('ZREM', r, id)
  redis.pcall('HDEL', h, id)
  redis.pcall('HDEL', b, id)
  redis.pcall('HDEL', c, id)
  if body then
    local f, cr, first, _, _, field = parse(m or lost_record(0))
    return {id, tonumber(f), tonumber(cr), shown(field, first), body}
  end
end
return {}
