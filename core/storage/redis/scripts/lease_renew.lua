#!lua
-- Renews the lease of a node's name, and answers what a node looks at now and then. It is one script
-- with few commands, because each idle node sends it every two seconds. Without allow-oom: so a
-- server that takes no jobs says so, and lease_join.lua renews the lease there.
-- KEYS: lease nodes marks beats acts:open told acts:begun
-- ARGV: name instance lease_ms shard mark entry since owner full from. mark: '' where the last
--   one will do. full: the script writes this node's entry, and answers the whole registry. It does
--   the same where the data is not that of `since` any more. It also writes the entry where the node
--   was declared dead, and answers the registry where a node does not hold its lease. owner: of acts,
--   or '': they are not asked for. from: the last entry of `told` that this node had, or ''.
-- Answers: {0, '0', was declared dead, since, the server's clock in ms, peers, n, entries of
--   `told`, ids of n acts without an owner, then name entry state of each node}. peers: 1
--   others hold their leases, 0 there are none, -1 the registry says it. Like lease_join.lua where the lease is
--   another's: {1, instance, its remaining ms, its entry}.
-- If a command fails: the lease is not renewed, or the registry has an older entry. The next
--   renewal writes all of it again.
-- include clock
-- include fields
-- include beat
-- include registry
-- include ownerless
-- include news
local name, inst, lease, told = ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local cur = redis.call('GET', KEYS[1])
if cur and cur ~= inst then
  return {1, cur, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[2], name) or ''}
end
local now, b = clock(), fields(KEYS[4])
local gap, full = now - tonumber(b['@at'] or 0), ARGV[9] == '1' or b['@since'] ~= told
local died, since = beat(KEYS[4], b, name, lease, now, gap < 0 or gap > 0.75 * lease,
                         b['@run'] or '', told)
redis.call('SET', KEYS[1], inst, 'PX', lease)
if full or died == 1 then redis.call('HSET', KEYS[2], name, ARGV[6]) end
if ARGV[5] ~= '' and tonumber(ARGV[5]) > tonumber(redis.call('HGET', KEYS[3], ARGV[4]) or '0') then
  redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
end
local peers = 0
for other in pairs(b) do
  if other ~= name and string.sub(other, 1, 1) ~= '@' and not full then
    peers = 1
    full = redis.call('EXISTS', 'pb:{@}:node:'..other) == 0
  end
end
local out = {0, '0', died, since, ms(now), full and -1 or peers, 0,
             news(KEYS[6], ARGV[10])}
if ARGV[8] ~= '' then
  ownerless(out, KEYS[5], KEYS[7], now, name, ARGV[8])
  out[7] = #out - 8
end
return full and registry(out, KEYS[2], KEYS[4], b, lease, '') or out
