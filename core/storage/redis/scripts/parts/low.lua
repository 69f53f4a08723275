-- low(s, groups, m, q): the first entry that some group has not had and settled, at most m-q (nil:
--   no such bound), how many entries at most are settled by all, and the stream's length. Of XINFO
--   GROUPS: 2 name, 6 pending, 8 last delivered id, 12 lag. What is pending lies behind the last
--   delivered id where an operator set a group back. The long form of XPENDING looks at one entry,
--   the short one at every consumer.
--
-- trim(s, m, q, len): deletes below m-q. In a long stream whole nodes only, and at most some 10,000
--   entries (`~`): a million at once would hold Redis up.
local function parts(id)
  local m, q = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(m), tonumber(q)
end
local function after(am, aq, bm, bq) return am > bm or (am == bm and aq > bq) end
local function low(s, groups, m, q)
  local most = redis.call('XLEN', s)
  local len = most
  for _, o in ipairs(groups) do
    local om, oq = parts(o[8])
    oq = oq + 1
    if o[6] > 0 then
      local pm, pq = parts(redis.call('XPENDING', s, o[2], '-', '+', 1)[1][1])
      if after(om, oq, pm, pq) then om, oq = pm, pq end
    end
    if not m or after(m, q, om, oq) then m, q = om, oq end
    most = math.min(most, len - (o[12] or 0) - o[6])
  end
  return m, q, most, len
end
local function trim(s, m, q, len)
  local id = string.format('%.0f-%.0f', m, q)
  if len > 20000 then return redis.call('XTRIM', s, 'MINID', '~', id) end
  return redis.call('XTRIM', s, 'MINID', id)
end
