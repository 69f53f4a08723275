-- beat(key, b, name, lease, now, cut, run, told): moves the clock of leases (lease_join.lua says what it
--   is) to now, and gives the node a new mark. b: the fields of `key`, which is changed like it.
--   Returns 1 where the node was declared dead, else 0, and since when the storage has that clock.
local function beat(key, b, name, lease, now, cut, run, told)
  local up, mine, since = tonumber(b['@up'] or 0), b[name], b['@since'] or ms(now)
  if not cut then up = up + math.min(now - tonumber(b['@at'] or 0), 0.3 * lease) end
  -- A dead node that has nothing left is forgotten; not so all nodes of a server that was emptied.
  local died = not mine and since == told or mine and string.match(mine, '^dead')
  b['@up'], b[name] = ms(up), ms(up)..' '..lease
  b['@epoch'] = cut and b['@up'] or b['@epoch'] or '0'
  redis.call('HSET', key, '@at', ms(now), '@up', b['@up'], '@epoch', b['@epoch'], '@run', run,
             '@since', since, name, b[name])
  return died and 1 or 0, since
end
