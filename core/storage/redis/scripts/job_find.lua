-- Tells where a job of a queue is.
-- KEYS: stream delayed
-- ARGV: id, the first bytes of its stored form, when it entered the stream (ms).
-- Answers: {is that all, then topic place node since times due crashes of each}. Places: delayed (of
--   the queue: no topic), ready, running, retry, dead, settled.
-- If a command fails: it writes nothing.
-- include clock
-- include entry_of
-- include low
local s, keys, id = KEYS[1], string.sub(KEYS[1], 1, -2), ARGV[1]
local out, left = {1}, {}
local function give(topic, place, node, since, times, due, crashes)
  for _, v in ipairs({topic, place, node, since, times, due, crashes}) do out[#out + 1] = v end
end
local due = redis.call('ZSCORE', KEYS[2], id)
if due then give('', 'delayed', '', 0, 0, due, 0) end
local groups = redis.pcall('XINFO', 'GROUPS', s)
for _, g in ipairs(groups.err and {} or groups) do
  local t = g[2]
  local node = redis.call('HGET', keys..'c:'..t, id)
  local died = redis.call('ZSCORE', keys..'x:'..t, id)
  local waits = redis.call('ZSCORE', keys..'r:'..t, id)
  if node or died or waits then
    local m = redis.call('HGET', keys..'h:'..t, id) or ''
    local f, crashes = string.match(m, '^(%d+) (%d+) ')
    give(t, node and 'running' or died and 'dead' or 'retry', node or '', 0, f or 0,
         died or waits or 0, crashes or 0)
  elseif t ~= '@' then
    left[#left + 1] = g
  end
end
if not left[1] or due then return out end
local entry, certain = entry_of(s, ARGV[2], ARGV[3])
if not entry then
  out[1] = certain and 1 or 0
  return out
end
local m, q = parts(entry)
for _, g in ipairs(left) do
  local p = redis.call('XPENDING', s, g[2], entry, entry, 1)[1]
  local dm, dq = parts(g[8])
  if p then
    give(g[2], 'running', p[2], ms(clock() - p[3]), p[4], 0, 0)
  else
    give(g[2], after(m, q, dm, dq) and 'ready' or 'settled', '', m, 0, 0, 0)
  end
end
return out
