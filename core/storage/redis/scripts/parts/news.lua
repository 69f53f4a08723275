-- news(key, from): the entries of the stream behind `from`; none where that is ''.
local function news(key, from)
  local r = from ~= '' and redis.pcall('XRANGE', key, '('..from, '+', 'COUNT', 1000)
  return r and not r.err and r or {}
end
