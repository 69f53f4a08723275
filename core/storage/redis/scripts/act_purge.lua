#!lua flags=allow-oom
-- One slice of an act that purges many jobs.
-- KEYS: retry dead records bodies claims mark act [undo]
-- ARGV: set count limit bytes rate
-- Answers: {done, of, over, 0, after how many ms to ask again}.
-- If a command fails: the jobs before it are deleted and not counted. Nobody meets what is left of
--   the job at hand. The next slice begins where the last one ended.
-- include slice_head
-- include purge
local function waits() return 0 end
local act = purge
-- include slice
