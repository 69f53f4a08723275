-- Tells a page of the jobs that are ready or running for a topic, or delayed in its queue.
-- KEYS: stream claims bodies delayed delayed-jobs
-- ARGV: place group from count bytes head. from: '' at first, then `next` of the answer before.
--   No more jobs after those whose bodies have `bytes` together; of each body `head` bytes.
-- Answers: {next or '' at the end, then id at node times size body of each}. id is '' where nobody
--   can read it. at: ready: when it was added; running: since when, 0: not known; delayed: when it
--   is due.
-- If a command fails: it writes nothing.
-- include clock
-- include job_id
-- include low
-- include rank
local s, c, b, d, j = unpack(KEYS)
local place, group, from = ARGV[1], ARGV[2], ARGV[3]
local count, bytes, head = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local out = {''}
local function give(id, at, node, times, body)
  local k = #out
  out[k + 1], out[k + 2], out[k + 3], out[k + 4] = id, at, node, times
  out[k + 5], out[k + 6] = #body, string.sub(body, 1, head)
  count, bytes = count - 1, bytes - #body
  return count > 0 and bytes > 0
end
local g
local groups = redis.pcall('XINFO', 'GROUPS', s)
for _, o in ipairs(groups.err and {} or groups) do
  if o[2] == group then g = o end
end
if place == 'delayed' then
  local score, last = string.match(from, '^(%d+)%.(%d+)$')
  local at = score and rank(d, score, last) or 0
  local e = redis.call('ZRANGE', d, at, at + count - 1, 'WITHSCORES')
  for i = 1, #e, 2 do
    local v = redis.call('HGET', j, e[i]) or ''
    out[1] = e[i + 1]..'.'..e[i]
    local more = give(e[i], e[i + 1], '', 0, string.sub(v, (string.find(v, '\n', 1, true) or 0) + 1))
    if not more then return out end
  end
  out[1] = ''
elseif place == 'ready' and g then
  local low, m, q = g[8], parts(g[8])
  local fm, fq = parts(string.match(from, '^%d+%-%d+$') or '0-0')
  if after(fm, fq, m, q) then low = from end
  -- One by one: a count of XRANGE would copy all bodies at once.
  while true do
    local e = redis.call('XRANGE', s, '('..low, '+', 'COUNT', 1)[1]
    if not e then break end
    low, out[1] = e[1], e[1]
    if not give(job(e[2][1], e[2][2]) or '', (parts(e[1])), '', 0, e[2][2]) then return out end
  end
  out[1] = ''
elseif place == 'running' then
  local cursor = string.match(from, '^c(%d+)$')
  if not cursor then
    local low = string.match(from, '^%d+%-%d+$')
    local p = g and redis.call('XPENDING', s, group, low and '('..low or '-', '+', count) or {}
    for _, o in ipairs(p) do
      local e = redis.call('XRANGE', s, o[1], o[1])[1]
      out[1] = o[1]
      if e and not give(job(e[2][1], e[2][2]) or '', ms(clock() - o[3]), o[2], o[4], e[2][2]) then
        return out
      end
    end
    cursor = '0'
  end
  -- A page of HSCAN is given whole.
  local page = redis.call('HSCAN', c, cursor, 'COUNT', math.max(count, 10))
  for i = 1, #page[2], 2 do
    local id, size = page[2][i], redis.call('HSTRLEN', b, page[2][i])
    local body = size <= bytes and redis.call('HGET', b, id) or ''
    give(id, 0, page[2][i + 1], 0, body)
  end
  out[1] = page[1] == '0' and '' or 'c'..page[1]
end
return out
