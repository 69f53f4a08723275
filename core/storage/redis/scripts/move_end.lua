-- Deletes the source of a move where it is empty.
-- KEYS: stream paused retry dead records bodies claims errors delayed delayed-jobs left groups
--   minutes hours signatures
-- ARGV: group whole
-- Answers: 1, or 0 while something is there.
-- If a command fails: what is left is deleted by the next call.
-- include dropped
local s, g = KEYS[1], ARGV[1]
local groups = redis.pcall('XINFO', 'GROUPS', s)
local others, was = 0, false
for _, o in ipairs(groups.err and {} or groups) do
  if o[2] ~= g then
    others = others + 1
  elseif o[6] > 0 or redis.call('XRANGE', s, '('..o[8], '+', 'COUNT', 1)[1] then
    return 0
  else
    was = true
  end
end
for k = 3, 7 do
  if (k == 3 or k == 4) and redis.call('ZCARD', KEYS[k]) > 0 then return 0 end
  if k == 7 and redis.call('HLEN', KEYS[k]) > 0 then return 0 end
end
if ARGV[2] == '1' and redis.call('ZCARD', KEYS[9]) > 0 then return 0 end
redis.pcall('XGROUP', 'DESTROY', s, g)
redis.call('HDEL', KEYS[2], g)
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[11],
           KEYS[13], KEYS[14], KEYS[15])
redis.call('HDEL', string.sub(s, 1, -2)..'n', g)
if others == 0 and ARGV[2] ~= '' then
  redis.call('UNLINK', KEYS[9], KEYS[10])
  if was or redis.call('XLEN', s) == 0 then redis.call('UNLINK', s) end
end
if was then dropped(s, g) end
return 1
