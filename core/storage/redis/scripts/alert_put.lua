#!lua flags=allow-oom
-- Writes the state of an alert, or its silence.
-- KEYS: alert claim
-- ARGV: instance field bytes keep. field: state, which only who has the claim writes, or silence.
--   bytes: '': it goes. keep: in ms, how long an alert is kept that nobody writes.
-- Answers: 1 written, 0 the claim is another node's.
-- If a command fails: HSET and HDEL: nothing has happened; PEXPIRE: the alert is kept for as long as
--   before.
if ARGV[2] == 'state' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
