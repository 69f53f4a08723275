#!lua flags=allow-oom
-- Some alerts: what is known of them, and which node watches each.
-- KEYS: for each: alert claim
-- ARGV: instance node lease, then for each: watches share. lease: in ms. watches: 1: this node takes
--   or keeps the claim. share: what this node adds, a number, or ''.
-- Answers: for each: 1 the claim is this node's or 0, state, silence, sum of the nodes' shares.
-- If a command fails: a claim without what follows ends with its lease.
-- include clock
local now, lease, out = clock(), tonumber(ARGV[3]), {}
for i = 1, #KEYS, 2 do
  local alert, claim, mine = KEYS[i], KEYS[i + 1], 0
  local watches, share = ARGV[i + 3], ARGV[i + 4]
  if watches == '1' then
    if redis.call('SET', claim, ARGV[1], 'NX', 'PX', ARGV[3]) then
      mine = 1
    elseif redis.call('GET', claim) == ARGV[1] then
      redis.call('PEXPIRE', claim, ARGV[3])
      mine = 1
    end
  end
  if share == '' or tonumber(share) == 0 then
    redis.call('HDEL', alert, 'share:' .. ARGV[2])
  else
    redis.call('HSET', alert, 'share:' .. ARGV[2], ms(now) .. ' ' .. share)
  end
  local all, state, silence, sum = redis.call('HGETALL', alert), '', '', 0
  for k = 1, #all, 2 do
    local at, value = string.match(all[k + 1], '^(%d+) (%S+)$')
    if all[k] == 'state' then
      state = all[k + 1]
    elseif all[k] == 'silence' then
      silence = all[k + 1]
    elseif string.sub(all[k], 1, 6) == 'share:' and at then
      if now - tonumber(at) < lease then
        sum = sum + (tonumber(value) or 0)
      elseif mine == 1 then
        redis.call('HDEL', alert, all[k])
      end
    end
  end
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = mine, state, silence
  out[n + 4] = string.format('%.17g', sum)
end
return out
