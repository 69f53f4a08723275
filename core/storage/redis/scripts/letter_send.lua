#!lua flags=allow-oom
-- Sends a letter to a node.
-- KEYS: letters told
-- ARGV: node bytes instance ms max most. ms: it is for so long. max, most: letters that wait, and
--   their bytes.
-- Answers: 1 sent, 0 too many wait.
-- If a command fails: XADD: nothing has happened. PEXPIRE: letters that are too old are not taken;
--   only the key stays until they are.
--
-- Each letter has in `s` how many bytes were sent with it and before it, since the key is there. So
-- nobody adds up what waits.
-- include clock
-- include tell
local k, max = KEYS[1], tonumber(ARGV[5])
redis.call('XTRIM', k, 'MINID', ms(clock() - tonumber(ARGV[4])))
local first = redis.call('XRANGE', k, '-', '+', 'COUNT', 1)[1]
local sum, wait = 0, 0
if first then
  local last = redis.call('XREVRANGE', k, '+', '-', 'COUNT', 1)[1]
  sum = tonumber(last[2][2])
  wait = sum - tonumber(first[2][2]) + #first[2][4]
end
if redis.call('XLEN', k) >= max or wait + #ARGV[2] > tonumber(ARGV[6]) then return 0 end
redis.call('XADD', k, '*', 's', ms(sum + #ARGV[2]), 'd', ARGV[2])
redis.pcall('PEXPIRE', k, ARGV[4])
tell(KEYS[2], ARGV[3], 'letter', ARGV[1])
return 1
