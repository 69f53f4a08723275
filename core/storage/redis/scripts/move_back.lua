#!lua flags=allow-oom
-- Of a move that was cancelled: what the act has in hand and did not move waits at the source
-- again, due at once. Nobody looks into the hands of an act that has ended.
-- KEYS: stream retry records bodies
-- ARGV: group consumer limit bytes
-- Answers: {how many, is that all}.
-- If a command fails: bytes, record and set are written before the entry is acknowledged, so the
--   next call meets the entry again.
-- include record
-- include clock
-- include job_id
local s, r, h, b = unpack(KEYS)
local g, me, limit, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now, n = ms(clock()), 0
-- The id of what cannot be decoded, as when a node meets it.
local function made(entry)
  local m, q = string.match(entry, '^(%d+)%-(%d+)$')
  local low = (tonumber(m) % 1e5) * 16384 + tonumber(q) % 16384
  local high = math.floor(tonumber(m) / 1e5) * 16384 + math.floor(low / 1e5)
  return string.format('%.0f%05.0f', high, low % 1e5)
end
local p = redis.pcall('XPENDING', s, g, '-', '+', limit, me)
if p.err then return string.find(p.err, 'NOGROUP', 1, true) and {0, 1} or p end
for _, o in ipairs(p) do
  if bytes <= 0 then break end
  local e = redis.call('XRANGE', s, o[1], o[1])[1]
  if e then
    local field, body = e[2][1], e[2][2]
    local id = job(field, body) or made(o[1])
    if redis.call('HEXISTS', h, id) == 0 then
      redis.call('HSET', b, id, body)
      redis.call('HSET', h, id, record(0, math.max(0, o[4] - 1), now, now, 0, field, '', ''))
      redis.call('ZADD', r, 0, id)
    end
    bytes = bytes - #body
  end
  redis.call('XACK', s, g, o[1])
  n = n + 1
end
local over = n == #p and n < limit
if over then redis.pcall('XGROUP', 'DELCONSUMER', s, g, me) end
return {n, over and 1 or 0}
