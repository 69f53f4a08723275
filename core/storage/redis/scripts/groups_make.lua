#!lua flags=allow-oom
-- Makes the groups of a queue's topics that are missing.
-- KEYS: stream paused counted
-- ARGV: retain (1: there may be entries without a group) run, then topic start of each topic.
--   start: $, 0, or for a group that was there once in the life of this node ! (p: and its topic
--   was paused).
-- Answers: {made, how many of these were lost, groups there are now, is @ there, then the topics
--   that are to be counted}.
-- If a command fails: XGROUP CREATE: the groups before it are there, and the call comes again. That
--   a pause is put back, and that the lag is counted, are no conditions.
--
-- The data was lost where a group of the start ! or p is missing, and where there are jobs and no
-- group at all. Then whatever the stream holds is new, and for all topics. A group @ that nobody
-- reads is made as well, so that nothing is deleted before every node has made the groups of its
-- topics again. A group that was dropped (parts/dropped.lua) begins where it was.
--
-- ENTRIESREAD makes the lag known from the beginning, also in the middle of a stream. A group that
-- was counted under another run is counted here where that is quick, at most some 2,000 entries in
-- all; else by group_count.lua.
-- include near
local s, h, run, have, made, lost, n = KEYS[1], KEYS[3], ARGV[2], {}, 0, 0, 0
local len, all, most, left, later = redis.call('XLEN', s), nil, nil, 2000, {}
if redis.call('EXISTS', s) == 1 then
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', s)) do
    have[g[2]] = g
    n = n + 1
  end
else
  all = 0
end
local bare = n == 0 and len > 0 and ARGV[1] ~= '1'
local function create(name, from, after)
  all = all or added(s)
  local at = from == '0' and all - len or all
  if after then
    redis.call('XGROUP', 'CREATE', s, name, after, 'MKSTREAM')
    redis.pcall('HDEL', h, name)
    redis.pcall('HSET', string.sub(s, 1, -2)..'g', name, after)
    later[#later + 1] = name
    n = n + 1
    return
  end
  redis.call('XGROUP', 'CREATE', s, name, from, 'MKSTREAM', 'ENTRIESREAD', at)
  redis.pcall('HSET', h, name, run)
  local i = redis.call('XINFO', 'STREAM', s)
  for k = 1, #i, 2 do
    if i[k] == 'last-generated-id' then
      redis.pcall('HSET', string.sub(s, 1, -2)..'g', name, from == '0' and '0-0' or i[k + 1])
    end
  end
  n = n + 1
end
local function recount(t, g)
  local ahead
  if left > 0 then
    most = most or slice(s, len, 65536, 100)
    ahead = near(s, g[8], len, most)
    left = left - 2 * most
  end
  if ahead then
    all = all or added(s)
    counted(s, h, t, g, ahead, all, run)
  else
    redis.pcall('HDEL', h, t)
    later[#later + 1] = t
  end
end
for i = 3, #ARGV, 2 do
  local g, start = have[ARGV[i]], ARGV[i + 1]
  if g then
    if not g[12] or redis.call('HGET', h, ARGV[i]) ~= run then recount(ARGV[i], g) end
  else
    local known = start == '!' or start == 'p'
    local was = known and redis.call('HGET', string.sub(s, 1, -2)..'g', ARGV[i]) or ''
    local after = string.match(was, '^%-(%d+%-%d+)$')
    create(ARGV[i], (start == '$' and not bare) and '$' or '0', after)
    made = made + 1
    if known and not after then lost = lost + 1 end
    if start == 'p' then redis.pcall('HSETNX', KEYS[2], ARGV[i], 1) end
  end
end
if (lost > 0 or bare) and not have['@'] then
  create('@', '0')
  have['@'] = true
end
return {made, lost, n, have['@'] and 1 or 0, unpack(later)}
