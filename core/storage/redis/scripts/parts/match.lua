-- filter(i, b, spend): reads a filter from ARGV, ten of them from i on: set crashes match body code
--   since until node attempts-min attempts-max. '' and 0 stand for all; set: 1 retries, 2 dead
--   jobs, 4 dead jobs with `crashes` crashes and more (0: there are none); match in small letters.
--   Returns matches(id, record, dead), and all(dead): there is nothing to decide. Contents are read
--   by HGET from b, and spend(bytes) hears of each. A job without a record failed at 0, with no
--   message.
local function filter(i, b, spend)
  local set, crashes, text, part, code = unpack(ARGV, i, i + 4)
  local since, till, node, least, most = unpack(ARGV, i + 5, i + 9)
  local byte, find, lower, match = string.byte, string.find, string.lower, string.match
  local sub = string.sub
  set, crashes, since, till = tonumber(set), tonumber(crashes), tonumber(since), tonumber(till)
  least, most = tonumber(least), tonumber(most)
  local retries = set % 2 == 1
  local plain, quarantined = set % 4 >= 2, set >= 4
  local either = plain and (quarantined or crashes == 0)
  local word = code ~= '' and ' '..code..' ' or nil
  local tries = least > 0 or most > 0
  local exact = text ~= '' or word or since > 0 or till > 0 or node ~= '' or part ~= ''
  local function all(dead)
    return not exact and not tries and ((dead and either) or (not dead and retries))
  end
  local function kept(m)
    local space, n, stop = byte(m, 2, 4)
    if space ~= 32 or n ~= 48 or stop ~= 32 then n = tonumber(match(m, '^%d+ (%d+) ') or 0)
    else n = 0 end
    if crashes > 0 and n >= crashes then return quarantined end
    return plain
  end
  local function content(id, field)
    local v = redis.call('HGET', b, id)
    if not v then return false end
    spend(#v)
    local from = 1
    if sub(field, 1, 2) == '1:' and #v >= 9 then
      from = byte(v, 9) >= 128 and 11 + (byte(v, 10) or 0) or 10
    end
    return find(v, part, from, true)
  end
  local function matches(id, m, dead)
    if not dead and not retries then return false end
    m = m or '0 0 0 0 0 0 0\n'
    if dead and not either and not kept(m) then return false end
    if tries then
      local f = tonumber(match(m, '^%d+') or 0)
      if f < least or (most > 0 and f > most) then return false end
    end
    if not exact then return true end
    -- Most jobs go here, before anything is taken apart.
    if word and not find(m, word, 1, true) then return false end
    if node ~= '' and not find(m, node, 1, true) then return false end
    if text ~= '' and not find(lower(m), text, 1, true) then return false end
    local at, cd, nf, nn, p = match(m, '^%d+ %d+ %d+ (%d+) (%-?%d+) (%d+) (%d+)\n()')
    if not at then at, cd, nf, nn, p = 0, '0', 0, 0, #m + 1 end
    at, nf, nn = tonumber(at), tonumber(nf), tonumber(nn)
    return not ((word and cd ~= code) or at < since or (till > 0 and at > till) or
                (node ~= '' and sub(m, p + nf, p + nf + nn - 1) ~= node) or
                (text ~= '' and not find(lower(sub(m, p + nf + nn)), text, 1, true)) or
                (part ~= '' and not content(id, sub(m, p, p + 1))))
  end
  return matches, all
end
