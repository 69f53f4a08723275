#!lua flags=allow-oom
-- Carries the pause and the error log over to the target of a move. The log is written again in the
-- order of time; once.
-- KEYS: paused errors act
-- ARGV: topic pause-or-'', then id and fields of the source's errors: i c n m each.
-- Answers: 1.
-- If a command fails: the log is not marked as written, and the call comes again. Where DEL was
--   done the target's own older errors are gone.
-- include merge
local p, e, a = unpack(KEYS)
if ARGV[2] ~= '' then redis.call('HSETNX', p, ARGV[1], ARGV[2]) end
if #ARGV < 7 or redis.call('HEXISTS', a, 'log') == 1 then return 1 end
merge(e, ARGV, 3, {'i', 'c', 'n', 'm'}, 1000)
redis.call('HSET', a, 'log', 1)
return 1
