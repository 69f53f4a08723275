-- purge(set, id, record): the job is gone. With `undo` its record goes there, and its bytes stay
-- where they are until nobody can undo the act any more (act_tidy.lua). Without a record nobody
-- takes the job for one whose place was lost (mend.lua). A server that is full gets its memory back
-- at once.
-- include full
local keep
local function purge(z, id, m)
  if keep == nil then keep = undo ~= nil and not full() end
  if keep then
    local score = redis.call('ZSCORE', z, id)
    if not score then return false end
    redis.call('HSET', undo, id, (z == x and 'x ' or 'r ')..score..'\n'..(m or ''))
  else
    bytes = bytes - redis.call('HSTRLEN', b, id)
  end
  redis.call('ZREM', z, id)
  redis.call('HDEL', h, id)
  if not keep then redis.call('HDEL', b, id) end
  return true
end
