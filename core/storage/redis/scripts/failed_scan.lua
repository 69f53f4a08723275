-- One slice of a look through the retry set and the dead jobs with a filter, oldest first or newest
-- first. It goes on behind a place: the phase (r, x, e: over; '' at first), and score and id (0: at
-- the beginning of the phase) of the job that was looked at last, which need not be there any more.
-- KEYS: retry dead records bodies claims
-- ARGV: kind want look bytes head newest phase score id, then the filter of parts/match.lua. kind: f
--   for the facts of each match, at most `want` of them, each with `head` bytes of its body; r for
--   ids and records alone. No more jobs than `look` are looked at, and no more after `bytes` of
--   records and bodies.
-- Answers: {phase, score, id, looked, total, ids, records} (r) or {phase, score, id, looked, total,
--   then of each match: id score dead claimed record size body} (f).
-- If a command fails: it writes nothing.
-- include match
-- include facts
-- include rank
local r, x, h, b, c = unpack(KEYS)
local bare, want, look = ARGV[1] == 'r', tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes, head, newest = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local phase, score, last = ARGV[7], ARGV[8], ARGV[9]
local set, since, till = tonumber(ARGV[10]), ARGV[15], ARGV[16]
-- To read a content costs as much as a look at two records.
local matches, all = filter(10, b, function(n) bytes = bytes - n - 1000 end)
local out, looked, total = {'', '', '', 0, 0}, 0, 0
local names, records = {}, {}
local function count(z, from, to) return redis.call('ZCOUNT', z, from, to) end
local function give(id, m, dead, z)
  if bare then
    names[#names + 1], records[#records + 1] = id, m or ''
  else
    bytes = bytes - facts(out, id, redis.call('ZSCORE', z, id), dead, m or '', head)
    want = want - 1
  end
end
-- Dead jobs lie by their time of death, which is that of the last failure.
local function pass(z, dead, begin)
  local lo, hi = 0, redis.call('ZCARD', z) - 1
  if dead and till ~= '0' then hi = count(z, '-inf', till) - 1 end
  if dead and since ~= '0' then lo = count(z, '-inf', '('..since) end
  if not begin and newest then hi = math.min(hi, rank(z, score, last, true)) end
  if not begin and not newest then lo = math.max(lo, rank(z, score, last)) end
  if lo > hi then return true end
  local n = math.min(look, hi - lo + 1)
  if n <= 0 or bytes <= 0 or want <= 0 then return false end
  local from = newest and hi - n + 1 or lo
  local ids = redis.call('ZRANGE', z, from, from + n - 1)
  local ms = redis.call('HMGET', h, unpack(ids))
  local at
  if bare and not newest and all(dead) and not names[1] then
    names, records, looked, at = ids, ms, looked + #ids, #ids
  else
    for k = 1, #ids do
      if bytes <= 0 or want <= 0 then break end
      at = newest and #ids + 1 - k or k
      local m = ms[at]
      if m then bytes = bytes - #m end
      if matches(ids[at], m, dead) then give(ids[at], m, dead, z) end
      looked = looked + 1
    end
  end
  score, last = redis.call('ZSCORE', z, ids[at]), ids[at]
  look = look - n
  return at == (newest and 1 or #ids) and n == hi - lo + 1
end
local order = newest and {'x', 'r'} or {'r', 'x'}
if phase == '' then phase, last = order[1], '0' end
for _, name in ipairs(order) do
  local z = name == 'r' and r or x
  local wanted = name == 'r' and set % 2 == 1 or name == 'x' and set >= 2
  if wanted then total = total + redis.call('ZCARD', z) end
  if name == phase and (not wanted or pass(z, name == 'x', last == '0')) then
    phase, score, last = name == order[1] and order[2] or 'e', '0', '0'
  end
end
out[1], out[2], out[3], out[4], out[5] = phase, score, last, looked, total
if bare then out[6], out[7] = names, records end
return out
