-- replay(set, id, record): the job is due at once and has its attempts back. With `undo` its place
-- and its counts go there: "set score failed crashes first at".
-- include record
local function replay(z, id, m)
  local f, cr, first, at, code, field, node, msg = parse(m or lost_record('0'))
  if undo then
    redis.call('HSET', undo, id, (z == x and 'x ' or 'r ')..(redis.call('ZSCORE', z, id) or 0)..' '..
               f..' '..cr..' '..first..' '..at)
  end
  if string.sub(first, 1, 1) ~= '0' then first = '0'..first end
  redis.call('HSET', h, id, record(0, 0, first, at, code, field, node, msg))
  redis.call('ZADD', r, 0, id)
  if z == x then redis.call('ZREM', x, id) end
  return true
end
