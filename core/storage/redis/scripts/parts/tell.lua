-- tell(...): the nodes hear of an event, by the channel or, where they do not listen, from the
--   stream. Only news: a write that was done is never undone for it.
local function tell(told, instance, event, id)
  local at = redis.pcall('XADD', told, 'MAXLEN', '~', 1000, '*', event, id)
  if type(at) == 'table' then at = '0-0' end
  redis.pcall('PUBLISH', 'pb:wake', instance..' @'..event..' '..at..' '..id)
end
