#!lua flags=allow-oom
-- Gives jobs whose place was deleted by hand a place again. A job with record and bytes is in one
-- of the two sets. Where there are more records (and more than the `known` ones that have no bytes)
-- a page of them is looked through. A job whose attempts are used up was dead; the others wait
-- again, due at once.
-- KEYS: retry dead records bodies claims
-- ARGV: cursor known attempts crashes count
-- Answers: {put back, cursor, how many more}.
-- If a command fails: those before it have their place, and a later pass finds the others.
-- include record
local r, x, h, b, c = unpack(KEYS)
local more = redis.call('HLEN', h) - redis.call('ZCARD', r) - redis.call('ZCARD', x)
local n, attempts, crashes = 0, tonumber(ARGV[3]), tonumber(ARGV[4])
if more <= 0 or (ARGV[1] == '0' and more == tonumber(ARGV[2])) then
  return {0, '0', math.max(0, more)}
end
local page = redis.call('HSCAN', h, ARGV[1], 'COUNT', ARGV[5])
for i = 1, #page[2], 2 do
  local id = page[2][i]
  if not redis.call('ZSCORE', r, id) and not redis.call('ZSCORE', x, id) and
     redis.call('HEXISTS', b, id) == 1 then
    local f, cr, _, at = parse(page[2][i + 1])
    local over = tonumber(f) >= attempts or (crashes > 0 and tonumber(cr) >= crashes)
    if over and redis.call('HEXISTS', c, id) == 0 then
      redis.call('ZADD', x, at, id)
    else
      redis.call('ZADD', r, 0, id)
    end
    n = n + 1
  end
end
return {n, page[1], more - n}
