-- job(...): the job's id, which is the first eight bytes of its stored form, most significant
--   first; nil where nobody can read that.
local function job(field, body)
  local high, low = 0, 0
  if string.sub(field, 1, 2) ~= '1:' or #body < 9 then return end
  for i = 1, 8 do
    low = low * 256 + string.byte(body, i)
    high = high * 256 + math.floor(low / 1e10)
    low = low % 1e10
  end
  if high == 0 then return string.format('%.0f', low) end
  return string.format('%.0f%010.0f', high, low)
end
