-- The server's own clock in Unix ms, as text by ms(): nodes' clocks are not compared with each
-- other.
local function ms(n) return string.format('%.0f', n) end
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
