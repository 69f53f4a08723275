-- The body of act_replay.lua and act_purge.lua, which define waits(), how many jobs of the retry
-- set were replayed already, and act(set, id, record).
--
-- A slice finds its own place: how far the act is stands in the queue's key of the act, written by
-- the same script that moves the jobs. So a slice whose answer was lost is asked for again without
-- harm, and a count is right whoever goes on. No slice takes longer than some milliseconds: `limit`
-- jobs, and `bytes` of their contents.
local free, from = grants(a, rate, now, limit)
local slice = limit
limit = math.min(limit, free)
local v = redis.call('HMGET', a, 'began', 'phase', 'skip', 'moved', 'done', 'of')
if not v[1] then
  local began = begin()
  local dead = set ~= 1 and redis.call('ZCARD', x) or 0
  local of = dead
  if set ~= 2 then
    of = of + math.max(0, redis.call('ZCARD', r) - redis.call('HLEN', c) - waits())
  end
  if count > 0 then of = math.min(of, count) end
  v = {ms(began), set == 1 and 'r' or 'x', '0', '0', '0', ms(of)}
  redis.call('HSET', a, 'began', v[1], 'of', v[6])
  redis.call('EXPIRE', a, 604800)
end
local began, phase, skip = tonumber(v[1]), v[2], tonumber(v[3])
local moved, n = tonumber(v[4]), tonumber(v[5])
local was = n
local function over()
  return phase == 'end' or (count > 0 and n >= count)
end
local function room()
  local left = limit - (n - was)
  return count > 0 and math.min(left, count - n) or left
end
if phase == 'x' and not over() then
  local want = room()
  local ids = redis.call('ZRANGEBYSCORE', x, '-inf', v[1], 'LIMIT', 0, want)
  local whole = true
  for _, id in ipairs(ids) do
    if bytes <= 0 then whole = false break end
    if act(x, id, redis.call('HGET', h, id)) then n = n + 1
    else redis.call('ZREM', x, id) end
  end
  if whole and #ids < want then phase = set == 2 and 'end' or 'r' end
end
if phase == 'r' and not over() and room() > 0 and bytes > 0 then
  local want, from = room(), waits() + skip
  local ids = redis.call('ZRANGE', r, ms(from), ms(from + want - 1))
  local whole = true
  for _, id in ipairs(ids) do
    if bytes <= 0 then whole = false break end
    local m = redis.call('HGET', h, id)
    if redis.call('HEXISTS', c, id) == 1 or (m and later(m, began)) or not act(r, id, m) then
      skip = skip + 1
    else
      n, moved = n + 1, moved + 1
    end
  end
  -- What others took away meanwhile shifts the pages: a pass that moved something is followed by
  -- one more from the start, which finds only what is to be left alone.
  if whole and #ids < want then
    if moved > 0 then skip, moved = 0, 0 else phase = 'end' end
  end
end
if over() then phase = 'end' end
redis.call('HSET', a, 'phase', phase, 'skip', ms(skip), 'moved', ms(moved), 'done', ms(n))
if undo and n > was then redis.call('EXPIRE', undo, 604800) end
local wait = spend(a, rate, now, from, n - was, slice)
return {n, math.max(n, tonumber(v[6])), phase == 'end' and 1 or 0, 0, wait}
