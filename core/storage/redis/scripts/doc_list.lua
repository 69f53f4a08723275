#!lua flags=no-writes,allow-oom
-- Tells the ids of all documents of a kind.
-- KEYS: index
-- ARGV: count
-- Answers: ids.
-- If a command fails: it writes nothing.
-- include clock
return redis.call('ZRANGEBYSCORE', KEYS[1], '('..ms(clock()), '+inf', 'LIMIT', 0, ARGV[1])
