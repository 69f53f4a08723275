#!lua flags=no-writes,allow-oom
-- Tells revisions of the shared configuration, the newest first.
-- KEYS: revisions data
-- ARGV: before ('0': from the newest) count bytes (no further one after those that have so many)
-- Answers: {how many are kept, then record and bytes of each}.
-- If a command fails: it writes nothing.
local before, count, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local all, found, total = redis.call('HGETALL', KEYS[1]), {}, 0
for i = 1, #all, 2 do
  local n = tonumber(all[i])
  if n then
    total = total + 1
    if before == 0 or n < before then found[#found + 1] = {n, all[i], all[i + 1]} end
  end
end
table.sort(found, function(a, b) return a[1] > b[1] end)
local out = {total}
for i = 1, #found do
  if i > count or left <= 0 then break end
  local bytes = redis.call('HGET', KEYS[2], found[i][2])
  if bytes then
    out[#out + 1], out[#out + 2] = found[i][3], bytes
    left = left - #bytes
  end
end
return out
