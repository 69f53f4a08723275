-- forget(s, g, ids, from, spare, want) deletes what every group has had and settled. All below the
-- first entry that is not goes at once, which costs Redis a fraction of a deletion by id. Of what
-- lies behind it (a job that runs for hours may be that first one) up to `spare` entries may stay
-- until it is their turn; beyond that, those of `ids` are deleted one by one.
-- want: so many groups there are, as far as this node knows; -1: it does not know. With another
--   number (the data was lost, or somebody destroyed a group) nothing is deleted: it may be a job
--   that a group should have had.
--
-- tidy(...) does the same, and returns what the caller should hear of it: nil, 'groups', 'more'
-- (there may be more to trim), or the server's words. What cannot be deleted stays in the stream,
-- settled.
-- include low
local function forget(s, g, ids, from, spare, want)
  if #ids < from then return end
  local groups = redis.pcall('XINFO', 'GROUPS', s)
  if groups.err or (#groups ~= want and want ~= -1) then return 'groups' end
  if not groups[1] then return end
  local m, q, most, len = low(s, groups)
  local cut = trim(s, m, q, len)
  if cut >= 5000 then return 'more' end
  if most - cut <= spare then return end
  local keep, lo, hi, lom, loq, him, hiq = {}
  local at, ms, qs = {}, {}, {}
  for i = from, #ids do
    local im, iq = parts(ids[i])
    if not after(m, q, im, iq) then
      local id = ids[i]
      at[#at + 1], ms[id], qs[id] = id, im, iq
      if not lo or after(lom, loq, im, iq) then lo, lom, loq = id, im, iq end
      if not hi or after(im, iq, him, hiq) then hi, him, hiq = id, im, iq end
    end
  end
  if not lo then return end
  for _, o in ipairs(groups) do
    if o[2] ~= g then
      local dm, dq = parts(o[8])
      if after(him, hiq, dm, dq) then
        for _, id in ipairs(at) do
          if after(ms[id], qs[id], dm, dq) then keep[id] = true end
        end
      end
      if o[6] > 0 and not after(lom, loq, dm, dq) then
        local count = 2 * #at + 16
        local p = redis.call('XPENDING', s, o[2], lo, hi, count)
        for _, e in ipairs(p) do keep[e[1]] = true end
        if #p == count then
          local em, eq = parts(p[#p][1])
          for _, id in ipairs(at) do
            if after(ms[id], qs[id], em, eq) and
               redis.call('XPENDING', s, o[2], id, id, 1)[1] then
              keep[id] = true
            end
          end
        end
      end
    end
  end
  local gone = {}
  for _, id in ipairs(at) do
    if not keep[id] then gone[#gone + 1] = id end
  end
  if gone[1] then redis.call('XDEL', s, unpack(gone)) end
end
local function tidy(...)
  local ok, said = pcall(forget, ...)
  if ok then return said end
  return type(said) == 'table' and said.err or tostring(said)
end
