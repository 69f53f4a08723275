#!lua flags=allow-oom
-- Counts one slice of what is ahead of a group: from the stream's end down to the entry that the
-- group had last. Nothing is deleted in between meanwhile, and all that is added meanwhile is ahead
-- of it.
-- KEYS: stream counted
-- ARGV: run topic node, then from n added of the answer before ('' 0 0 at first).
-- Answers: {0} counted, or there is nothing to count; {1, from, n, added} go on; {2} another node
--   counts. One node at a time, by the field @ of `counted`.
-- If a command fails: what was counted so far is lost, and the count begins again.
-- include near
-- include clock
local s, h, run, t, me = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local from, n, was = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local g
local all = redis.pcall('XINFO', 'GROUPS', s)
for _, o in ipairs(all.err and {} or all) do
  if o[2] == t then g = o end
end
if not g or (g[12] and redis.call('HGET', h, t) == run) then return {0} end
local now = clock()
local by, till = string.match(redis.call('HGET', h, '@') or '', '^(%S+) (%d+)$')
if by and by ~= me and tonumber(till) > now and tonumber(till) < now + 60000 then
  return {2}
end
redis.call('HSET', h, '@', me..' '..ms(now + 5000))
local len = redis.call('XLEN', s)
local most = slice(s, len, 131072, 500)
if from ~= '' then
  local page = redis.call('XREVRANGE', s, '('..from, '('..g[8], 'COUNT', most)
  n = n + #page
  if #page == most then return {1, page[most][1], n, was} end
  local e = redis.call('XRANGE', s, '('..g[8], '+', 'COUNT', 1)[1]
  if page[1] or (e and e[1] == from) then
    local is = added(s)
    counted(s, h, t, g, n + is - was, is, run)
    return {0}
  end
end
local ahead, at, k = near(s, g[8], len, most)
local is = added(s)
if not ahead then return {1, at, k, is} end
counted(s, h, t, g, ahead, is, run)
return {0}
