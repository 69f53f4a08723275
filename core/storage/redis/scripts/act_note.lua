#!lua flags=allow-oom
-- Keeps the lease of an act and writes how far it is. Ends it where the state is not "running".
-- KEYS: act acts open
-- ARGV: id owner lease done of state result note
-- Answers: {1, who cancelled it or ''}; {0, ''} it belongs to another node now.
-- If a command fails: the act is still open, and the call comes again.
-- include clock
local KEEP_MS = 604800000 -- seven days
local now, a = clock(), KEYS[1]
local v = redis.call('HMGET', a, 'owner', 'state', 'cancel')
if v[1] ~= ARGV[2] then return {0, ''} end
if v[2] ~= 'running' then return {1, ''} end
local lease = tonumber(ARGV[3])
redis.call('HSET', a, 'done', ARGV[4], 'of', ARGV[5], 'changed', ms(now), 'note', ARGV[8],
           'until', lease > 0 and ms(now + lease) or 0)
if ARGV[6] ~= 'running' then
  redis.call('HSET', a, 'state', ARGV[6], 'result', ARGV[7], 'ended', ms(now))
  redis.call('SREM', KEYS[3], ARGV[1])
  redis.call('PEXPIRE', a, KEEP_MS)
end
return {1, v[3] or ''}
