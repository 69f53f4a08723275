#!lua flags=allow-oom
-- One slice of an act that undoes another one. Whatever node still works at that one, it takes no
-- job any more. A job that was replayed goes back where it is as the replay left it: not taken, and
-- not failed since. A job that was purged goes back unless a job of its id is here again.
-- KEYS: retry dead records bodies claims act undo undone; undone: the other act's progress.
-- ARGV: limit
-- Answers: {put back, of, over, not put back, 0}.
-- If a command fails: the jobs before it are back. The job at hand has its record first, then its
--   place; its entry in `undo` goes last, so the next slice meets it again.
-- include record
local r, x, h, b, c, a, undo, undone = unpack(KEYS)
redis.call('HSET', undone, 'phase', 'end')
redis.call('EXPIRE', undone, 604800)
local v = redis.call('HMGET', a, 'done', 'left', 'of', 'cursor')
local n, left = tonumber(v[1] or 0), tonumber(v[2] or 0)
local of = tonumber(v[3] or redis.call('HLEN', undo))
local function purged(z, id, score, was)
  if redis.call('ZSCORE', r, id) or redis.call('ZSCORE', x, id) or
     redis.call('HEXISTS', c, id) == 1 or redis.call('HEXISTS', b, id) == 0 then return false end
  if was ~= '' then redis.call('HSET', h, id, was) end
  redis.call('ZADD', z, score, id)
  return true
end
local function replayed(z, id, score, was)
  local due, m = redis.call('ZSCORE', r, id), redis.call('HGET', h, id)
  if not due or not m or tonumber(due) ~= 0 or redis.call('HEXISTS', c, id) == 1 then
    return false
  end
  local f, cr, first, at = string.match(was, '^(%d+) (%d+) (%d+) (%d+)$')
  local f2, cr2, _, at2, code, field, node, msg = parse(m)
  if at ~= at2 or f2 ~= '0' or cr2 ~= '0' then return false end
  redis.call('HSET', h, id, record(f, cr, first, at, code, field, node, msg))
  redis.call('ZADD', z, score, id)
  if z == x then redis.call('ZREM', r, id) end
  return true
end
local page = redis.call('HSCAN', undo, v[4] or '0', 'COUNT', ARGV[1])
for i = 1, #page[2], 2 do
  local id = page[2][i]
  local set, score, sep, was = string.match(page[2][i + 1], '^([rx]) (%S+)([ \n])(.*)$')
  local z = set == 'x' and x or r
  if (sep == '\n' and purged or replayed)(z, id, score, was) then n = n + 1
  else
    left = left + 1
    -- Bytes that nobody else needs go with the last trace of their job.
    if sep == '\n' and not redis.call('ZSCORE', r, id) and not redis.call('ZSCORE', x, id) and
       redis.call('HEXISTS', h, id) == 0 then
      redis.call('HDEL', b, id)
    end
  end
  redis.call('HDEL', undo, id)
end
redis.call('HSET', a, 'done', n, 'left', left, 'of', of, 'cursor', page[1])
redis.call('EXPIRE', a, 604800)
return {n, math.max(of, n), redis.call('EXISTS', undo) == 0 and 1 or 0, left, 0}
