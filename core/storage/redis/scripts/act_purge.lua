#!lua flags=allow-oom
-- One slice of an act that purges many jobs.
-- KEYS: retry dead records bodies claims mark act
-- ARGV: set count limit bytes
-- Answers: {done, of, over}.
-- If a command fails: the jobs before it are deleted and not counted. Nobody meets what is left of
--   the job at hand. The next slice begins where the last one ended.
-- include slice_head
local function waits() return 0 end
local function act(z, id)
  bytes = bytes - redis.call('HSTRLEN', b, id)
  redis.call('ZREM', z, id)
  redis.call('HDEL', h, id)
  redis.call('HDEL', b, id)
  return true
end
-- include slice
