#!lua flags=allow-oom
-- Makes a revision of the shared configuration the head.
-- KEYS: revisions data told
-- ARGV: base base-hash number hash bytes instance keep least most. base: the number of the head that
--   must be there, 0 and '' for none; or '' for a restore, whatever is there below `number`. Of the
--   older revisions up to `keep` stay, `least` of them however large, the others while all together
--   have at most `most` bytes.
-- Answers: {0, number, hash} it is there; {1, number, hash} the head is this one.
-- If a command fails: the bytes may be there without a record. Nobody meets them, and the next
--   revision of this number overwrites them. Record and head are one write.
-- include clock
-- include tell
local revs, data, n, hash = KEYS[1], KEYS[2], ARGV[3], ARGV[4]
local restore = ARGV[1] == ''
local function read(record)
  local number, at, len, h = string.match(record or '0 0 0 ', '^(%d+) (%d+) (%d+) (.*)$')
  return number or '0', h or '', tonumber(len or 0)
end
local head, head_hash = read(redis.call('HGET', revs, 'head'))
if not restore or head == n then
  local _, h = read(redis.call('HGET', revs, n))
  if h == hash then return {0, n, hash} end
end
if restore then
  if tonumber(n) <= tonumber(head) then return {1, head, head_hash} end
elseif head ~= ARGV[1] or head_hash ~= ARGV[2] then
  return {1, head, head_hash}
end
local record = n..' '..ms(clock())..' '..#ARGV[5]..' '..hash
redis.call('HSET', data, n, ARGV[5])
redis.call('HSET', revs, n, record, 'head', record)
local all, kept, size, bytes, gone = redis.call('HGETALL', revs), {}, {}, 0, {}
for i = 1, #all, 2 do
  if all[i] ~= 'head' then
    local number, _, len = read(all[i + 1])
    kept[#kept + 1], size[tonumber(number)], bytes = tonumber(number), len, bytes + len
  end
end
if #kept > tonumber(ARGV[7]) or bytes > tonumber(ARGV[9]) then
  table.sort(kept)
  for i = 1, #kept - tonumber(ARGV[8]) do
    if #kept - i < tonumber(ARGV[7]) and bytes <= tonumber(ARGV[9]) then break end
    gone[i], bytes = ms(kept[i]), bytes - size[kept[i]]
  end
end
if gone[1] then
  redis.pcall('HDEL', revs, unpack(gone))
  redis.pcall('HDEL', data, unpack(gone))
end
tell(KEYS[3], ARGV[6], 'revision', n)
return {0, n, hash}
