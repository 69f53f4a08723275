-- try(...) runs a command. Returns nil, or its error.
local function try(...)
  local r = redis.pcall(...)
  return type(r) == 'table' and r.err and r or nil
end
