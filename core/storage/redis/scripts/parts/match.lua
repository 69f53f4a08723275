-- filter(i, b, spend): reads a filter from ARGV, ten of them from i on: set crashes match body code
--   since until node attempts-min attempts-max. '' and 0 stand for all; set: 1 retries, 2 dead
--   jobs, 4 dead jobs with `crashes` crashes and more (0: there are none); match in small letters.
--   Returns matches(id, record, dead). Contents are read by HGET from b, and spend(bytes) hears of
--   each. A job without a record failed at 0, with no message.
local function filter(i, b, spend)
  local set, crashes, text, part, code = unpack(ARGV, i, i + 4)
  local since, till, node, least, most = unpack(ARGV, i + 5, i + 9)
  local find, lower, match, sub = string.find, string.lower, string.match, string.sub
  set, crashes, since, till = tonumber(set), tonumber(crashes), tonumber(since), tonumber(till)
  least, most = tonumber(least), tonumber(most)
  local retries = set % 2 == 1
  local plain, quarantined = set % 4 >= 2, set >= 4
  local dead_all = plain and (quarantined or crashes == 0)
  local word = code ~= '' and ' '..code..' ' or nil
  local exact = text ~= '' or word or since > 0 or till > 0 or node ~= '' or least > 0 or most > 0 or
                part ~= ''
  local function content(id, field)
    local v = redis.call('HGET', b, id)
    if not v then return false end
    spend(#v)
    local from = 1
    if sub(field, 1, 2) == '1:' and #v >= 9 then
      from = string.byte(v, 9) >= 128 and 11 + (string.byte(v, 10) or 0) or 10
    end
    return find(v, part, from, true)
  end
  return function(id, m, dead)
    if not dead and not retries then return false end
    if not exact and (not dead or dead_all) then return true end
    m = m or '0 0 0 0 0 0 0\n'
    if dead and not dead_all then
      local c = tonumber(match(m, '^%d+ (%d+) ') or 0)
      if crashes > 0 and c >= crashes then
        if not quarantined then return false end
      elseif not plain then return false end
      if not exact then return true end
    end
    -- Most jobs go here, before anything is taken apart.
    if word and not find(m, word, 1, true) then return false end
    if text ~= '' and not find(lower(m), text, 1, true) then return false end
    if node ~= '' and not find(m, node, 1, true) then return false end
    local f, at, cd, nf, nn, p = match(m, '^(%d+) %d+ %d+ (%d+) (%-?%d+) (%d+) (%d+)\n()')
    if not f then f, at, cd, nf, nn, p = 0, 0, '0', 0, 0, #m + 1 end
    f, at, nf, nn = tonumber(f), tonumber(at), tonumber(nf), tonumber(nn)
    return not ((word and cd ~= code) or at < since or (till > 0 and at > till) or f < least or
                (most > 0 and f > most) or
                (node ~= '' and sub(m, p + nf, p + nf + nn - 1) ~= node) or
                (text ~= '' and not find(lower(sub(m, p + nf + nn)), text, 1, true)) or
                (part ~= '' and not content(id, sub(m, p, p + 1))))
  end
end
