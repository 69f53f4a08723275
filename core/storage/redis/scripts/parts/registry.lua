-- registry(out, nodes, beats, b, lease, remove, now): declares dead who is (lease_join.lua says who), and
--   adds name, entry and state of each node to `out`: 1 holds its lease, 0 it ran out, -1 dead. b:
--   the fields of `beats`. A node without a mark (of an older release) gets one and is given time.
--   remove: one that goes if it is dead. now: nil, or the entries of living nodes tell when they
--   renewed their lease last.
-- include clock
local function registry(out, nodes, beats, b, lease, remove, now)
  local up, epoch = tonumber(b['@up'] or 0), tonumber(b['@epoch'] or 0)
  local all = redis.call('HGETALL', nodes)
  for i = 1, #all, 2 do
    local name, entry, state, was = all[i], all[i + 1], 0, b[all[i]]
    local mark, its = string.match(was or '', '^(%d+) (%d+)$')
    local left = redis.call('PTTL', 'pb:{@}:node:'..name)
    if left ~= -2 then
      state = 1
      if now and mark then entry = string.gsub(entry, ' %d+', ' '..ms(now - its + left), 1) end
      if was and not mark then redis.call('HDEL', beats, name) end
    elseif was and not mark then
      state = -1
    elseif not was then
      redis.call('HSET', beats, name, string.format('%.0f ', up)..lease)
    elseif up - math.max(mark, epoch) >= 1.5 * math.max(its, lease) then
      redis.call('HSET', beats, name, 'dead')
      state = -1
    end
    if name == remove and state < 0 then
      redis.call('HDEL', nodes, name)
      redis.call('HDEL', beats, name)
    else
      local k = #out
      out[k + 1], out[k + 2], out[k + 3] = name, entry, state
    end
  end
  return out
end
