#!lua flags=allow-oom
-- Enters a new act.
-- KEYS: act acts open begun
-- ARGV: id owner lease kind keeps, then fields and values. keeps: 1 it can be undone for a minute.
-- Answers: {1, whether it can be undone}; {0, id} that one moves the same jobs already; {2, id} too
--   many are under way; {3, why} the other act cannot be undone.
-- If a command fails: the act is in no list and nobody works at it, or it is entered and the
--   operator hears an error.
--
-- `open` has the moves, and what an older release began. All others are in `begun`, of which that
-- release knows nothing: it would take an undo for a replay, and act on more than a filter says.
-- Where there are too many, new ones cannot be undone.
-- include clock
local KEEP_MS, KEEP_MAX = 604800000, 1000 -- seven days
local now, id = clock(), ARGV[1]
local open = redis.call('SMEMBERS', KEYS[3])
local begun = #redis.call('SMEMBERS', KEYS[4])
if #open >= KEEP_MAX or begun >= 2 * KEEP_MAX then return {2, ''} end
local keeps = ARGV[5] == '1' and begun < KEEP_MAX and '1' or ''
local new = {}
for i = 6, #ARGV, 2 do new[ARGV[i]] = ARGV[i + 1] end
if ARGV[4] == 'move' then
  for _, o in ipairs(open) do
    local v = redis.call('HMGET', 'pb:{@}:act:'..o, 'kind', 'queue', 'topic', 'from')
    if v[1] == 'move' and v[2] == new.queue and v[3] == new.topic and v[4] == new.from then
      return {0, o}
    end
  end
end
local undone, runs
if ARGV[4] == 'undo' then
  local other = 'pb:{@}:act:'..new.undoes
  local v = redis.call('HMGET', other, 'state', 'keeps', 'undone_by', 'undo_ms')
  local till = tonumber(v[4] or 0)
  if not v[1] then return {3, 'there is no act '..new.undoes} end
  if v[3] and v[3] ~= '' then
    return {3, 'act '..new.undoes..' is undone already, by act '..v[3]}
  end
  if v[2] ~= '1' then return {3, 'act '..new.undoes..' cannot be undone'} end
  if v[1] ~= 'running' and till <= now then
    return {3, 'act '..new.undoes..' cannot be undone any more: it ended over a minute ago'}
  end
  undone, runs = other, v[1] == 'running'
end
redis.call('HSET', KEYS[1], 'id', id, 'kind', ARGV[4], 'state', 'running', 'done', 0, 'of', 0,
           'started', ms(now), 'changed', ms(now), 'owner', ARGV[2],
           'until', ms(now + tonumber(ARGV[3])), 'epoch', 1, 'keeps', keeps, unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], ms(now), id)
redis.call('SADD', ARGV[4] == 'move' and KEYS[3] or KEYS[4], id)
if undone then redis.call('HSET', undone, 'undone_by', id, 'undo_ms', 0) end
if undone and runs then redis.call('HSET', undone, 'cancel', 'act '..id) end
local function forget(ids)
  for _, o in ipairs(ids) do
    if redis.call('SISMEMBER', KEYS[3], o) == 0 and redis.call('SISMEMBER', KEYS[4], o) == 0 then
      redis.call('DEL', 'pb:{@}:act:'..o)
      redis.call('ZREM', KEYS[2], o)
    end
  end
end
forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms(now - KEEP_MS), 'LIMIT', 0, 100))
local many = redis.call('ZCARD', KEYS[2]) - KEEP_MAX
if many > 0 then forget(redis.call('ZRANGE', KEYS[2], 0, many - 1)) end
return {1, keeps}
