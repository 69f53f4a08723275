-- Tells the server's clock, and the acts that belong to nobody.
-- KEYS: open
-- ARGV: owner node
-- Answers: {the server's clock in ms, then ids of acts}.
-- If a command fails: it writes nothing.
-- include clock
-- include free
local now = clock()
local out = {ms(now)}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local v = redis.call('HMGET', 'pb:{@}:act:'..id, 'owner', 'until', 'state')
  if v[3] == 'running' and free(v[1], v[2], now, ARGV[2], ARGV[1]) then out[#out + 1] = id end
end
return out
