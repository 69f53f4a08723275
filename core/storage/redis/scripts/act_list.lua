-- Tells a page of acts, the newest first.
-- KEYS: acts
-- ARGV: offset count
-- Answers: {total, then fields and values of each}.
-- If a command fails: it writes nothing.
local from = tonumber(ARGV[1])
local out = {redis.call('ZCARD', KEYS[1])}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], from, from + tonumber(ARGV[2]) - 1)) do
  out[#out + 1] = redis.call('HGETALL', 'pb:{@}:act:'..id)
end
return out
