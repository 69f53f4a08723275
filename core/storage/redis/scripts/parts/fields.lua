-- fields(key): the fields of a hash, by name.
local function fields(key)
  local all, ret = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do ret[all[i]] = all[i + 1] end
  return ret
end
