#!lua flags=allow-oom
-- Tells all nodes of an event.
-- KEYS: told
-- ARGV: instance event id
-- Answers: 1.
-- If a command fails: some nodes have not heard of it.
-- include tell
tell(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 1
