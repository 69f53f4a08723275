#!lua flags=allow-oom
-- Deletes those of the named consumers that have no entry.
-- KEYS: stream
-- ARGV: group consumer ...
-- Answers: 0.
-- If a command fails: the consumers after it stay, and are deleted by a later call.
for i = 1, #ARGV, 2 do
  local p = redis.pcall('XPENDING', KEYS[1], ARGV[i], '-', '+', 1, ARGV[i + 1])
  if not p.err and not p[1] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 0
