#!lua flags=allow-oom
-- One slice of an act that replays many jobs. A replayed job waits with score 0: it is taken first,
-- and no page meets it again.
-- KEYS: retry dead records bodies claims mark act
-- ARGV: set count limit bytes
-- Answers: {done, of, over}.
-- If a command fails: the jobs before it are replayed and not counted. The job at hand is dead, or
--   both, never neither. The next slice begins where the last one ended.
-- include record
-- include slice_head
local function waits() return redis.call('ZCOUNT', r, '-inf', 0) end
local function act(z, id, m)
  local _, _, first, at, code, field, node, msg = parse(m or lost_record('0'))
  if string.sub(first, 1, 1) ~= '0' then first = '0'..first end
  redis.call('HSET', h, id, record(0, 0, first, at, code, field, node, msg))
  redis.call('ZADD', r, 0, id)
  if z == x then redis.call('ZREM', x, id) end
  return true
end
-- include slice
