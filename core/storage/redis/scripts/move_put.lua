#!lua flags=allow-oom
-- Writes a batch to the target of a move. The target keeps what the last batch was, in its key of
-- the act, so that whoever goes on after a crash deletes that first and copies nothing twice; and
-- the highest epoch it has seen, so that an owner that was taken for dead and wakes up writes
-- nothing more.
-- KEYS: retry dead records bodies act copied delayed delayed-jobs
-- ARGV: epoch batch, then place id score record field body crashes of each job.
-- Answers: {stored of each place: s r x d} in all, or {} where another owner has been here.
-- If a command fails: the jobs before it are at the target as well as at the source. The batch
--   comes again, and leaves out those whose record is there.
-- include record
-- include clock
local r, x, h, b, a, copied, d, j = unpack(KEYS)
local v = redis.call('HMGET', a, 'epoch', 'batch')
if tonumber(v[1] or 0) > tonumber(ARGV[1]) then return {} end
local last, now, n = {}, ms(clock()), {s = 0, r = 0, x = 0, d = 0}
for id in string.gmatch(v[2] or '', '=(%d+)') do last[id] = true end
for i = 3, #ARGV, 7 do
  local place, id, score, rec, field, body, crashes = unpack(ARGV, i, i + 6)
  local known = last[id] or redis.call('HEXISTS', h, id) == 1 or
                redis.call('SISMEMBER', copied, id) == 1
  if place == 'd' then
    if not last[id] and redis.call('HEXISTS', j, id) == 0 then
      redis.call('HSET', j, id, body)
      redis.call('ZADD', d, score, id)
      n.d = n.d + 1
    end
  elseif not known then
    redis.call('HSET', b, id, body)
    if place == 's' or place == 'c' then
      rec = record(0, crashes, now, now, 0, field, '', '')
    elseif rec == '' then
      rec = lost_record('0')
    end
    redis.call('HSET', h, id, rec)
    redis.call('ZADD', place == 'x' and x or r, score, id)
    if place == 'c' then redis.call('SADD', copied, id) end
    if place == 'c' then place = 'd' end
    n[place] = n[place] + 1
  end
end
redis.call('HSET', a, 'epoch', ARGV[1], 'batch', ARGV[2])
redis.call('EXPIRE', a, 604800)
redis.call('EXPIRE', copied, 604800)
local out = {}
for k, place in ipairs({'s', 'r', 'x', 'd'}) do
  out[k] = redis.call('HINCRBY', a, 'n:'..place, n[place])
end
return out
