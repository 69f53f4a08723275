-- full(): the server has hardly any memory left for jobs.
local function full()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then return false end
  local max = tonumber(string.match(info, '\nmaxmemory:(%d+)') or 0)
  return max > 0 and tonumber(string.match(info, '\nused_memory:(%d+)') or 0) >= 0.95 * max
end
