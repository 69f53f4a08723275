-- The head of act_replay.lua and act_purge.lua, before their waits() and act().
-- undo: the hash that keeps what it takes to undo the act (doc/store-layout.md), or nil.
-- include clock
-- include grants
local r, x, h, b, c, mark, a, undo = unpack(KEYS)
local set, count, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes, rate, now = tonumber(ARGV[4]), tonumber(ARGV[5]), clock()
