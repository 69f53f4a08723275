#!lua flags=allow-oom
-- Carries rows or signatures over to the target of a move. Rows are written again in the order of
-- time. May be called again.
-- KEYS: minutes, hours or signatures
-- ARGV: rows: 'r', then id n b g of each; signatures: 's', then field and value of each.
-- Answers: 1.
-- If a command fails: the target may have lost rows of its own; the call comes again.
local k, seconds = KEYS[1], 2764800
if ARGV[1] == 's' then
  for i = 2, #ARGV, 2 do redis.call('HSETNX', k, ARGV[i], ARGV[i + 1]) end
  return 1
end
if #ARGV < 5 then return 1 end
local all, have = {}, {}
local function add(id, fields)
  if have[id] then return end
  local m, q = string.match(id, '^(%d+)%-(%d+)$')
  all[#all + 1], have[id] = {id, tonumber(m), tonumber(q), fields}, true
end
for _, o in ipairs(redis.call('XRANGE', k, '-', '+')) do add(o[1], o[2]) end
for i = 2, #ARGV, 4 do
  add(ARGV[i], {'n', ARGV[i + 1], 'b', ARGV[i + 2], 'g', ARGV[i + 3]})
end
table.sort(all, function(l, o) return l[2] < o[2] or (l[2] == o[2] and l[3] < o[3]) end)
redis.call('DEL', k)
for _, o in ipairs(all) do redis.call('XADD', k, o[1], unpack(o[4])) end
redis.pcall('EXPIRE', k, seconds)
return 1
