#!lua flags=allow-oom
-- Deletes at the source of a move what is at its target. May be called again.
-- KEYS: stream retry dead records bodies claims delayed delayed-jobs
-- ARGV: group, then place id of each.
-- Answers: 1.
-- If a command fails: the target still names the batch, so the call comes again.
local s, r, x, h, b, c, d, j = unpack(KEYS)
for i = 2, #ARGV, 2 do
  local place, id = ARGV[i], ARGV[i + 1]
  if place == 's' then
    redis.pcall('XACK', s, ARGV[1], id)
  elseif place == 'd' then
    redis.call('ZREM', d, id)
    redis.call('HDEL', j, id)
  elseif place ~= 'c' and redis.call('ZREM', place == 'x' and x or r, id) == 1 then
    redis.call('HDEL', h, id)
    redis.call('HDEL', b, id)
    redis.call('HDEL', c, id)
  end
end
return 1
