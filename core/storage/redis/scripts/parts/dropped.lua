-- dropped(s, t): the topic's group is gone for good. Where the stream stays, `g` keeps after which
--   entry, for a node that still runs the topic (no reload yet): else that node would take it for
--   lost data, and run all that is there again.
local function dropped(s, t)
  local g, i = string.sub(s, 1, -2)..'g', redis.pcall('XINFO', 'STREAM', s)
  if i.err then return redis.call('HDEL', g, t) end
  for k = 1, #i, 2 do
    if i[k] == 'last-generated-id' then redis.call('HSET', g, t, '-'..i[k + 1]) end
  end
end
