#!lua flags=allow-oom
-- Adds a row to the audit log.
-- KEYS: audit
-- ARGV: bytes rows ms. rows, ms: so many are kept, for so long.
-- Answers: 1.
-- If a command fails: XADD: nothing has happened. The rest only tidies up.
-- include clock
redis.call('XADD', KEYS[1], '*', 'd', ARGV[1])
redis.pcall('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[2])
redis.pcall('XTRIM', KEYS[1], 'MINID', '~', ms(clock() - tonumber(ARGV[3])))
return 1
