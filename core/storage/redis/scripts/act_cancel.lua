#!lua flags=allow-oom
-- Somebody wants an act to end.
-- KEYS: act open begun
-- ARGV: id who
-- Answers: 1 it will end, 2 it has ended, 0 there is none.
-- If a command fails: nothing has happened.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 0 end
if state ~= 'running' or redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 and
   redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 0 then return 2 end
redis.call('HSET', KEYS[1], 'cancel', ARGV[2])
return 1
