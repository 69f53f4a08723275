#!lua flags=allow-oom
-- Claims due retries for this node. A claim has no end of its own: its node settles it, or is found
-- dead.
-- KEYS: retry records bodies claims
-- ARGV: node now until count bytes
-- Answers: {next due, lost, then id failed crashes field body of each}.
-- If a command fails: the claim is written first, then the time. Where the second fails the first
--   is taken back. What was claimed before is answered, and the error only where there was nothing:
--   a job that is claimed and not answered would be nobody's. A job without a record runs, with
--   none of its attempts counted. Without its bytes there is nothing to run.
-- include record
local r, h, b, c = unpack(KEYS)
local out, left, bad = {0, 0}, tonumber(ARGV[5])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', r, '-inf', ARGV[2], 'LIMIT', 0, ARGV[4])) do
  if left <= 0 then break end
  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)
  if body then
    local f, cr, first, _, _, field = parse(m or lost_record(ARGV[2]))
    local won = redis.pcall('HSETNX', c, id, ARGV[1])
    bad = type(won) == 'table' and won or try('ZADD', r, ARGV[3], id)
    if bad then
      if won == 1 then redis.pcall('HDEL', c, id) end
      break
    end
    if won == 1 then
      if not m then redis.pcall('HSET', h, id, lost_record(ARGV[2])) end
      local k = #out
      out[k + 1], out[k + 2], out[k + 3], out[k + 4], out[k + 5] =
        id, tonumber(f), tonumber(cr), shown(field, first), body
      left = left - #body
    end
  else
    redis.call('ZREM', r, id)
    redis.call('HDEL', h, id)
    redis.call('HDEL', c, id)
    out[2] = out[2] + 1
  end
end
if bad and not out[3] then return bad end
local e = redis.call('ZRANGE', r, 0, 0, 'WITHSCORES')
if e[2] then out[1] = math.max(1, tonumber(e[2])) end
return out
