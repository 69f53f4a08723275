-- How many entries a group still has ahead is Redis' `lag`, which is the stream's entries-added
-- less the group's entries-read. Redis 7.0 writes a read to its append-only file, and to its
-- replicas, without entries-read: after a restart or a failover the lag counts jobs that were
-- handled long ago, or is not known. So the hash `counted` keeps for each group the run id of the
-- server under which the group was made or counted again. Under another run id `lag` is an upper
-- bound. Where the last entry that a group had was deleted by id, Redis does not tell the lag
-- either.
--
-- near(s, id, len, most): the entries behind `id`, if it has fewer than `most` before it or behind
--   it; else nil, the first of the last `most` entries, and how many these are.
-- slice(s, len, bytes, max): as many entries as have so many bytes (XRANGE copies them), at most
--   max.
-- added(s): entries-added.
-- holes(s, id): an entry behind `id` was deleted by its id (a job that was cancelled). As long as that
--   lies ahead of a group Redis does not tell its lag, and no count changes that.
-- counted(...): notes that so many entries are ahead of the group.
local function near(s, id, len, most)
  local n = #redis.call('XRANGE', s, '-', id, 'COUNT', most)
  if n < most then return len - n end
  local page = redis.call('XREVRANGE', s, '+', '('..id, 'COUNT', most)
  if #page < most then return #page end
  return nil, page[#page][1], #page
end
local function slice(s, len, bytes, max)
  local one = (redis.call('MEMORY', 'USAGE', s) or 0) / math.max(len, 1)
  return math.max(4, math.min(max, math.floor(bytes / math.max(one, 1))))
end
local function added(s)
  local info = redis.call('XINFO', 'STREAM', s)
  for k = 1, #info, 2 do
    if info[k] == 'entries-added' then return info[k + 1] end
  end
end
local function holes(s, id)
  local info = redis.call('XINFO', 'STREAM', s)
  local m, q = string.match(id, '^(%d+)%-(%d+)$')
  for k = 1, #info, 2 do
    local hm, hq = string.match(tostring(info[k + 1]), '^(%d+)%-(%d+)$')
    if info[k] == 'max-deleted-entry-id' and hm then
      local far = tonumber(hm) - tonumber(m)
      return far > 0 or (far == 0 and tonumber(hq) > tonumber(q))
    end
  end
end
local function counted(s, h, t, g, ahead, all, run)
  if all >= ahead and g[10] ~= all - ahead then
    redis.pcall('XGROUP', 'SETID', s, t, g[8], 'ENTRIESREAD', all - ahead)
  end
  redis.pcall('HSET', h, t, run)
end
