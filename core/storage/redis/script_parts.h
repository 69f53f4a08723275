/* Pieces of Lua that scripts share. Included by store_script*.c alone. */
#ifndef PB_CORE_STORE_SCRIPT_PARTS_H
#define PB_CORE_STORE_SCRIPT_PARTS_H

#define ALLOW_OOM "#!lua flags=allow-oom\n"

/* try(...): runs a command; nil, or its error. */
#define TRY                                                                                        \
  "local function try(...)\n"                                                                      \
  "  local r = redis.pcall(...)\n"                                                                 \
  "  return type(r) == 'table' and r.err and r or nil\n"                                           \
  "end\n"

/* A record: "failed crashes first at code field# node#\n" field node message. anew(at): that of a
 * job whose own is gone while its bytes are there. A `first` that begins with 0 says that the job
 * was replayed: its TTL is waived; shown() puts a "!" before its field. */
#define RECORD                                                                                     \
  "local function record(f, c, first, at, code, field, node, msg)\n"                               \
  "  return f..' '..c..' '..first..' '..at..' '..code..' '..#field..' '..#node..'\\n'..\n"         \
  "         field..node..msg\n"                                                                    \
  "end\n"                                                                                          \
  "local function anew(at) return record(0, 0, at, at, 0, '1:0:0', '', '') end\n"                  \
  "local function parse(m)\n"                                                                      \
  "  local f, c, first, at, code, nf, nn, p = string.match(m,\n"                                   \
  "    '^(%d+) (%d+) (%d+) (%d+) (%-?%d+) (%d+) (%d+)\\n()')\n"                                    \
  "  if not f then return parse(anew(0)) end\n"                                                    \
  "  nf, nn = tonumber(nf), tonumber(nn)\n"                                                        \
  "  return f, c, first, at, code, string.sub(m, p, p + nf - 1),\n"                                \
  "         string.sub(m, p + nf, p + nf + nn - 1), string.sub(m, p + nf + nn)\n"                  \
  "end\n"                                                                                          \
  "local function shown(field, first)\n"                                                           \
  "  return string.sub(first, 1, 1) == '0' and '!'..field or field\n"                              \
  "end\n" TRY

/* job(...): the job's id, which is the first eight bytes of its stored form, most significant
 * first; nil where nobody can read that. */
#define JOB_ID                                                                                     \
  "local function job(field, body)\n"                                                              \
  "  local high, low = 0, 0\n"                                                                     \
  "  if string.sub(field, 1, 2) ~= '1:' or #body < 9 then return end\n"                            \
  "  for i = 1, 8 do\n"                                                                            \
  "    low = low * 256 + string.byte(body, i)\n"                                                   \
  "    high = high * 256 + math.floor(low / 1e10)\n"                                               \
  "    low = low % 1e10\n"                                                                         \
  "  end\n"                                                                                        \
  "  if high == 0 then return string.format('%.0f', low) end\n"                                    \
  "  return string.format('%.0f%010.0f', high, low)\n"                                             \
  "end\n"

/* dropped(s, t): the topic's group is gone for good. Where the stream stays, `g` keeps after which
 * entry, for a node that still runs the topic (no reload yet): else it would take that for lost
 * data, and run all that is there again. */
#define DROPPED                                                                                    \
  "local function dropped(s, t)\n"                                                                 \
  "  local g, i = string.sub(s, 1, -2)..'g', redis.pcall('XINFO', 'STREAM', s)\n"                  \
  "  if i.err then return redis.call('HDEL', g, t) end\n"                                          \
  "  for k = 1, #i, 2 do\n"                                                                        \
  "    if i[k] == 'last-generated-id' then redis.call('HSET', g, t, '-'..i[k + 1]) end\n"          \
  "  end\n"                                                                                        \
  "end\n"

/* The server's own clock in Unix ms, as text: nodes' clocks are not compared with each other. */
#define CLOCK                                                                                      \
  "local function ms(n) return string.format('%.0f', n) end\n"                                     \
  "local function clock()\n"                                                                       \
  "  local t = redis.call('TIME')\n"                                                               \
  "  return t[1] * 1000 + math.floor(t[2] / 1000)\n"                                               \
  "end\n"

#endif
