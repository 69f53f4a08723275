-- rank(z, score, last, newest): the rank of the first job behind a place in a sorted set, or with
--   `newest` of the last one before it. The place is a job that need not be there any more; among
--   the jobs of one score Redis keeps the order of their ids.
local function rank(z, score, last, newest)
  local lo = redis.call('ZCOUNT', z, '-inf', '('..score)
  local hi = redis.call('ZCOUNT', z, '-inf', score)
  while lo < hi do
    local mid = math.floor((lo + hi) / 2)
    local id = redis.call('ZRANGE', z, mid, mid)[1]
    if id and (id < last or (id == last and not newest)) then lo = mid + 1 else hi = mid end
  end
  return newest and lo - 1 or lo
end
