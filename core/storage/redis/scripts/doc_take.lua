#!lua flags=allow-oom
-- Deletes a document, and tells what it was.
-- KEYS: document index told
-- ARGV: id instance event. event: what the nodes hear, or ''.
-- Answers: {the server's clock in ms, bytes, remaining ms: -1 it stayed, -2 there was none}.
-- If a command fails: it is still there, or the index names one that is not: lists leave it out.
-- include clock
-- include tell
local v = redis.call('GET', KEYS[1])
local left = v and redis.call('PTTL', KEYS[1]) or -2
redis.call('DEL', KEYS[1])
redis.pcall('ZREM', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then tell(KEYS[3], ARGV[2], ARGV[3], ARGV[1]) end
return {ms(clock()), v or '', left}
