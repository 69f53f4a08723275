#!lua flags=allow-oom
-- Settles jobs that did not go well, that are given back, or that came from the retry set. Only
-- where this node still owns the job.
-- KEYS: stream retry records bodies dead claims errors mark
-- ARGV: group node retain want, then for each outcome: kind (d done, r retry, x dead, l release)
--   entry-or-empty id due failed crashes code message
-- Answers: {how many it owned, how many others were not given back but settled[, what tidy()
--   says]}.
-- If a command fails: of each outcome the bytes are written first, then the record, then the set.
--   Only then is the claim let go, and the entry acknowledged. Where one of these writes fails the
--   job is still this node's, in the pending list or by its claim. The others are stored, and the
--   error is answered, so that the batch comes again and finds what it still owns. Of a job that is
--   done the claim goes last for the same reason. The error log is not on the way of a job: it may
--   fail.
--
-- The time of a failure is the server's, and later than the mark that the last act on the topic
-- left.
-- include forget
-- include record
-- include clock
local s, r, h, b, x, c, e, mark = unpack(KEYS)
local g, node, now = ARGV[1], ARGV[2], clock()
now = ms(math.max(now, tonumber(redis.call('GET', mark) or 0) + 1))
local acked, n, late, bad = {}, 0, 0
local function settle(kind, entry, id, due, failed, crashes, code, msg)
  local first, field, said = now, '', ''
  local own
  if entry ~= '' then
    local p = redis.pcall('XPENDING', s, g, entry, entry, 1, node)
    if p.err or not p[1] then
      if kind ~= 'l' then late = late + 1 end
      return
    end
    local en = redis.call('XRANGE', s, entry, entry)[1]
    if en then
      own, field = true, en[2][1]
      if kind ~= 'd' then redis.call('HSET', b, id, en[2][2]) end
    end
  elseif redis.call('HGET', c, id) == node then
    own = true
    local m, _ = redis.call('HGET', h, id) or lost_record(now)
    _, _, first, _, _, field = parse(m)
    if kind == 'l' then
      local at, cd, nd
      _, _, _, at, cd, _, nd, said = parse(m)
      redis.call('HSET', h, id, record(failed, crashes, first, at, cd, field, nd, said))
    end
  end
  if own then
    if kind == 'd' then
      redis.call('ZREM', r, id)
      redis.call('HDEL', b, id)
      redis.call('HDEL', h, id)
    else
      if kind ~= 'l' or entry ~= '' then
        redis.call('HSET', h, id,
                   record(failed, crashes, first, now, code, field, node, msg))
      end
      if kind == 'x' then
        redis.call('ZADD', x, now, id)
        redis.call('ZREM', r, id)
      else
        redis.call('ZADD', r, due, id)
      end
      if kind ~= 'l' then
        redis.pcall('XADD', e, 'MAXLEN', '~', 1000, '*',
                    'i', id, 'c', code, 'n', node, 'm', msg)
      end
    end
    redis.call('HDEL', c, id)
    n = n + 1
  elseif kind ~= 'l' then
    late = late + 1
  end
  if entry ~= '' then acked[#acked + 1] = entry end
end
for i = 5, #ARGV, 8 do
  local ok, why = pcall(settle, unpack(ARGV, i, i + 7))
  if not ok then bad = bad or why end
end
local said
if acked[1] then
  redis.call('XACK', s, g, unpack(acked))
  if ARGV[3] ~= '1' then said = tidy(s, g, acked, 1, 0, tonumber(ARGV[4])) end
end
if bad then return type(bad) == 'table' and bad or redis.error_reply(tostring(bad)) end
return {n, late, said}
