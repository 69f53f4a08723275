#!lua flags=allow-oom
-- Delayed jobs whose time has come enter the stream.
-- KEYS: stream delayed delayed-jobs
-- ARGV: now count bytes (no further job after those that have so many)
-- Answers: {moved, next due, lost}.
-- If a command fails: XADD: the job waits where it is. ZREM: the entry is deleted again, or the
--   next call would add the job once more, and so on. The bytes are deleted last: left behind they
--   are only bytes.
-- include try
local s, d, j = unpack(KEYS)
local moved, lost, left = 0, 0, tonumber(ARGV[3])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', d, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local v = redis.call('HGET', j, id)
  if v then
    local p = string.find(v, '\n', 1, true) or 0
    local field = p > 1 and string.sub(v, 1, p - 1) or '?'
    local entry = redis.call('XADD', s, '*', field, string.sub(v, p + 1))
    local e = try('ZREM', d, id)
    if e then
      redis.pcall('XDEL', s, entry)
      return e
    end
    redis.pcall('HDEL', j, id)
    moved, left = moved + 1, left - #v
    if left <= 0 then break end
  else
    redis.call('ZREM', d, id)
    lost = lost + 1
  end
end
local e = redis.call('ZRANGE', d, 0, 0, 'WITHSCORES')
return {moved, e[2] and math.max(1, tonumber(e[2])) or 0, lost}
