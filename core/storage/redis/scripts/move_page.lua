#!lua flags=allow-oom
-- Reads the next batch of what a topic holds, to be moved. Entries it has read are pending for
-- `consumer`.
-- KEYS: stream retry dead records bodies claims left groups
-- ARGV: group consumer limit bytes new
-- Answers: {the marks of nodes that left the source, where the group `new` begins in this stream or
--   '', then place id score record field body times of each}. Places: s ready (a stream entry), r
--   waiting for a retry, x dead; of move_delayed.lua d delayed for the whole queue, c delayed,
--   copied for this topic alone.
-- If a command fails: what was read is pending for `consumer`, and the next page begins with it.
local s, r, x, h, b, c = unpack(KEYS)
local g, me, limit, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {redis.call('HGETALL', KEYS[7]), redis.call('HGET', KEYS[8], ARGV[5]) or ''}
local function give(place, id, score, record, field, body, times)
  local k = #out
  out[k + 1], out[k + 2], out[k + 3], out[k + 4] = place, id, score, record
  out[k + 5], out[k + 6], out[k + 7] = field, body, times
  limit, bytes = limit - 1, bytes - #body
end
local function room() return limit > 0 and bytes > 0 end
for place, z in pairs({x = x, r = r}) do
  local e = room() and redis.call('ZRANGE', z, 0, limit - 1, 'WITHSCORES') or {}
  for i = 1, #e, 2 do
    if room() and (place == 'x' or redis.call('HEXISTS', c, e[i]) == 0) then
      give(place, e[i], e[i + 1], redis.call('HGET', h, e[i]) or '', '',
           redis.call('HGET', b, e[i]) or '', 0)
    end
  end
end
local function entry(id, times)
  local e = redis.call('XRANGE', s, id, id)[1]
  if e then give('s', id, 0, '', e[2][1], e[2][2], times)
  else redis.call('XACK', s, g, id) end
end
local own = room() and redis.pcall('XPENDING', s, g, '-', '+', limit, me) or {}
for _, p in ipairs(own.err and {} or own) do
  if room() then entry(p[1], p[4]) end
end
while room() do
  local a = redis.pcall('XREADGROUP', 'GROUP', g, me, 'COUNT', 1, 'STREAMS', s, '>')
  if not a or a.err or not a[1] then break end
  local e = a[1][2][1]
  give('s', e[1], 0, '', e[2][1], e[2][2], 1)
end
return out
