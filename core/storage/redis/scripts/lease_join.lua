#!lua flags=allow-oom
-- Takes the lease of a node's name, and its shard; renews it where memory is full.
-- KEYS: lease nodes marks beats
-- ARGV: name instance lease_ms shard mark entry replace first since. replace: an instance that is
--   known to be dead.
-- Answers: {0, mark, was declared dead, since} held; {1, instance, its remaining ms, its entry}
--   taken; {2, node} the shard is another living node's.
-- If a command fails: the lease is not renewed, or the registry has an older entry. The next
--   renewal writes all of it again.
--
-- Who is dead is decided by Redis alone, by its clock and by what it was asked: a time `up` goes on
-- only while some node renews its lease, and each node's mark says where `up` was at that node's
-- last renewal. While nobody can renew (no server, one that is full, read-only, slow) `up` stands
-- still. From one renewal to the next it goes on by at most 0.3 leases, however long that took.
-- After a gap (`epoch`: where `up` was then) everybody has a whole lease to come back. So a node is
-- dead when `up` is one and a half leases past both its mark and the epoch: renewals are a quarter
-- of a lease apart at most, and the rest is for making a connection.
-- include clock
-- include fields
-- include beat
local name, inst, lease, shard = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local first = ARGV[8] == '1'
local cur = redis.call('GET', KEYS[1])
if cur and cur ~= inst and cur ~= ARGV[7] then
  return {1, cur, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[2], name) or ''}
end
if first then
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    if all[i] ~= name and string.match(all[i + 1], '^%d+') == shard and
       redis.call('EXISTS', 'pb:{@}:node:'..all[i]) == 1 then return {2, all[i]} end
  end
end
local now, b = clock(), fields(KEYS[4])
local gap, run = now - tonumber(b['@at'] or 0), b['@run'] or ''
local cut = gap < 0 or gap > 0.75 * lease or (first and gap > 0.3 * lease)
if first then
  local info = redis.pcall('INFO', 'server')
  run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or run
  cut = cut or run ~= b['@run']
end
local died, since = beat(KEYS[4], b, name, ARGV[3], now, cut, run, ARGV[9])
local mark = redis.call('HGET', KEYS[3], shard) or '0'
redis.call('SET', KEYS[1], inst, 'PX', ARGV[3])
redis.call('HSET', KEYS[2], name, ARGV[6])
-- The first ids begin at `mark`, which may be later than the node's clock.
local next = math.max(tonumber(ARGV[5]), first and tonumber(mark) + tonumber(ARGV[3]) / 4 or 0)
if next > tonumber(mark) then redis.call('HSET', KEYS[3], shard, ms(next)) end
return {0, mark, died, since}
