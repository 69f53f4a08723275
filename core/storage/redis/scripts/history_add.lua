#!lua flags=allow-oom
-- Writes what a node has of a topic, or of itself: a row, signatures of failures, and an hour that
-- it has put together. Tells whether another hour is over and nobody puts it together.
-- KEYS: minutes hours (signatures stream dead retry claims: of a topic)
-- ARGV: node seq again row hour-ms hour hour-gauges topic other, then for each signature: id count
--   first-ago last-ago code job text. row '': signatures only.
-- Answers: {hour due or 0, then gauges and row of each of its minutes}.
-- If a command fails: the row is written and the rest is not. The caller gives all of it again and
--   says so; a row that is there answers that, so the signatures of that write are lost and nothing
--   counts twice. Expiry and trimming only tidy up.
--
-- Rows get their ids from Redis, which never fall: once its hour is over nothing comes to it any
-- more. Its row has the hour as its id, so of two nodes that put it together one alone succeeds.
-- Of an hour that is not put together yet no minute is trimmed.
-- include clock
local m, hrs, sig = KEYS[1], KEYS[2], KEYS[3]
local node, seq, blob, now = ARGV[1], ARGV[2], ARGV[4], clock()
local KEEP, HOUR = 2764800, 3600000
local mark = '@'..node
local function again()
  if sig and string.match(redis.call('HGET', sig, mark) or '', '^%d+') == seq then return true end
  for _, e in ipairs(blob ~= '' and redis.call('XREVRANGE', m, '+', '-', 'COUNT', 64) or {}) do
    if e[2][2] == node and e[2][4] == blob then return true end
  end
end
local function gauges()
  if not sig then return '' end
  local s, x, r, c = unpack(KEYS, 4)
  local all, ready, running, oldest = redis.pcall('XINFO', 'GROUPS', s), 0, redis.call('HLEN', c)
  local retry = math.max(0, redis.call('ZCARD', r) - running)
  for _, g in ipairs(all.err and {} or all) do
    if g[2] == ARGV[8] then
      ready = g[12] or math.max(0, redis.call('XLEN', s) - g[6])
      running = running + g[6]
      if g[6] > 0 then
        oldest = redis.call('XPENDING', s, g[2], '-', '+', 1)[1][1]
      elseif ready > 0 then
        local e = redis.call('XRANGE', s, '('..g[8], '+', 'COUNT', 1)[1]
        oldest = e and e[1]
      end
    end
  end
  local age = oldest and (now - tonumber(string.match(oldest, '^%d+'))) / 1000 or 0
  return string.format('%.0f %.0f %.0f %.0f %.0f', ready, running, retry,
                       redis.call('ZCARD', x), math.max(0, math.floor(age)))
end
-- The signature that was seen longest ago gives its place away.
local function room()
  if redis.call('HLEN', sig) <= 200 then return end
  local all, n, last, id, count = redis.call('HGETALL', sig), 0
  for i = 1, #all, 2 do
    local c, _, l = string.match(all[i + 1], '^(%d+) (%d+) (%d+) ')
    if l then
      n = n + 1
      if not last or tonumber(l) < last then last, id, count = tonumber(l), all[i], c end
    elseif string.sub(all[i], 1, 1) == '@' then
      local at = tonumber(string.match(all[i + 1], '^%d+ (%d+)'))
      if at and now - at > KEEP * 1000 then redis.call('HDEL', sig, all[i]) end
    end
  end
  if n > 200 then
    redis.call('HDEL', sig, id)
    redis.call('HINCRBY', sig, 'other', count)
    return true
  end
end
local function count(id, n, first, last, code, job, text)
  first, last = now - first, now - last
  local old = redis.call('HGET', sig, id)
  if old then
    local c, f = string.match(old, '^(%d+) (%d+) ')
    n, first = n + (c or 0), math.min(first, f or first)
  end
  redis.call('HSET', sig, id, ms(n)..' '..ms(first)..' '..ms(last)..' '..code..' '..job..' '..text)
end
if ARGV[3] == '1' and again() then return {0} end
if blob ~= '' then
  redis.call('XADD', m, '*', 'n', node, 'b', blob, 'g', gauges())
  redis.pcall('EXPIRE', m, KEEP)
end
if sig and (ARGV[10] or ARGV[9] ~= '0') then
  if ARGV[9] ~= '0' then redis.call('HINCRBY', sig, 'other', ARGV[9]) end
  for i = 10, #ARGV, 7 do count(unpack(ARGV, i, i + 6)) end
  redis.call('HSET', sig, mark, seq..' '..ms(now))
  for _ = 10, #ARGV, 7 do if not room() then break end end
end
if ARGV[5] ~= '0' then
  local done = redis.pcall('XADD', hrs, ARGV[5]..'-1', 'n', '', 'b', ARGV[6], 'g', ARGV[7])
  if not (type(done) == 'table' and done.err) then
    redis.pcall('XTRIM', hrs, 'MINID', '~', ms(now - KEEP * 1000))
    redis.pcall('EXPIRE', hrs, KEEP)
  end
  if sig then redis.pcall('HDEL', sig, '@') end
end
if blob == '' then return {0} end
local last = redis.call('XREVRANGE', hrs, '+', '-', 'COUNT', 1)[1]
local from = last and tonumber(string.match(last[1], '^%d+')) + HOUR or 0
local this = now - now % HOUR
local first = from < this and
              redis.call('XRANGE', m, ms(from), ms(this - 1), 'COUNT', 1)[1]
redis.pcall('XTRIM', m, 'MINID', '~', ms(math.min(now - 90000000, first and from or this)))
if not first then return {0} end
if sig then
  local who = tonumber(redis.call('HGET', sig, '@') or 0)
  if who and who > now then return {0} end
  redis.call('HSET', sig, '@', ms(now + 180000))
end
local hour = tonumber(string.match(first[1], '^%d+'))
hour = hour - hour % HOUR
local out = {hour}
for _, e in ipairs(redis.call('XRANGE', m, ms(hour), ms(hour + HOUR - 1))) do
  out[#out + 1], out[#out + 2] = e[2][6] or '', e[2][4]
end
return out
