-- Reads delayed jobs, to be moved: for place d the first ones, for c those `offset` from the end.
-- KEYS: delayed delayed-jobs left
-- ARGV: offset limit bytes place
-- Answers: {marks, '', then place id due '' '' value 0 of each}, as move_page.lua.
-- If a command fails: it writes nothing.
local d, j, from, limit = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, out = tonumber(ARGV[3]), {redis.call('HGETALL', KEYS[3]), ''}
local cmd = ARGV[4] == 'd' and 'ZRANGE' or 'ZREVRANGE'
local e = redis.call(cmd, d, from, from + limit - 1, 'WITHSCORES')
for i = 1, #e, 2 do
  if bytes <= 0 then break end
  local v, k = redis.call('HGET', j, e[i]) or '', #out
  out[k + 1], out[k + 2], out[k + 3], out[k + 4] = ARGV[4], e[i], e[i + 1], ''
  out[k + 5], out[k + 6], out[k + 7] = '', v, 0
  bytes = bytes - #v
end
return out
