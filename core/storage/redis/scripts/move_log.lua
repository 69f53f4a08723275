#!lua flags=allow-oom
-- Carries the pause and the error log over to the target of a move. The log is written again in the
-- order of time; once.
-- KEYS: paused errors act
-- ARGV: topic pause-or-'', then id and fields of the source's errors: i c n m each.
-- Answers: 1.
-- If a command fails: the log is not marked as written, and the call comes again. Where DEL was
--   done the target's own older errors are gone.
local p, e, a = unpack(KEYS)
if ARGV[2] ~= '' then redis.call('HSETNX', p, ARGV[1], ARGV[2]) end
if #ARGV < 7 or redis.call('HEXISTS', a, 'log') == 1 then return 1 end
local all, have = {}, {}
local function add(id, fields)
  if have[id] then return end
  local m, q = string.match(id, '^(%d+)%-(%d+)$')
  all[#all + 1], have[id] = {id, tonumber(m), tonumber(q), fields}, true
end
for _, o in ipairs(redis.call('XRANGE', e, '-', '+')) do add(o[1], o[2]) end
for i = 3, #ARGV, 5 do
  add(ARGV[i], {'i', ARGV[i + 1], 'c', ARGV[i + 2], 'n', ARGV[i + 3], 'm', ARGV[i + 4]})
end
table.sort(all, function(l, o) return l[2] < o[2] or (l[2] == o[2] and l[3] < o[3]) end)
redis.call('DEL', e)
for i = math.max(1, #all - 999), #all do
  redis.call('XADD', e, all[i][1], unpack(all[i][4]))
end
redis.call('HSET', a, 'log', 1)
return 1
