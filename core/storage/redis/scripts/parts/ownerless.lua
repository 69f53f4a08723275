-- ownerless(out, open, begun, now, node, me): adds to `out` the ids of acts that belong to nobody:
--   those that run, and those that have ended and whose time to be undone is over.
-- include free
local function ownerless(out, open, begun, now, node, me)
  for _, key in ipairs({open, begun}) do
    for _, id in ipairs(redis.call('SMEMBERS', key)) do
      local v = redis.call('HMGET', 'pb:{@}:act:'..id, 'owner', 'until', 'state', 'undo_ms')
      local till = tonumber(v[4] or 0)
      if (v[3] == 'running' or (till > 0 and till <= now)) and free(v[1], v[2], now, node, me) then
        out[#out + 1] = id
      end
    end
  end
end
