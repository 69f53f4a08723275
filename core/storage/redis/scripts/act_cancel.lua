#!lua flags=allow-oom
-- Somebody wants an act to end.
-- KEYS: act open
-- ARGV: id who
-- Answers: 1 it will end, 2 it has ended, 0 there is none.
-- If a command fails: nothing has happened.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return 2 end
redis.call('HSET', KEYS[1], 'cancel', ARGV[2])
return 1
