-- Tells what a queue holds, by group, whether anybody configures the topic or not.
-- KEYS: stream
-- ARGV: none
-- Answers: {delayed, then name ready running retry dead of each group}.
-- If a command fails: it writes nothing.
local s, keys = KEYS[1], string.sub(KEYS[1], 1, -2)
local out = {redis.call('ZCARD', keys..'d')}
local groups = redis.pcall('XINFO', 'GROUPS', s)
for _, g in ipairs(groups.err and {} or groups) do
  local k = #out
  if g[2] ~= '@' then
    local len, claimed = redis.call('XLEN', s), redis.call('HLEN', keys..'c:'..g[2])
    out[k + 1], out[k + 2] = g[2], math.min(g[12] or len, len - math.min(len, g[6]))
    out[k + 3] = g[6] + claimed
    out[k + 4] = math.max(0, redis.call('ZCARD', keys..'r:'..g[2]) - claimed)
    out[k + 5] = redis.call('ZCARD', keys..'x:'..g[2])
  end
end
return out
