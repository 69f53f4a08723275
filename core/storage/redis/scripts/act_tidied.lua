#!lua flags=allow-oom
-- Nothing is kept of an act but its record.
-- KEYS: act begun
-- ARGV: id
-- Answers: 1.
-- If a command fails: the act is found again, with nothing to do.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'undo_ms', 0) end
redis.call('SREM', KEYS[2], ARGV[1])
return 1
