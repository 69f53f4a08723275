-- Enters failed jobs that come from elsewhere. A dead job lies by the time of its last failure.
-- KEYS: retry dead records bodies claims
-- ARGV: field, then for each: kind (r retry, x dead) id due failed crashes first at code node message
--   body. A time 0, and one that is still to come, is now.
-- Answers: {imported, there already}.
-- If a command fails: the jobs before it are imported. Of the job at hand the bytes and the record
--   are written before the set; mend.lua gives it its place, or the call comes again.
-- include record
-- include clock
local r, x, h, b, c = unpack(KEYS)
local field, now, n, there = ARGV[1], clock(), 0, 0
local function time(text)
  local at = tonumber(text)
  return ms(at > 0 and math.min(at, now) or now)
end
for i = 2, #ARGV, 11 do
  local kind, id, due, failed, crashes = unpack(ARGV, i, i + 4)
  local first, at, code, node, msg, body = unpack(ARGV, i + 5, i + 10)
  if redis.call('ZSCORE', r, id) or redis.call('ZSCORE', x, id) or
     redis.call('HEXISTS', c, id) == 1 then
    there = there + 1
  else
    at = time(at)
    redis.call('HSET', b, id, body)
    redis.call('HSET', h, id, record(failed, crashes, time(first), at, code, field, node, msg))
    if kind == 'x' then redis.call('ZADD', x, at, id) else redis.call('ZADD', r, due, id) end
    n = n + 1
  end
end
return {n, there}
