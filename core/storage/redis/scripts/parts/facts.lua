-- facts(out, id, score, dead, record, head): appends what is known of a failed job to `out`: id score
--   dead claimed record size body, with `head` bytes of the body. Returns how many bytes were read.
--   KEYS[4] are the bodies, KEYS[5] the claims.
local function facts(out, id, score, dead, m, head)
  local k, size = #out, redis.call('HSTRLEN', KEYS[4], id)
  out[k + 1], out[k + 2], out[k + 3] = id, score, dead and 1 or 0
  out[k + 4], out[k + 5] = redis.call('HEXISTS', KEYS[5], id), m
  out[k + 6], out[k + 7] = size, ''
  if head == 0 then return 0 end
  out[k + 7] = string.sub(redis.call('HGET', KEYS[4], id) or '', 1, head)
  return size
end
