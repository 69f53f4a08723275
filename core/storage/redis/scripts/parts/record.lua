-- A record: "failed crashes first at code field# node#\n" field node message.
-- lost_record(at): the record of a job whose own is gone while its bytes are there.
-- shown(field, first): the field, with a "!" before it where the job was replayed. Then `first`
--   begins with 0, and the TTL of the job is waived.
local function record(f, c, first, at, code, field, node, msg)
  return f..' '..c..' '..first..' '..at..' '..code..' '..#field..' '..#node..'\n'..
         field..node..msg
end
local function lost_record(at) return record(0, 0, at, at, 0, '1:0:0', '', '') end
local function parse(m)
  local f, c, first, at, code, nf, nn, p = string.match(m,
    '^(%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%d+)\n()')
  if not f then return parse(lost_record(0)) end
  nf, nn = tonumber(nf), tonumber(nn)
  return f, c, first, at, code, string.sub(m, p, p + nf - 1),
         string.sub(m, p + nf, p + nf + nn - 1), string.sub(m, p + nf + nn)
end
local function shown(field, first)
  return string.sub(first, 1, 1) == '0' and '!'..field or field
end
-- include try
