#!lua flags=allow-oom
-- Carries rows or signatures over to the target of a move. Rows are written again in the order of
-- time. May be called again.
-- KEYS: minutes, hours or signatures
-- ARGV: rows: 'r', then id n b g of each; signatures: 's', then field and value of each.
-- Answers: 1.
-- If a command fails: the target may have lost rows of its own; the call comes again.
-- include merge
local k, seconds = KEYS[1], 2764800
if ARGV[1] == 's' then
  for i = 2, #ARGV, 2 do redis.call('HSETNX', k, ARGV[i], ARGV[i + 1]) end
  return 1
end
if #ARGV < 5 then return 1 end
merge(k, ARGV, 2, {'n', 'b', 'g'}, 1e9)
redis.pcall('EXPIRE', k, seconds)
return 1
