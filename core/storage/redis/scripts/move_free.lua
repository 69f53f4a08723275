#!lua flags=allow-oom
-- What nobody runs any more at the source of a move is given to `consumer`, or waits again, with
-- one crash counted.
-- KEYS: stream retry records claims
-- ARGV: group consumer hold, then the nodes that may still run something.
-- Answers: {freed, still running}.
-- If a command fails: the jobs before it are freed, the others by the next call.
-- include record
local s, r, h, c = unpack(KEYS)
local g, me, hold, alive, n, left = ARGV[1], ARGV[2], tonumber(ARGV[3]), {}, 0, 0
for i = 4, #ARGV do alive[ARGV[i]] = true end
local p = redis.pcall('XPENDING', s, g, '-', '+', 500)
for _, e in ipairs(p.err and {} or p) do
  if e[2] ~= me then
    if not alive[e[2]] or e[3] > hold then
      redis.call('XCLAIM', s, g, me, 0, e[1], 'RETRYCOUNT', e[4] + 1, 'JUSTID')
      n = n + 1
    else
      left = left + 1
    end
  end
end
local claims = redis.call('HGETALL', c)
for i = 1, #claims, 2 do
  local id, node = claims[i], claims[i + 1]
  if alive[node] then
    left = left + 1
  else
    local m = redis.call('HGET', h, id)
    if m then
      local f, cr, first, at, code, field, nd, msg = parse(m)
      redis.call('HSET', h, id, record(f, tonumber(cr) + 1, first, at, code, field, nd, msg))
    end
    redis.call('ZADD', r, 'XX', 0, id)
    redis.call('HDEL', c, id)
    n = n + 1
  end
end
return {n, left}
