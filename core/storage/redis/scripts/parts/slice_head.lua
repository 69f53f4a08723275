-- The head of act_replay.lua and act_purge.lua, before their waits() and act().
-- include clock
local r, x, h, b, c, mark, a = unpack(KEYS)
local set, count, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes, now = tonumber(ARGV[4]), clock()
