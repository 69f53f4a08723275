-- Tells the facts of some failed jobs that a look found.
-- KEYS: retry dead records bodies claims
-- ARGV: head bytes, then their ids. No more ids are looked at after `bytes` of bodies.
-- Answers: {how many ids were looked at, then id score dead claimed record size body of each}, with
--   `head` bytes of the body. A job that has gone is left out.
-- If a command fails: it writes nothing.
-- include facts
local r, x, h = unpack(KEYS)
local head, bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {0}
for i = 3, #ARGV do
  local id = ARGV[i]
  local died = redis.call('ZSCORE', x, id)
  local score = died or redis.call('ZSCORE', r, id)
  if score then
    bytes = bytes - facts(out, id, score, died, redis.call('HGET', h, id) or '', head)
  end
  out[1] = i - 2
  if bytes <= 0 then break end
end
return out
