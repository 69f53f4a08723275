#!lua flags=allow-oom
-- One slice of the last phase of an act that nobody can undo any more: what was kept for that goes,
-- and with a purge the bytes of the jobs. The act itself is over, also for a node that stood still
-- and wakes up in the middle of it.
-- KEYS: retry dead records bodies claims act undo
-- ARGV: purge limit bytes
-- Answers: {deleted now, 0, over}.
-- If a command fails: the next slice goes on with what is left.
local r, x, h, b, c, a, undo = unpack(KEYS)
local n, bytes = 0, tonumber(ARGV[3])
redis.call('HSET', a, 'phase', 'end')
redis.call('EXPIRE', a, 604800)
if ARGV[1] ~= '1' then
  redis.call('UNLINK', undo)
  return {0, 0, 1}
end
local from = redis.call('HGET', a, 'tidy') or '0'
local page = redis.call('HSCAN', undo, from, 'COUNT', ARGV[2])
for i = 1, #page[2], 2 do
  local id = page[2][i]
  if bytes <= 0 then page[1] = from break end
  -- The same job may be here again: imported, or put back.
  if not redis.call('ZSCORE', r, id) and not redis.call('ZSCORE', x, id) and
     redis.call('HEXISTS', h, id) == 0 and redis.call('HEXISTS', c, id) == 0 then
    bytes = bytes - redis.call('HSTRLEN', b, id)
    redis.call('HDEL', b, id)
  end
  redis.call('HDEL', undo, id)
  n = n + 1
end
redis.call('HSET', a, 'tidy', page[1])
return {n, 0, redis.call('EXISTS', undo) == 0 and 1 or 0}
