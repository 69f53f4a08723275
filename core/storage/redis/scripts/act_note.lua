#!lua flags=allow-oom
-- Keeps the lease of an act and writes how far it is. Ends it where the state is not "running". Then
-- it can be undone for a minute, if it keeps what that takes.
-- KEYS: act acts open begun
-- ARGV: id owner lease done of state result note left
-- Answers: {1, who cancelled it or '', until when it can be undone}; {0, '', 0} it belongs to another
--   node now.
-- If a command fails: the act is still open, and the call comes again.
-- include clock
local KEEP_MS, UNDO_MS = 604800000, 60000 -- seven days
local now, a = clock(), KEYS[1]
local v = redis.call('HMGET', a, 'owner', 'state', 'cancel', 'keeps', 'undone_by', 'kind', 'undoes',
                     'undo_ms')
if v[1] ~= ARGV[2] then return {0, '', 0} end
if v[2] ~= 'running' then return {1, '', tonumber(v[8] or 0)} end
local lease, undo = tonumber(ARGV[3]), 0
redis.call('HSET', a, 'done', ARGV[4], 'of', ARGV[5], 'changed', ms(now), 'note', ARGV[8],
           'left', ARGV[9], 'until', lease > 0 and ms(now + lease) or 0)
if ARGV[6] ~= 'running' then
  local keeps, other = v[4] == '1', v[5] and v[5] ~= '' and 'pb:{@}:act:'..v[5]
  if keeps and other then
    undo = redis.call('HGET', other, 'state') == 'running' and 0 or 1
  elseif keeps then
    undo = now + UNDO_MS
  end
  redis.call('HSET', a, 'undo_ms', ms(undo), 'result', ARGV[7], 'ended', ms(now))
  redis.call('HSET', a, 'state', ARGV[6])
  local undone = v[6] == 'undo' and 'pb:{@}:act:'..v[7]
  if undone and redis.call('HGET', undone, 'undone_by') == ARGV[1] then
    redis.call('HSET', undone, 'undo_ms', 1)
  end
  redis.call('SREM', KEYS[3], ARGV[1])
  if not keeps then redis.call('SREM', KEYS[4], ARGV[1]) end
  redis.call('PEXPIRE', a, KEEP_MS)
end
return {1, v[3] or '', undo}
