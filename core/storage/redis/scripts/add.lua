-- Adds one job, or several of one request, where the plain XADD does not do: with a limit, a token
-- or a delay.
-- KEYS: stream delayed delayed-jobs [token]
-- ARGV: field due max_length max_bytes more-jobs more-bytes token-ms, then value id of each job.
--   more-*: jobs of the same request that come after these. The limits are checked for all of them.
-- Answers: {0, id[, why the token is not kept]} stored; {1, id} the token is known; {2, n} too
--   long; {3, n} too large; {4, n, why} only the first n are stored. Jobs that all topics have
--   settled may still be in the stream. They do not count: the longest backlog of a topic does.
-- If a command fails: XADD or HSET: nothing has happened. A later XADD of several: the jobs before
--   it are stored, and counted. ZADD: the bytes are deleted again, else they would lie there for
--   ever. The token is written last: without it the job is stored all the same, and a token without
--   its job would be a promise that nobody keeps.
-- include try
local s, d, j, token = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if token then
  local id = redis.call('GET', token)
  if id then
    redis.pcall('PEXPIRE', token, ARGV[7])
    return {1, id}
  end
end
local field, due, max, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if max > 0 then
  local want = (#ARGV - 7) / 2 + tonumber(ARGV[5])
  local later, n = redis.call('ZCARD', d), redis.call('XLEN', s)
  if n > 0 and n + later + want > max then
    local worst
    for _, g in ipairs(redis.call('XINFO', 'GROUPS', s)) do
      if g[2] ~= '@' then worst = math.max(worst or 0, (g[12] or n) + g[6]) end
    end
    if worst then n = math.min(n, worst) end
  end
  if n + later + want > max then return {2, n + later} end
end
if most > 0 then
  local n = (redis.call('MEMORY', 'USAGE', s) or 0) +
            (redis.call('MEMORY', 'USAGE', j) or 0)
  local bytes = tonumber(ARGV[6])
  for i = 8, #ARGV, 2 do bytes = bytes + #ARGV[i] end
  if n + bytes > most then return {3, n} end
end
local id = ARGV[9]
if due ~= '0' then
  redis.call('HSET', j, id, field..'\n'..ARGV[8])
  local e = try('ZADD', d, due, id)
  if e then
    redis.pcall('HDEL', j, id)
    return e
  end
else
  redis.call('XADD', s, '*', field, ARGV[8])
  for i = 10, #ARGV, 2 do
    local e = try('XADD', s, '*', field, ARGV[i])
    if e then return {4, (i - 8) / 2, e.err} end
  end
end
local e = token and try('SET', token, id, 'PX', ARGV[7])
return {0, id, e and e.err}
