#!lua flags=allow-oom
-- One slice of an act that replays many jobs. A replayed job waits with score 0: it is taken first,
-- and no page meets it again.
-- KEYS: retry dead records bodies claims mark act [undo]
-- ARGV: set count limit bytes rate
-- Answers: {done, of, over, 0, after how many ms to ask again}.
-- If a command fails: the jobs before it are replayed and not counted. The job at hand is dead, or
--   both, never neither. The next slice begins where the last one ended.
-- include slice_head
-- include replay
local function waits() return redis.call('ZCOUNT', r, '-inf', 0) end
local act = replay
-- include slice
