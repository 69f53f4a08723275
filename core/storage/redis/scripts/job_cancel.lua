#!lua flags=allow-oom
-- Cancels a job that does not run. A delayed one, and one that no topic has taken yet, is deleted. A
-- waiting retry becomes a dead job.
-- KEYS: stream delayed delayed-jobs
-- ARGV: id, the first bytes of its stored form, when it entered the stream (ms), topic ('': all),
--   code, message, node.
-- Answers: {what, how many, node}: delayed, ready, retry; running: refused, on which node; taken:
--   refused, some topic has it or had it; none: it is not there.
-- If a command fails: of a retry the record is written first, then the dead jobs, and only then does
--   it not wait any more: it is still a retry, or both, never neither.
-- include clock
-- include entry_of
-- include low
-- include record
local s, d, j = unpack(KEYS)
local keys, id, only = string.sub(s, 1, -2), ARGV[1], ARGV[4]
if redis.call('ZREM', d, id) == 1 then
  redis.call('HDEL', j, id)
  return {'delayed', 1, ''}
end
local groups = redis.pcall('XINFO', 'GROUPS', s)
if groups.err then return {'none', 0, ''} end
local waits, had = {}, false
for _, g in ipairs(groups) do
  local t = g[2]
  local waiting = redis.call('ZSCORE', keys..'r:'..t, id)
  had = had or waiting or redis.call('ZSCORE', keys..'x:'..t, id)
  if waiting and (only == '' or only == t) then
    local node = redis.call('HGET', keys..'c:'..t, id)
    if node then return {'running', 0, node} end
    waits[#waits + 1] = t
  end
end
for _, t in ipairs(waits) do
  local r, x, h = keys..'r:'..t, keys..'x:'..t, keys..'h:'..t
  local now = ms(math.max(clock(), tonumber(redis.call('GET', keys..'m:'..t) or 0) + 1))
  local f, cr, first, _, _, field = parse(redis.call('HGET', h, id) or lost_record(now))
  redis.call('HSET', h, id, record(f, cr, first, now, ARGV[5], field, ARGV[7], ARGV[6]))
  redis.call('ZADD', x, now, id)
  redis.call('ZREM', r, id)
end
if waits[1] then return {'retry', #waits, ''} end
local entry = entry_of(s, ARGV[2], ARGV[3])
if not entry then return {had and 'taken' or 'none', 0, ''} end
local m, q = parts(entry)
local taken = had
for _, g in ipairs(groups) do
  local p = redis.call('XPENDING', s, g[2], entry, entry, 1)[1]
  if p and (only == '' or only == g[2]) then return {'running', 0, p[2]} end
  local dm, dq = parts(g[8])
  taken = taken or p or (g[2] ~= '@' and not after(m, q, dm, dq))
end
if taken then return {'taken', 0, ''} end
redis.call('XDEL', s, entry)
return {'ready', 1, ''}
