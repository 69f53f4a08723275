-- The head of act_replay.lua, act_purge.lua and act_some.lua, before they define anything.
-- undo: the hash that keeps what it takes to undo the act (doc/store-layout.md), or nil.
-- include clock
-- include grants
local r, x, h, b, c, mark, a, undo = unpack(KEYS)
local set, count, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes, rate, now = tonumber(ARGV[4]), tonumber(ARGV[5]), clock()
-- Which jobs were there when the act began: those that failed at or before `began`. Failures get
-- the time of the server's clock, and always a later one than `began`, whose greatest value is kept
-- in the topic's mark (settle_others.lua looks at it). What an older release stored by the clock of
-- a node may lie ahead of all that; it did not fail after `began`, for then it would have a time of
-- the server's.
--
-- begin(): when the act begins. later(record, began): the job failed after that.
local function begin()
  local began = math.max(now, tonumber(redis.call('GET', mark) or 0))
  local last = redis.call('ZRANGE', x, -1, -1, 'WITHSCORES')[2]
  began = math.max(began, tonumber(last or 0))
  redis.call('SET', mark, ms(began), 'PX', ms(began - now + 604800000))
  return began
end
local function later(m, began)
  local at = tonumber(string.match(m, '^%d+ %d+ %d+ (%d+) '))
  return at and at > began and at <= math.max(now, began + 1)
end
