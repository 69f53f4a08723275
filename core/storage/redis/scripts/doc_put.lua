#!lua flags=allow-oom
-- Writes a small document.
-- KEYS: document index told
-- ARGV: id bytes ttl when instance event max. ttl: in ms; 0: it stays. when: 0 always, 1 only a new
--   one, 2 only where there is one. event: what the nodes hear, or ''. max: documents of a kind.
-- Answers: 1 written, 0 not, -1 there are too many of this kind.
-- If a command fails: ZADD: the document is read by its id, and in no list until it is written
--   again. The rest only tidies up.
-- include clock
-- include tell
local now, ttl, index = clock(), tonumber(ARGV[3]), KEYS[2]
local there = redis.call('EXISTS', KEYS[1]) == 1
if (ARGV[4] == '1' and there) or (ARGV[4] == '2' and not there) then return 0 end
local old = redis.call('ZRANGEBYSCORE', index, '-inf', ms(now), 'LIMIT', 0, 1000)
if old[1] then redis.pcall('ZREM', index, unpack(old)) end
if not there and redis.call('ZCARD', index) >= tonumber(ARGV[7]) then return -1 end
if ttl > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2])
end
redis.call('ZADD', index, ttl > 0 and ms(now + ttl) or '+inf', ARGV[1])
if ARGV[6] ~= '' then tell(KEYS[3], ARGV[5], ARGV[6], ARGV[1]) end
return 1
