#!lua flags=allow-oom
-- Tells the registry, and declares dead who is (lease_join.lua says who). A node without a mark (of
-- an older release) gets one and is given time.
-- KEYS: nodes beats [data told]
-- ARGV: lease_ms, one to remove if it is dead, or '', and a mark of the data that is set where
--   there is none, and the last entry of `told` that this node had, or ''.
-- Answers: name entry state of each: 1 holds its lease, 0 it ran out, -1 dead. At the end the mark
--   (another one than before means that the data was lost), and the entries of `told` since.
-- If a command fails: the next sweep looks again.
local all, beats, out = redis.call('HGETALL', KEYS[1]), {}, {}
local b = redis.call('HGETALL', KEYS[2])
for i = 1, #b, 2 do beats[b[i]] = b[i + 1] end
local up, epoch = tonumber(beats['@up'] or 0), tonumber(beats['@epoch'] or 0)
for i = 1, #all, 2 do
  local name, state, was = all[i], 0, beats[all[i]]
  local mark, lease = string.match(was or '', '^(%d+) (%d+)$')
  if redis.call('EXISTS', 'pb:{@}:node:'..name) == 1 then
    state = 1
    if was and not mark then redis.call('HDEL', KEYS[2], name) end
  elseif was and not mark then
    state = -1
  elseif not was then
    redis.call('HSET', KEYS[2], name, string.format('%.0f ', up)..ARGV[1])
  elseif up - math.max(mark, epoch) >= 1.5 * math.max(lease, ARGV[1]) then
    redis.call('HSET', KEYS[2], name, 'dead')
    state = -1
  end
  if name == ARGV[2] and state < 0 then
    redis.call('HDEL', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
  else
    local k = #out
    out[k + 1], out[k + 2], out[k + 3] = name, all[i + 1], state
  end
end
if KEYS[3] then
  local mark = redis.pcall('GET', KEYS[3])
  if not mark then
    redis.pcall('SET', KEYS[3], ARGV[3])
    mark = ARGV[3]
  end
  out[#out + 1] = type(mark) == 'string' and mark or ''
  local told = ARGV[4] ~= '' and redis.pcall('XRANGE', KEYS[4], '('..ARGV[4], '+', 'COUNT', 1000)
  out[#out + 1] = told and not told.err and told or {}
end
return out
