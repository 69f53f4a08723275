#!lua flags=allow-oom
-- One slice of an act with a filter: the jobs that a look with the filter found. The look was a
-- question of its own, so each job is looked at again: it is where it was, does not run, and has not
-- failed since the act began. `at` of the act is the place up to which all was looked at. A slice
-- begins at this place or does nothing, so one whose answer was lost, or that of a node which
-- another one took the act from, acts on nothing twice.
-- KEYS: retry dead records bodies claims mark act [undo]
-- ARGV: set count limit bytes rate kind from to over looked, then the place of each job: "r.SCORE.ID"
--   or "x.SCORE.ID". kind: r replay, p purge. from: the place where the look began, or '-': only the
--   state of the act is asked for, which begins with that. to: where the next look begins. over:
--   nothing is behind that.
-- Answers: {done, of, over, 0, after how many ms to ask again, how many jobs may be acted on now, at,
--   looked}.
-- If a command fails: as act_replay.lua and act_purge.lua. The jobs before it are met again, and are
--   not where they were.
-- include slice_head
-- include purge
-- include replay
local kind, where, to, last = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1'
local v = redis.call('HMGET', a, 'began', 'phase', 'done', 'at', 'looked')
if not v[1] then
  v[1] = ms(begin())
  redis.call('HSET', a, 'began', v[1])
end
local began, n, at = tonumber(v[1]), tonumber(v[3] or 0), v[4] or ''
local looked, was, wait = tonumber(v[5] or 0), n, 0
local over = v[2] == 'end'
local free, from = grants(a, rate, now, limit)
local function take(place)
  local set, id = string.match(place, '^([rx])%.%d+%.(%d+)$')
  local z = set == 'x' and x or r
  local score, m = redis.call('ZSCORE', z, id), redis.call('HGET', h, id)
  if not score or redis.call('HEXISTS', c, id) == 1 or (m and later(m, began)) then return end
  if kind == 'p' then return purge(z, id, m) end
  -- Replayed already: by this act, or by another one.
  if (z == r and tonumber(score) == 0) or (undo and redis.call('HEXISTS', undo, id) == 1) then
    return
  end
  return replay(z, id, m)
end
if not over and where == at then
  local whole = true
  for i = 11, #ARGV do
    if bytes <= 0 or n - was >= free or (count > 0 and n >= count) then whole = false break end
    if take(ARGV[i]) then n = n + 1 end
    at = ARGV[i]
  end
  if whole then
    at, over, looked = to, last, looked + tonumber(ARGV[10])
  end
end
over = over or (count > 0 and n >= count)
redis.call('HSET', a, 'phase', over and 'end' or 's', 'done', ms(n), 'at', at, 'looked', ms(looked))
redis.call('EXPIRE', a, 604800)
if undo and n > was then redis.call('EXPIRE', undo, 604800) end
if n > was or free < 1 then wait = spend(a, rate, now, from, n - was, limit) end
if count > 0 then free = math.min(free, count - n) end
return {n, math.max(n, count), over and 1 or 0, 0, wait, free, at, looked}
