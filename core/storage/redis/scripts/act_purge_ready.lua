#!lua flags=allow-oom
-- One slice of an act that purges what no node of a topic has taken: the topic's group reads the
-- entries as a node would, so all counts stay right. Entries that came after the act began stay.
-- KEYS: stream act
-- ARGV: group count limit bytes rate retain want
-- Answers: {done, of, over, 0, after how many ms to ask again}.
-- If a command fails: what was read is gone for the topic and not counted; the next slice goes on.
-- include clock
-- include forget
-- include near
-- include grants
local s, a, g = KEYS[1], KEYS[2], ARGV[1]
local count, limit, rate, now = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5]), clock()
local groups, group, upto = redis.pcall('XINFO', 'GROUPS', s)
for _, o in ipairs(groups.err and {} or groups) do
  if o[2] == g then group = o end
end
local v = redis.call('HMGET', a, 'upto', 'done', 'of', 'phase')
local n = tonumber(v[2] or 0)
if not group or v[4] == 'end' then return {n, n, 1, 0, 0} end
local len = redis.call('XLEN', s)
if not v[1] then
  local info = redis.call('XINFO', 'STREAM', s)
  for k = 1, #info, 2 do
    if info[k] == 'last-generated-id' then v[1] = info[k + 1] end
  end
  v[3] = math.max(0, math.min(group[12] or len, len - group[6]))
  if count > 0 then v[3] = math.min(v[3], count) end
end
local free, from = grants(a, rate, now, limit)
local most = math.min(limit, free, slice(s, len, tonumber(ARGV[4]), limit))
if count > 0 then most = math.min(most, count - n) end
local was, over = n, count > 0 and n >= count
if not over and most > 0 then
  local ids = {}
  for i, e in ipairs(redis.call('XRANGE', s, '('..group[8], v[1], 'COUNT', most)) do ids[i] = e[1] end
  if ids[1] then
    redis.call('XREADGROUP', 'GROUP', g, 'act', 'COUNT', #ids, 'NOACK', 'STREAMS', s, '>')
    n = n + #ids
    if ARGV[6] ~= '1' then tidy(s, g, ids, 1, 0, tonumber(ARGV[7])) end
  end
  over = #ids < most or (count > 0 and n >= count)
end
redis.call('HSET', a, 'upto', v[1], 'done', ms(n), 'of', ms(v[3]), 'phase', over and 'end' or 's')
redis.call('EXPIRE', a, 604800)
return {n, math.max(n, tonumber(v[3])), over and 1 or 0, 0, spend(a, rate, now, from, n - was, limit)}
