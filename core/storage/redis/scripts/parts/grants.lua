-- Grants of an act with a rate, by the server's clock, so that the rate holds whoever works at the
-- act. `granted` of the act is the time (ms, with fractions) up to which the grants are used up.
-- What was not used is saved for a second at most, and for no more than one slice.
--
-- grants(a, rate, now, limit): how many jobs may be taken now, and until when they are used up.
-- spend(a, rate, from, n, limit): n of them were taken. Returns after how many ms to ask again.
local function grants(a, rate, now, limit)
  if rate == 0 then return limit, 0 end
  local one, most = 1000 / rate, math.max(1, math.min(limit, rate))
  local from = tonumber(redis.call('HGET', a, 'granted') or now - one)
  if from > now then from = now end
  from = math.max(from, now - most * one)
  return math.floor((now - from) / one + 0.001), from
end
local function spend(a, rate, now, from, n, limit)
  if rate == 0 then return 0 end
  local one = 1000 / rate
  local want = math.max(1, math.min(limit, rate / 10))
  from = from + n * one
  redis.call('HSET', a, 'granted', string.format('%.3f', from))
  return math.max(1, math.ceil(from + want * one - now))
end
