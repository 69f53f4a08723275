#!lua flags=allow-oom
-- Runs one command that must get through where memory is full.
-- KEYS: one
-- ARGV: a command without its key, which comes first.
-- Answers: as the command.
-- If a command fails: nothing has happened.
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
