-- Tells the facts of some failed jobs that a look found.
-- KEYS: retry dead records bodies claims
-- ARGV: head, then their ids.
-- Answers: id score dead claimed record size body of each, with `head` bytes of the body. A job that
--   has gone is left out.
-- If a command fails: it writes nothing.
-- include facts
local r, x, h = unpack(KEYS)
local out, head = {}, tonumber(ARGV[1])
for i = 2, #ARGV do
  local id = ARGV[i]
  local died = redis.call('ZSCORE', x, id)
  local score = died or redis.call('ZSCORE', r, id)
  if score then facts(out, id, score, died, redis.call('HGET', h, id) or '', head) end
end
return out
