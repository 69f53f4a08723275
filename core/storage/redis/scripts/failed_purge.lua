#!lua flags=allow-oom
-- Deletes one retry or dead job, never one that runs.
-- KEYS: retry dead records bodies claims
-- ARGV: set id
-- Answers: how many.
-- If a command fails: the set goes first. Nobody meets what is left of the job any more.
local r, x, h, b, c = unpack(KEYS)
local set, id = tonumber(ARGV[1]), ARGV[2]
local n = set ~= 1 and redis.call('ZREM', x, id) or 0
if n == 0 and set ~= 2 and redis.call('HEXISTS', c, id) == 0 then
  n = redis.call('ZREM', r, id)
end
if n == 1 then
  redis.call('HDEL', h, id)
  redis.call('HDEL', b, id)
end
return n
