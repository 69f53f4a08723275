#!lua flags=allow-oom
-- Takes over what a node was running: stream entries and claims.
-- KEYS: stream retry records bodies claims
-- ARGV: group me from until same now retain want n, then n entries, then ids of claims. same = 1:
--   this very process had them and lost the reply, which is no crash.
-- Answers: {gone, then entry id failed crashes field body of each}.
-- If a command fails: the jobs are taken one after the other. One that fails stays the other node's
--   (what was written of it is taken back) and does not hold up the rest. What is this node's by
--   now is answered, and the error only where nothing is.
--
-- What another node had moves into the retry set, claimed: by its entry that node could still
-- acknowledge it.
-- include forget
-- include record
-- include job_id
local s, r, h, b, c = unpack(KEYS)
local g, me, from, till, same = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local now, n, acked, bad = ARGV[6], tonumber(ARGV[9]), {}
local out = {0}
local function give(...)
  for _, v in ipairs({...}) do out[#out + 1] = v end
end
local function adopt(known, times, field, body)
  local e = try('HSET', b, known, body) or
            try('HSET', h, known, record(0, times, now, now, 0, field, from,
                                         'was running on '..from..', which died')) or
            try('ZADD', r, till, known) or try('HSET', c, known, me)
  if not e then return end
  redis.pcall('HDEL', c, known)
  redis.pcall('ZREM', r, known)
  redis.pcall('HDEL', h, known)
  redis.pcall('HDEL', b, known)
  error(e)
end
local function entry(id)
  local p = redis.pcall('XPENDING', s, g, id, id, 1, from)
  if p.err or not p[1] then return end
  local times = p[1][4]
  local e = redis.call('XRANGE', s, id, id)[1]
  local field, body = e and e[2][1], e and e[2][2]
  local known = body and from ~= me and job(field, body)
  if known and redis.call('HEXISTS', h, known) == 0 then
    adopt(known, times, field, body)
    acked[#acked + 1] = id
    give('', known, 0, times, field, body)
  elseif body and same then
    redis.call('XCLAIM', s, g, me, 0, id, 'RETRYCOUNT', times, 'JUSTID')
    give(id, '0', 0, times - 1, field, body)
  elseif body then
    redis.call('XCLAIM', s, g, me, 0, id)
    give(id, '0', 0, times, field, body)
  else
    redis.call('XACK', s, g, id)
    out[1] = out[1] + 1
  end
end
local function retry(id)
  if redis.call('HGET', c, id) ~= from then return end
  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)
  if body then
    local f, cr, first, at, code, field, node, msg = parse(m or lost_record(now))
    redis.call('HSET', c, id, me)
    if not same then cr = tonumber(cr) + 1 end
    redis.pcall('ZADD', r, till, id)
    if not (same and m) then
      redis.pcall('HSET', h, id, record(f, cr, first, at, code, field, node, msg))
    end
    give('', id, tonumber(f), tonumber(cr), shown(field, first), body)
  else
    redis.call('HDEL', c, id)
  end
end
for i = 10, #ARGV do
  local ok, why = pcall(i <= 9 + n and entry or retry, ARGV[i])
  if not ok then bad = bad or why end
end
if acked[1] then
  redis.pcall('XACK', s, g, unpack(acked))
  if ARGV[7] ~= '1' then tidy(s, g, acked, 1, 0, tonumber(ARGV[8])) end
end
if bad and not out[2] then
  return type(bad) == 'table' and bad or redis.error_reply(tostring(bad))
end
return out
