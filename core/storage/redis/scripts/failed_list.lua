-- Tells a page of the retry set and of the dead jobs, or one of these jobs. The retry set comes
-- before the dead.
-- KEYS: retry dead records bodies claims
-- ARGV: set offset count id ('' or one) head bytes. Of a body the answer has the first `head` bytes, and
--   no more jobs after those whose bodies have `bytes` together.
-- Answers: {total, then id score dead claimed record size body of each}.
-- If a command fails: it writes nothing.
-- include facts
local r, x, h = unpack(KEYS)
local set, offset = tonumber(ARGV[1]), tonumber(ARGV[2])
local count, one = tonumber(ARGV[3]), ARGV[4]
local head, bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local out = {0}
local function give(id, score, dead)
  bytes = bytes - facts(out, id, score, dead, redis.call('HGET', h, id) or '', head)
end
for dead, z in ipairs({r, x}) do
  if set == 3 or set == dead then
    if one ~= '' then
      local score = redis.call('ZSCORE', z, one)
      if score then
        out[1] = 1
        give(one, score, dead == 2)
        return out
      end
    else
      local n = redis.call('ZCARD', z)
      out[1] = out[1] + n
      if offset < n and count > 0 and bytes > 0 then
        local e = redis.call('ZRANGE', z, offset, offset + count - 1, 'WITHSCORES')
        for i = 1, #e, 2 do
          if bytes <= 0 then break end
          give(e[i], e[i + 1], dead == 2)
        end
        count = count - #e / 2
        offset = 0
      else
        offset = math.max(0, offset - n)
      end
    end
  end
end
return out
