#!lua flags=no-writes,allow-oom
-- Tells the depth of some topics of one queue. XINFO GROUPS tells of all groups and costs that
-- much, so the topics of a queue are looked at together.
-- KEYS: stream delayed paused counted, then retry dead claims of each topic
-- ARGV: run topics
-- Answers: for each topic, one behind the other: ready, running, waiting retries, dead, delayed,
--   bytes, next due, oldest, paused (-1: its group is not there), whether `ready` is an upper bound
--   only, its name if it is to be counted or ''.
-- If a command fails: it writes nothing.
-- include near
local s, d, out, groups = KEYS[1], KEYS[2], {}, {}
local all = redis.pcall('XINFO', 'GROUPS', s)
for _, g in ipairs(all.err and {} or all) do groups[g[2]] = g end
local bytes = redis.call('MEMORY', 'USAGE', s) or 0
local len, left, page = redis.call('XLEN', s), 2000
local delayed = redis.call('ZCARD', d)
local function first(z, due)
  local e = redis.call('ZRANGE', z, 0, 0, 'WITHSCORES')
  if not e[2] then return due end
  local at = math.max(1, tonumber(e[2]))
  return (due == 0 or at < due) and at or due
end
local moves = first(d, 0)
for i = 2, #ARGV do
  local t = ARGV[i]
  local r, x, c = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local g, lag, pending, most, name, oldest = groups[t], 0, 0, 0, ''
  if g then
    lag, pending = g[12], g[6]
    if not lag or redis.call('HGET', KEYS[4], t) ~= ARGV[1] then
      local ahead
      if left > 0 then
        page = page or slice(s, len, 65536, 100)
        ahead = near(s, g[8], len, page)
        left = left - 2 * page
      end
      most, name = ahead and 0 or 1, not lag and holes(s, g[8]) and '' or t
      lag = ahead or math.max(0, math.min(lag or len, len - pending))
    end
    if pending > 0 then
      oldest = redis.call('XPENDING', s, t, '-', '+', 1)[1][1]
    elseif lag > 0 then
      local e = redis.call('XRANGE', s, '('..g[8], '+', 'COUNT', 1)[1]
      oldest = e and e[1]
    end
  end
  local claimed, k = redis.call('HLEN', c), #out
  out[k + 1], out[k + 2] = lag, pending + claimed
  out[k + 3] = math.max(0, redis.call('ZCARD', r) - claimed)
  out[k + 4], out[k + 5] = redis.call('ZCARD', x), delayed
  out[k + 6], out[k + 7] = g and bytes or 0, first(r, moves)
  out[k + 8] = oldest and tonumber(string.match(oldest, '^%d+')) or 0
  out[k + 9] = g and (redis.call('HGET', KEYS[3], t) or '') or -1
  out[k + 10], out[k + 11] = most, name
end
return out
