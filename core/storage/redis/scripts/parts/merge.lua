-- merge(key, args, from, names, keep): the stream gets the entries of `args`, an id and the value of
--   each name of these, and is written again in the order of time; at most the newest `keep`.
local function merge(key, args, from, names, keep)
  local all, have = {}, {}
  local function add(id, fields)
    if have[id] then return end
    local m, q = string.match(id, '^(%d+)%-(%d+)$')
    all[#all + 1], have[id] = {id, tonumber(m), tonumber(q), fields}, true
  end
  for _, o in ipairs(redis.call('XRANGE', key, '-', '+')) do add(o[1], o[2]) end
  for i = from, #args, #names + 1 do
    local fields = {}
    for n, name in ipairs(names) do
      fields[2 * n - 1], fields[2 * n] = name, args[i + n]
    end
    add(args[i], fields)
  end
  table.sort(all, function(l, o) return l[2] < o[2] or (l[2] == o[2] and l[3] < o[3]) end)
  redis.call('DEL', key)
  for i = math.max(1, #all - keep + 1), #all do
    redis.call('XADD', key, all[i][1], unpack(all[i][4]))
  end
end
