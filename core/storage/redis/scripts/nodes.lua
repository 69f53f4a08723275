#!lua flags=allow-oom
-- Tells the registry, and declares dead who is.
-- KEYS: nodes beats [told]
-- ARGV: lease_ms, one to remove if it is dead, or '', and the last entry of `told` that this node
--   had, or ''.
-- Answers: name entry state of each: 1 holds its lease, 0 it ran out, -1 dead; at the end the
--   entries of `told` since.
-- If a command fails: the next sweep looks again.
-- include clock
-- include fields
-- include registry
-- include news
local out = registry({}, KEYS[1], KEYS[2], fields(KEYS[2]), ARGV[1], ARGV[2], clock())
if KEYS[3] then out[#out + 1] = news(KEYS[3], ARGV[3]) end
return out
