-- Tells what a storage holds of a topic that may or may not be configured.
-- KEYS: stream retry dead claims delayed
-- ARGV: group
-- Answers: {is there, ready, running, retry, dead, delayed}.
-- If a command fails: it writes nothing.
local s, there, ready, pending = KEYS[1], 0, 0, 0
local groups = redis.pcall('XINFO', 'GROUPS', s)
for _, g in ipairs(groups.err and {} or groups) do
  if g[2] == ARGV[1] then
    local len = redis.call('XLEN', s)
    there, pending = 1, g[6]
    ready = math.min(g[12] or len, len - math.min(len, pending))
  end
end
local claimed = redis.call('HLEN', KEYS[4])
local retry = math.max(0, redis.call('ZCARD', KEYS[2]) - claimed)
local dead = redis.call('ZCARD', KEYS[3])
if retry + dead + claimed > 0 then there = 1 end
return {there, ready, pending + claimed, retry, dead, redis.call('ZCARD', KEYS[5])}
