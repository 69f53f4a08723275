#!lua flags=allow-oom
-- One retry or dead job is due at once and gets its attempts back. A dead job without a record is
-- replayed all the same: its bytes may be there.
-- KEYS: retry dead records claims
-- ARGV: set id
-- Answers: how many.
-- If a command fails: the record is written first, then the retry set, and only then is the job not
--   dead any more. So it is still dead, or both, never neither.
-- include record
local r, x, h, c = unpack(KEYS)
local set, id = tonumber(ARGV[1]), ARGV[2]
local m = redis.call('HGET', h, id) or lost_record('0')
if redis.call('HEXISTS', c, id) == 1 then return 0 end
if not ((set ~= 1 and redis.call('ZSCORE', x, id)) or
        (set ~= 2 and redis.call('ZSCORE', r, id))) then return 0 end
local _, _, first, at, code, field, node, msg = parse(m)
if string.sub(first, 1, 1) ~= '0' then first = '0'..first end
redis.call('HSET', h, id, record(0, 0, first, at, code, field, node, msg))
redis.call('ZADD', r, 0, id)
redis.call('ZREM', x, id)
return 1
