-- entry_of(s, head, at): the entry of the job whose stored form begins with `head`, and whether it is
--   certain that there is none. Jobs enter the stream about the time `at` (ms), but for those that
--   were delayed: these are met where the stream begins. Some thousand entries are looked at.
-- include near
local function entry_of(s, head, at)
  local len = redis.call('XLEN', s)
  local most = slice(s, len, 1048576, 1000)
  local function look(page)
    for _, e in ipairs(page) do
      if string.sub(e[2][2], 1, 8) == head and string.sub(e[2][1], 1, 2) == '1:' then
        return e[1]
      end
    end
  end
  local ahead = redis.call('XRANGE', s, at, '+', 'COUNT', most)
  local found = look(ahead)
  if found then return found end
  local behind = redis.call('XREVRANGE', s, '('..at, '-', 'COUNT', most)
  found = look(behind)
  if found or (#ahead < most and #behind < most) then return found, true end
  return look(redis.call('XRANGE', s, '-', '+', 'COUNT', math.min(most, 200))), false
end
