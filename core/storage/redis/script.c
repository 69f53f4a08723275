/* Owns the text of the scripts. Each names its KEYS and ARGV; doc/store-layout.md tells what the
 * keys hold.
 *
 * Rules: a script may run twice (its reply was lost), so it looks whether this node still owns
 * what it settles. Durable first, forget second. Replies are flat, or nearly: hiredis 0.14
 * reads seven levels. `allow-oom`: a server that is out of memory must still let jobs finish.
 *
 * What a command may fail of, and what a script leaves behind then:
 * - No memory, read-only, a full disk, too few replicas, SCRIPT KILL: Redis refuses the first write
 *   of a script and none after it, so nothing has happened.
 * - The server is killed: its append-only file and its replicas have all writes of a script or
 * none.
 * - A foreign key of another type, an ACL that denies one command: any command, in the middle. The
 *   writes before it stay. So each script says above its text what stands when each write fails; a
 *   write that may not be without the next one is taken back (try, then undo), and one that only
 *   tidies up never keeps a job from its way (pcall).
 */
#include "storage/redis/script.h"

#include "storage/redis/script_act.h"
#include "storage/redis/script_parts.h"

#include <stddef.h>

/* low(s, groups, m, q): the first entry that some group has not had and settled, at most m-q (nil:
 * no such bound), how many entries at most are settled by all, and the stream's length. Of XINFO
 * GROUPS: 2 name, 6 pending, 8 last delivered id, 12 lag. What is pending lies behind the last
 * delivered id where an operator set a group back. The long form of XPENDING looks at one entry,
 * the short one at every consumer.
 *
 * trim(s, m, q, len): deletes below m-q. In a long stream whole nodes only, and at most some
 * 10,000 entries (`~`): a million at once would hold Redis up. */
#define LOW                                                                                        \
  "local function parts(id)\n"                                                                     \
  "  local m, q = string.match(id, '^(%d+)%-(%d+)$')\n"                                            \
  "  return tonumber(m), tonumber(q)\n"                                                            \
  "end\n"                                                                                          \
  "local function after(am, aq, bm, bq) return am > bm or (am == bm and aq > bq) end\n"            \
  "local function low(s, groups, m, q)\n"                                                          \
  "  local most = redis.call('XLEN', s)\n"                                                         \
  "  local len = most\n"                                                                           \
  "  for _, o in ipairs(groups) do\n"                                                              \
  "    local om, oq = parts(o[8])\n"                                                               \
  "    oq = oq + 1\n"                                                                              \
  "    if o[6] > 0 then\n"                                                                         \
  "      local pm, pq = parts(redis.call('XPENDING', s, o[2], '-', '+', 1)[1][1])\n"               \
  "      if after(om, oq, pm, pq) then om, oq = pm, pq end\n"                                      \
  "    end\n"                                                                                      \
  "    if not m or after(m, q, om, oq) then m, q = om, oq end\n"                                   \
  "    most = math.min(most, len - (o[12] or 0) - o[6])\n"                                         \
  "  end\n"                                                                                        \
  "  return m, q, most, len\n"                                                                     \
  "end\n"                                                                                          \
  "local function trim(s, m, q, len)\n"                                                            \
  "  local id = string.format('%.0f-%.0f', m, q)\n"                                                \
  "  if len > 20000 then return redis.call('XTRIM', s, 'MINID', '~', id) end\n"                    \
  "  return redis.call('XTRIM', s, 'MINID', id)\n"                                                 \
  "end\n"

/* forget(s, g, ids, from, spare, want): deletes what every group has had and settled. All below the
 * first entry that is not goes at once, which costs Redis a fraction of a deletion by id. Of
 * what lies behind it (a job that runs for hours may be that first one) up to `spare` entries
 * may stay until it is their turn; beyond that, those of `ids` are deleted one by one.
 * `want`: so many groups there are, as far as this node knows; -1: it does not. With another number
 * (the data was lost, or somebody destroyed a group) nothing is deleted: it may be a job that a
 * group should have had.
 * tidy(...): the same, and what the caller should hear of it: nil, 'groups', 'more' (there may be
 * more to trim), or the server's words. What cannot be deleted stays in the stream, settled. */
#define FORGET                                                                                     \
  LOW "local function forget(s, g, ids, from, spare, want)\n"                                      \
      "  if #ids < from then return end\n"                                                         \
      "  local groups = redis.pcall('XINFO', 'GROUPS', s)\n"                                       \
      "  if groups.err or (#groups ~= want and want ~= -1) then return 'groups' end\n"             \
      "  if not groups[1] then return end\n"                                                       \
      "  local m, q, most, len = low(s, groups)\n"                                                 \
      "  local cut = trim(s, m, q, len)\n"                                                         \
      "  if cut >= 5000 then return 'more' end\n"                                                  \
      "  if most - cut <= spare then return end\n"                                                 \
      "  local keep, lo, hi, lom, loq, him, hiq = {}\n"                                            \
      "  local at, ms, qs = {}, {}, {}\n"                                                          \
      "  for i = from, #ids do\n"                                                                  \
      "    local im, iq = parts(ids[i])\n"                                                         \
      "    if not after(m, q, im, iq) then\n"                                                      \
      "      local id = ids[i]\n"                                                                  \
      "      at[#at + 1], ms[id], qs[id] = id, im, iq\n"                                           \
      "      if not lo or after(lom, loq, im, iq) then lo, lom, loq = id, im, iq end\n"            \
      "      if not hi or after(im, iq, him, hiq) then hi, him, hiq = id, im, iq end\n"            \
      "    end\n"                                                                                  \
      "  end\n"                                                                                    \
      "  if not lo then return end\n"                                                              \
      "  for _, o in ipairs(groups) do\n"                                                          \
      "    if o[2] ~= g then\n"                                                                    \
      "      local dm, dq = parts(o[8])\n"                                                         \
      "      if after(him, hiq, dm, dq) then\n"                                                    \
      "        for _, id in ipairs(at) do\n"                                                       \
      "          if after(ms[id], qs[id], dm, dq) then keep[id] = true end\n"                      \
      "        end\n"                                                                              \
      "      end\n"                                                                                \
      "      if o[6] > 0 and not after(lom, loq, dm, dq) then\n"                                   \
      "        local count = 2 * #at + 16\n"                                                       \
      "        local p = redis.call('XPENDING', s, o[2], lo, hi, count)\n"                         \
      "        for _, e in ipairs(p) do keep[e[1]] = true end\n"                                   \
      "        if #p == count then\n"                                                              \
      "          local em, eq = parts(p[#p][1])\n"                                                 \
      "          for _, id in ipairs(at) do\n"                                                     \
      "            if after(ms[id], qs[id], em, eq) and\n"                                         \
      "               redis.call('XPENDING', s, o[2], id, id, 1)[1] then\n"                        \
      "              keep[id] = true\n"                                                            \
      "            end\n"                                                                          \
      "          end\n"                                                                            \
      "        end\n"                                                                              \
      "      end\n"                                                                                \
      "    end\n"                                                                                  \
      "  end\n"                                                                                    \
      "  local gone = {}\n"                                                                        \
      "  for _, id in ipairs(at) do\n"                                                             \
      "    if not keep[id] then gone[#gone + 1] = id end\n"                                        \
      "  end\n"                                                                                    \
      "  if gone[1] then redis.call('XDEL', s, unpack(gone)) end\n"                                \
      "end\n"                                                                                      \
      "local function tidy(...)\n"                                                                 \
      "  local ok, said = pcall(forget, ...)\n"                                                    \
      "  if ok then return said end\n"                                                             \
      "  return type(said) == 'table' and said.err or tostring(said)\n"                            \
      "end\n"

/* KEYS stream delayed delayed-jobs [token]; ARGV field due max_length max_bytes more-jobs
 * more-bytes token-ms, then value id for each job. more-*: of the same request, that come after
 * these; limits are looked at for all of them. Answers {0, id[, why the token is not kept]} stored,
 * {1, id} known, {2, n} too long, {3, n} too large, {4, n, why} only the first n are stored. What
 * all topics have settled may still be in the stream and does not count: the longest backlog of a
 * topic does.
 *
 * XADD (or HSET) fails: nothing has happened. A later XADD of several: those before it are stored,
 * and counted. ZADD fails: the bytes go again, else they would lie there for ever. The token comes
 * last: without it the job is stored all the same, a token without its job would be a promise that
 * nobody keeps. */
static const char add[] =
    TRY "local s, d, j, token = KEYS[1], KEYS[2], KEYS[3], KEYS[4]\n"
        "if token then\n"
        "  local id = redis.call('GET', token)\n"
        "  if id then\n"
        "    redis.pcall('PEXPIRE', token, ARGV[7])\n"
        "    return {1, id}\n"
        "  end\n"
        "end\n"
        "local field, due, max, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])\n"
        "if max > 0 then\n"
        "  local want = (#ARGV - 7) / 2 + tonumber(ARGV[5])\n"
        "  local later, n = redis.call('ZCARD', d), redis.call('XLEN', s)\n"
        "  if n > 0 and n + later + want > max then\n"
        "    local worst\n"
        "    for _, g in ipairs(redis.call('XINFO', 'GROUPS', s)) do\n"
        "      if g[2] ~= '@' then worst = math.max(worst or 0, (g[12] or n) + g[6]) end\n"
        "    end\n"
        "    if worst then n = math.min(n, worst) end\n"
        "  end\n"
        "  if n + later + want > max then return {2, n + later} end\n"
        "end\n"
        "if most > 0 then\n"
        "  local n = (redis.call('MEMORY', 'USAGE', s) or 0) +\n"
        "            (redis.call('MEMORY', 'USAGE', j) or 0)\n"
        "  local bytes = tonumber(ARGV[6])\n"
        "  for i = 8, #ARGV, 2 do bytes = bytes + #ARGV[i] end\n"
        "  if n + bytes > most then return {3, n} end\n"
        "end\n"
        "local id = ARGV[9]\n"
        "if due ~= '0' then\n"
        "  redis.call('HSET', j, id, field..'\\n'..ARGV[8])\n"
        "  local e = try('ZADD', d, due, id)\n"
        "  if e then\n"
        "    redis.pcall('HDEL', j, id)\n"
        "    return e\n"
        "  end\n"
        "else\n"
        "  redis.call('XADD', s, '*', field, ARGV[8])\n"
        "  for i = 10, #ARGV, 2 do\n"
        "    local e = try('XADD', s, '*', field, ARGV[i])\n"
        "    if e then return {4, (i - 8) / 2, e.err} end\n"
        "  end\n"
        "end\n"
        "local e = token and try('SET', token, id, 'PX', ARGV[7])\n"
        "return {0, id, e and e.err}\n";

/* How many entries a group still has ahead is Redis' `lag`, which is the stream's entries-added
 * less the group's entries-read. Redis 7.0 writes a read to its append-only file, and to its
 * replicas, without entries-read: after a restart or a failover the lag counts jobs that were
 * handled long ago, or is not known. So the hash `counted` keeps for each group the run id of the
 * server under which the group was made or counted again; under another one `lag` is an upper
 * bound. Where the last entry that a group had was deleted by id, Redis does not tell the lag
 * either.
 *
 * near(s, id, len, most): the entries behind `id`, if it has fewer than `most` before it or behind
 * it; else nil, the first of the last `most` entries, and how many these are.
 * slice(s, len, bytes, max): as many entries as have so many bytes (XRANGE copies them), at most
 * max. added(s): entries-added. */
#define NEAR                                                                                       \
  "local function near(s, id, len, most)\n"                                                        \
  "  local n = #redis.call('XRANGE', s, '-', id, 'COUNT', most)\n"                                 \
  "  if n < most then return len - n end\n"                                                        \
  "  local page = redis.call('XREVRANGE', s, '+', '('..id, 'COUNT', most)\n"                       \
  "  if #page < most then return #page end\n"                                                      \
  "  return nil, page[#page][1], #page\n"                                                          \
  "end\n"                                                                                          \
  "local function slice(s, len, bytes, max)\n"                                                     \
  "  local one = (redis.call('MEMORY', 'USAGE', s) or 0) / math.max(len, 1)\n"                     \
  "  return math.max(4, math.min(max, math.floor(bytes / math.max(one, 1))))\n"                    \
  "end\n"                                                                                          \
  "local function added(s)\n"                                                                      \
  "  local info = redis.call('XINFO', 'STREAM', s)\n"                                              \
  "  for k = 1, #info, 2 do\n"                                                                     \
  "    if info[k] == 'entries-added' then return info[k + 1] end\n"                                \
  "  end\n"                                                                                        \
  "end\n"                                                                                          \
  "local function counted(s, h, t, g, ahead, all, run)\n"                                          \
  "  if all >= ahead and g[10] ~= all - ahead then\n"                                              \
  "    redis.pcall('XGROUP', 'SETID', s, t, g[8], 'ENTRIESREAD', all - ahead)\n"                   \
  "  end\n"                                                                                        \
  "  redis.pcall('HSET', h, t, run)\n"                                                             \
  "end\n"

/* KEYS stream paused counted; ARGV retain (1: entries without a group may be there) run, then topic
 * start ...; start is $, 0, or for a group that was there once in the life of this node ! (p: and
 * its topic was paused). Of such a one, and where there are jobs and no group at all, the data was
 * lost: whatever the stream holds is new, and for all. Then a group @ that nobody reads is made as
 * well, so that nothing is deleted before every node has made the groups of its topics again. One
 * that was dropped (see `dropped`) begins where that was. Answers {made, of these lost, groups
 * there are now, is @ there, then the topics that are to be counted}.
 *
 * XGROUP CREATE fails: the groups before it are there, and the call comes again. That a pause is
 * put back, and the lag counted, are no condition.
 *
 * ENTRIESREAD makes the lag known from the beginning, also in the middle of a stream. A group that
 * was counted under another run is counted here where that is quick, at most some 2,000 entries in
 * all, else by SCRIPT_COUNT. */
static const char groups[] = ALLOW_OOM NEAR
    "local s, h, run, have, made, lost, n = KEYS[1], KEYS[3], ARGV[2], {}, 0, 0, 0\n"
    "local len, all, most, left, later = redis.call('XLEN', s), nil, nil, 2000, {}\n"
    "if redis.call('EXISTS', s) == 1 then\n"
    "  for _, g in ipairs(redis.call('XINFO', 'GROUPS', s)) do\n"
    "    have[g[2]] = g\n"
    "    n = n + 1\n"
    "  end\n"
    "else\n"
    "  all = 0\n"
    "end\n"
    "local bare = n == 0 and len > 0 and ARGV[1] ~= '1'\n"
    "local function create(name, from, after)\n"
    "  all = all or added(s)\n"
    "  local at = from == '0' and all - len or all\n"
    "  if after then\n"
    "    redis.call('XGROUP', 'CREATE', s, name, after, 'MKSTREAM')\n"
    "    redis.pcall('HDEL', h, name)\n"
    "    redis.pcall('HSET', string.sub(s, 1, -2)..'g', name, after)\n"
    "    later[#later + 1] = name\n"
    "    n = n + 1\n"
    "    return\n"
    "  end\n"
    "  redis.call('XGROUP', 'CREATE', s, name, from, 'MKSTREAM', 'ENTRIESREAD', at)\n"
    "  redis.pcall('HSET', h, name, run)\n"
    "  local i = redis.call('XINFO', 'STREAM', s)\n"
    "  for k = 1, #i, 2 do\n"
    "    if i[k] == 'last-generated-id' then\n"
    "      redis.pcall('HSET', string.sub(s, 1, -2)..'g', name, from == '0' and '0-0' or i[k + "
    "1])\n"
    "    end\n"
    "  end\n"
    "  n = n + 1\n"
    "end\n"
    "local function recount(t, g)\n"
    "  local ahead\n"
    "  if left > 0 then\n"
    "    most = most or slice(s, len, 65536, 100)\n"
    "    ahead = near(s, g[8], len, most)\n"
    "    left = left - 2 * most\n"
    "  end\n"
    "  if ahead then\n"
    "    all = all or added(s)\n"
    "    counted(s, h, t, g, ahead, all, run)\n"
    "  else\n"
    "    redis.pcall('HDEL', h, t)\n"
    "    later[#later + 1] = t\n"
    "  end\n"
    "end\n"
    "for i = 3, #ARGV, 2 do\n"
    "  local g, start = have[ARGV[i]], ARGV[i + 1]\n"
    "  if g then\n"
    "    if not g[12] or redis.call('HGET', h, ARGV[i]) ~= run then recount(ARGV[i], g) end\n"
    "  else\n"
    "    local known = start == '!' or start == 'p'\n"
    "    local was = known and redis.call('HGET', string.sub(s, 1, -2)..'g', ARGV[i]) or ''\n"
    "    local after = string.match(was, '^%-(%d+%-%d+)$')\n"
    "    create(ARGV[i], (start == '$' and not bare) and '$' or '0', after)\n"
    "    made = made + 1\n"
    "    if known and not after then lost = lost + 1 end\n"
    "    if start == 'p' then redis.pcall('HSETNX', KEYS[2], ARGV[i], 1) end\n"
    "  end\n"
    "end\n"
    "if (lost > 0 or bare) and not have['@'] then\n"
    "  create('@', '0')\n"
    "  have['@'] = true\n"
    "end\n"
    "return {made, lost, n, have['@'] and 1 or 0, unpack(later)}\n";

/* KEYS stream counted; ARGV run topic node, from n added (of the answer before; '' 0 0 at first).
 * One slice of counting a group, from the stream's end down to what the group had last: there
 * nothing is deleted meanwhile, and all that is added meanwhile is ahead of it. A node at a time,
 * by the field @ of `counted`. Answers {0} counted, or nothing to count, {1, from, n, added} go on,
 * {2} another node is at it. */
static const char count[] = ALLOW_OOM NEAR CLOCK
    "local s, h, run, t, me = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]\n"
    "local from, n, was = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])\n"
    "local g\n"
    "local all = redis.pcall('XINFO', 'GROUPS', s)\n"
    "for _, o in ipairs(all.err and {} or all) do\n"
    "  if o[2] == t then g = o end\n"
    "end\n"
    "if not g or (g[12] and redis.call('HGET', h, t) == run) then return {0} end\n"
    "local now = clock()\n"
    "local by, till = string.match(redis.call('HGET', h, '@') or '', '^(%S+) (%d+)$')\n"
    "if by and by ~= me and tonumber(till) > now and tonumber(till) < now + 60000 then\n"
    "  return {2}\n"
    "end\n"
    "redis.call('HSET', h, '@', me..' '..ms(now + 5000))\n"
    "local len = redis.call('XLEN', s)\n"
    "local most = slice(s, len, 131072, 500)\n"
    "if from ~= '' then\n"
    "  local page = redis.call('XREVRANGE', s, '('..from, '('..g[8], 'COUNT', most)\n"
    "  n = n + #page\n"
    "  if #page == most then return {1, page[most][1], n, was} end\n"
    "  local e = redis.call('XRANGE', s, '('..g[8], '+', 'COUNT', 1)[1]\n"
    "  if page[1] or (e and e[1] == from) then\n"
    "    local is = added(s)\n"
    "    counted(s, h, t, g, n + is - was, is, run)\n"
    "    return {0}\n"
    "  end\n"
    "end\n"
    "local ahead, at, k = near(s, g[8], len, most)\n"
    "local is = added(s)\n"
    "if not ahead then return {1, at, k, is} end\n"
    "counted(s, h, t, g, ahead, is, run)\n"
    "return {0}\n";

/* KEYS stream delayed paused counted, then retry dead claims of each topic; ARGV run topics.
 * Answers for each {ready, running, waiting retries, dead, delayed, bytes, next due, oldest, paused
 * (-1: its group is not there), whether `ready` is an upper bound only, its name if it is to be
 * counted or ''}, one behind the other. XINFO GROUPS tells of all groups and costs that much, so a
 * queue's topics are looked at together. */
static const char look[] =
    "#!lua flags=no-writes,allow-oom\n" NEAR "local s, d, out, groups = KEYS[1], KEYS[2], {}, {}\n"
    "local all = redis.pcall('XINFO', 'GROUPS', s)\n"
    "for _, g in ipairs(all.err and {} or all) do groups[g[2]] = g end\n"
    "local bytes = redis.call('MEMORY', 'USAGE', s) or 0\n"
    "local len, left, page = redis.call('XLEN', s), 2000\n"
    "local delayed = redis.call('ZCARD', d)\n"
    "local function first(z, due)\n"
    "  local e = redis.call('ZRANGE', z, 0, 0, 'WITHSCORES')\n"
    "  if not e[2] then return due end\n"
    "  local at = math.max(1, tonumber(e[2]))\n"
    "  return (due == 0 or at < due) and at or due\n"
    "end\n"
    "local moves = first(d, 0)\n"
    "for i = 2, #ARGV do\n"
    "  local t = ARGV[i]\n"
    "  local r, x, c = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]\n"
    "  local g, lag, pending, most, name, oldest = groups[t], 0, 0, 0, ''\n"
    "  if g then\n"
    "    lag, pending = g[12], g[6]\n"
    "    if not lag or redis.call('HGET', KEYS[4], t) ~= ARGV[1] then\n"
    "      local ahead\n"
    "      if left > 0 then\n"
    "        page = page or slice(s, len, 65536, 100)\n"
    "        ahead = near(s, g[8], len, page)\n"
    "        left = left - 2 * page\n"
    "      end\n"
    "      most, name = ahead and 0 or 1, t\n"
    "      lag = ahead or math.max(0, math.min(lag or len, len - pending))\n"
    "    end\n"
    "    if pending > 0 then\n"
    "      oldest = redis.call('XPENDING', s, t, '-', '+', 1)[1][1]\n"
    "    elseif lag > 0 then\n"
    "      local e = redis.call('XRANGE', s, '('..g[8], '+', 'COUNT', 1)[1]\n"
    "      oldest = e and e[1]\n"
    "    end\n"
    "  end\n"
    "  local claimed, k = redis.call('HLEN', c), #out\n"
    "  out[k + 1], out[k + 2] = lag, pending + claimed\n"
    "  out[k + 3] = math.max(0, redis.call('ZCARD', r) - claimed)\n"
    "  out[k + 4], out[k + 5] = redis.call('ZCARD', x), delayed\n"
    "  out[k + 6], out[k + 7] = g and bytes or 0, first(r, moves)\n"
    "  out[k + 8] = oldest and tonumber(string.match(oldest, '^%d+')) or 0\n"
    "  out[k + 9] = g and (redis.call('HGET', KEYS[3], t) or '') or -1\n"
    "  out[k + 10], out[k + 11] = most, name\n"
    "end\n"
    "return out\n";

/* KEYS stream; ARGV spare want group entry ... Answers how many it acknowledged, or {that, what
 * tidy() says}. XACK fails: nothing has happened, the batch comes again. */
static const char done[] = ALLOW_OOM FORGET
    "local n = redis.call('XACK', KEYS[1], unpack(ARGV, 3))\n"
    "local said = tidy(KEYS[1], ARGV[3], ARGV, 4, tonumber(ARGV[1]), tonumber(ARGV[2]))\n"
    "return said and {n, said} or n\n";

/* KEYS stream retry records bodies dead claims errors mark; ARGV group node retain want, then for
 * each outcome: kind (d done, r retry, x dead, l release) entry-or-empty id due failed crashes code
 * message. Only where this node still owns the job. Answers {how many it owned, how many others
 * were not given back but settled[, what tidy() says]}.
 *
 * Of each outcome: the bytes, then the record, then the set; only then is the claim let go, and the
 * entry acknowledged. Where one of these writes fails the job is still this node's, in the pending
 * list or by its claim; the others are stored, and the error is answered, so that the batch comes
 * again and finds what it still owns. Of one that is done the claim goes last for the same reason.
 * The error log is no job's way: it may fail.
 *
 * The time of a failure is the server's, and later than the mark that the last act on the topic
 * left. */
static const char fail[] = ALLOW_OOM FORGET RECORD CLOCK
    "local s, r, h, b, x, c, e, mark = unpack(KEYS)\n"
    "local g, node, now = ARGV[1], ARGV[2], clock()\n"
    "now = ms(math.max(now, tonumber(redis.call('GET', mark) or 0) + 1))\n"
    "local acked, n, late, bad = {}, 0, 0\n"
    "local function settle(kind, entry, id, due, failed, crashes, code, msg)\n"
    "  local first, field, said = now, '', ''\n"
    "  local own\n"
    "  if entry ~= '' then\n"
    "    local p = redis.pcall('XPENDING', s, g, entry, entry, 1, node)\n"
    "    if p.err or not p[1] then\n"
    "      if kind ~= 'l' then late = late + 1 end\n"
    "      return\n"
    "    end\n"
    "    local en = redis.call('XRANGE', s, entry, entry)[1]\n"
    "    if en then\n"
    "      own, field = true, en[2][1]\n"
    "      if kind ~= 'd' then redis.call('HSET', b, id, en[2][2]) end\n"
    "    end\n"
    "  elseif redis.call('HGET', c, id) == node then\n"
    "    own = true\n"
    "    local m, _ = redis.call('HGET', h, id) or anew(now)\n"
    "    _, _, first, _, _, field = parse(m)\n"
    "    if kind == 'l' then\n"
    "      local at, cd, nd\n"
    "      _, _, _, at, cd, _, nd, said = parse(m)\n"
    "      redis.call('HSET', h, id, record(failed, crashes, first, at, cd, field, nd, said))\n"
    "    end\n"
    "  end\n"
    "  if own then\n"
    "    if kind == 'd' then\n"
    "      redis.call('ZREM', r, id)\n"
    "      redis.call('HDEL', b, id)\n"
    "      redis.call('HDEL', h, id)\n"
    "    else\n"
    "      if kind ~= 'l' or entry ~= '' then\n"
    "        redis.call('HSET', h, id,\n"
    "                   record(failed, crashes, first, now, code, field, node, msg))\n"
    "      end\n"
    "      if kind == 'x' then\n"
    "        redis.call('ZADD', x, now, id)\n"
    "        redis.call('ZREM', r, id)\n"
    "      else\n"
    "        redis.call('ZADD', r, due, id)\n"
    "      end\n"
    "      if kind ~= 'l' then\n"
    "        redis.pcall('XADD', e, 'MAXLEN', '~', 1000, '*',\n"
    "                    'i', id, 'c', code, 'n', node, 'm', msg)\n"
    "      end\n"
    "    end\n"
    "    redis.call('HDEL', c, id)\n"
    "    n = n + 1\n"
    "  elseif kind ~= 'l' then\n"
    "    late = late + 1\n"
    "  end\n"
    "  if entry ~= '' then acked[#acked + 1] = entry end\n"
    "end\n"
    "for i = 5, #ARGV, 8 do\n"
    "  local ok, why = pcall(settle, unpack(ARGV, i, i + 7))\n"
    "  if not ok then bad = bad or why end\n"
    "end\n"
    "local said\n"
    "if acked[1] then\n"
    "  redis.call('XACK', s, g, unpack(acked))\n"
    "  if ARGV[3] ~= '1' then said = tidy(s, g, acked, 1, 0, tonumber(ARGV[4])) end\n"
    "end\n"
    "if bad then return type(bad) == 'table' and bad or redis.error_reply(tostring(bad)) end\n"
    "return {n, late, said}\n";

/* KEYS retry records bodies claims; ARGV node now until count bytes. A claim has no end of its own:
 * its node settles it, or is found dead. Answers {next due, lost, then id failed crashes field body
 * ...}.
 *
 * The claim, then the time. Where the second fails the first is taken back; what was claimed before
 * is answered, and the error only where there was nothing: a job that is claimed and not answered
 * would be nobody's. A job without a record runs, with none of its attempts counted; without its
 * bytes there is nothing to run. */
static const char due[] = ALLOW_OOM RECORD
    "local r, h, b, c = unpack(KEYS)\n"
    "local out, left, bad = {0, 0}, tonumber(ARGV[5])\n"
    "for _, id in ipairs(redis.call('ZRANGEBYSCORE', r, '-inf', ARGV[2], 'LIMIT', 0, ARGV[4])) do\n"
    "  if left <= 0 then break end\n"
    "  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)\n"
    "  if body then\n"
    "    local f, cr, first, _, _, field = parse(m or anew(ARGV[2]))\n"
    "    local won = redis.pcall('HSETNX', c, id, ARGV[1])\n"
    "    bad = type(won) == 'table' and won or try('ZADD', r, ARGV[3], id)\n"
    "    if bad then\n"
    "      if won == 1 then redis.pcall('HDEL', c, id) end\n"
    "      break\n"
    "    end\n"
    "    if won == 1 then\n"
    "      if not m then redis.pcall('HSET', h, id, anew(ARGV[2])) end\n"
    "      local k = #out\n"
    "      out[k + 1], out[k + 2], out[k + 3], out[k + 4], out[k + 5] =\n"
    "        id, tonumber(f), tonumber(cr), shown(field, first), body\n"
    "      left = left - #body\n"
    "    end\n"
    "  else\n"
    "    redis.call('ZREM', r, id)\n"
    "    redis.call('HDEL', h, id)\n"
    "    redis.call('HDEL', c, id)\n"
    "    out[2] = out[2] + 1\n"
    "  end\n"
    "end\n"
    "if bad and not out[3] then return bad end\n"
    "local e = redis.call('ZRANGE', r, 0, 0, 'WITHSCORES')\n"
    "if e[2] then out[1] = math.max(1, tonumber(e[2])) end\n"
    "return out\n";

/* KEYS stream retry records bodies claims; ARGV group me from until same now retain want n entry*n
 * id...
 * same = 1: this very process had them and lost the reply, which is no crash. What another node had
 * moves into the retry set, claimed: by its entry that node could still acknowledge it. Answers
 * {gone, then entry id failed crashes field body ...}.
 *
 * One job after the other: one that fails stays the other node's (what was written of it is taken
 * back) and does not hold up the rest; what is this node's by now is answered, and the error only
 * where nothing is. */
static const char claim[] = ALLOW_OOM FORGET RECORD JOB_ID
    "local s, r, h, b, c = unpack(KEYS)\n"
    "local g, me, from, till, same = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'\n"
    "local now, n, acked, bad = ARGV[6], tonumber(ARGV[9]), {}\n"
    "local out = {0}\n"
    "local function give(...)\n"
    "  for _, v in ipairs({...}) do out[#out + 1] = v end\n"
    "end\n"
    "local function adopt(known, times, field, body)\n"
    "  local e = try('HSET', b, known, body) or\n"
    "            try('HSET', h, known, record(0, times, now, now, 0, field, from,\n"
    "                                         'was running on '..from..', which died')) or\n"
    "            try('ZADD', r, till, known) or try('HSET', c, known, me)\n"
    "  if not e then return end\n"
    "  redis.pcall('HDEL', c, known)\n"
    "  redis.pcall('ZREM', r, known)\n"
    "  redis.pcall('HDEL', h, known)\n"
    "  redis.pcall('HDEL', b, known)\n"
    "  error(e)\n"
    "end\n"
    "local function entry(id)\n"
    "  local p = redis.pcall('XPENDING', s, g, id, id, 1, from)\n"
    "  if p.err or not p[1] then return end\n"
    "  local times = p[1][4]\n"
    "  local e = redis.call('XRANGE', s, id, id)[1]\n"
    "  local field, body = e and e[2][1], e and e[2][2]\n"
    "  local known = body and from ~= me and job(field, body)\n"
    "  if known and redis.call('HEXISTS', h, known) == 0 then\n"
    "    adopt(known, times, field, body)\n"
    "    acked[#acked + 1] = id\n"
    "    give('', known, 0, times, field, body)\n"
    "  elseif body and same then\n"
    "    redis.call('XCLAIM', s, g, me, 0, id, 'RETRYCOUNT', times, 'JUSTID')\n"
    "    give(id, '0', 0, times - 1, field, body)\n"
    "  elseif body then\n"
    "    redis.call('XCLAIM', s, g, me, 0, id)\n"
    "    give(id, '0', 0, times, field, body)\n"
    "  else\n"
    "    redis.call('XACK', s, g, id)\n"
    "    out[1] = out[1] + 1\n"
    "  end\n"
    "end\n"
    "local function retry(id)\n"
    "  if redis.call('HGET', c, id) ~= from then return end\n"
    "  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)\n"
    "  if body then\n"
    "    local f, cr, first, at, code, field, node, msg = parse(m or anew(now))\n"
    "    redis.call('HSET', c, id, me)\n"
    "    if not same then cr = tonumber(cr) + 1 end\n"
    "    redis.pcall('ZADD', r, till, id)\n"
    "    if not (same and m) then\n"
    "      redis.pcall('HSET', h, id, record(f, cr, first, at, code, field, node, msg))\n"
    "    end\n"
    "    give('', id, tonumber(f), tonumber(cr), shown(field, first), body)\n"
    "  else\n"
    "    redis.call('HDEL', c, id)\n"
    "  end\n"
    "end\n"
    "for i = 10, #ARGV do\n"
    "  local ok, why = pcall(i <= 9 + n and entry or retry, ARGV[i])\n"
    "  if not ok then bad = bad or why end\n"
    "end\n"
    "if acked[1] then\n"
    "  redis.pcall('XACK', s, g, unpack(acked))\n"
    "  if ARGV[7] ~= '1' then tidy(s, g, acked, 1, 0, tonumber(ARGV[8])) end\n"
    "end\n"
    "if bad and not out[2] then\n"
    "  return type(bad) == 'table' and bad or redis.error_reply(tostring(bad))\n"
    "end\n"
    "return out\n";

/* KEYS stream delayed delayed-jobs; ARGV now count bytes (none after those that have so many).
 * Answers {moved, next due, lost}.
 *
 * XADD fails: the job waits where it is. ZREM fails: the entry goes again, or the next call would
 * add the job once more, and so on. The bytes go last; left behind they are only bytes. */
static const char move[] = ALLOW_OOM TRY
    "local s, d, j = unpack(KEYS)\n"
    "local moved, lost, left = 0, 0, tonumber(ARGV[3])\n"
    "for _, id in ipairs(redis.call('ZRANGEBYSCORE', d, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do\n"
    "  local v = redis.call('HGET', j, id)\n"
    "  if v then\n"
    "    local p = string.find(v, '\\n', 1, true) or 0\n"
    "    local field = p > 1 and string.sub(v, 1, p - 1) or '?'\n"
    "    local entry = redis.call('XADD', s, '*', field, string.sub(v, p + 1))\n"
    "    local e = try('ZREM', d, id)\n"
    "    if e then\n"
    "      redis.pcall('XDEL', s, entry)\n"
    "      return e\n"
    "    end\n"
    "    redis.pcall('HDEL', j, id)\n"
    "    moved, left = moved + 1, left - #v\n"
    "    if left <= 0 then break end\n"
    "  else\n"
    "    redis.call('ZREM', d, id)\n"
    "    lost = lost + 1\n"
    "  end\n"
    "end\n"
    "local e = redis.call('ZRANGE', d, 0, 0, 'WITHSCORES')\n"
    "return {moved, e[2] and math.max(1, tonumber(e[2])) or 0, lost}\n";

/* KEYS stream retry records bodies claims; ARGV group node now retain want. Answers {} or {id
 * failed crashes field body[, what tidy() says]}.
 *
 * XACK fails: the job is in this node's pending list, from which it is taken over. ZREM fails: it
 * waits where it is; what else is deleted of it then may stay, for the job is given away by now. */
static const char pop[] = ALLOW_OOM FORGET RECORD
    "local s, r, h, b, c = unpack(KEYS)\n"
    "local a = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', s, '>')\n"
    "if a and a[1] and a[1][2][1] then\n"
    "  local e = a[1][2][1]\n"
    "  redis.call('XACK', s, ARGV[1], e[1])\n"
    "  local said\n"
    "  if ARGV[4] ~= '1' then said = tidy(s, ARGV[1], {e[1]}, 1, 0, tonumber(ARGV[5])) end\n"
    "  return {'0', 0, 0, e[2][1], e[2][2], said}\n"
    "end\n"
    "for _, id in ipairs(redis.call('ZRANGEBYSCORE', r, '-inf', ARGV[3], 'LIMIT', 0, 10)) do\n"
    "  local m, body = redis.call('HGET', h, id), redis.call('HGET', b, id)\n"
    "  redis.call('ZREM', r, id)\n"
    "  redis.pcall('HDEL', h, id)\n"
    "  redis.pcall('HDEL', b, id)\n"
    "  redis.pcall('HDEL', c, id)\n"
    "  if body then\n"
    "    local f, cr, first, _, _, field = parse(m or anew(0))\n"
    "    return {id, tonumber(f), tonumber(cr), shown(field, first), body}\n"
    "  end\n"
    "end\n"
    "return {}\n";

/* KEYS retry dead records bodies claims; ARGV set offset count id ('' or one) head bytes. Answers
 * {total, then id score dead claimed record size body ...}: of a body the first `head` bytes, and
 * no more jobs after those whose bodies have `bytes` together. The retry set comes before the dead.
 */
static const char list[] =
    "local r, x, h, b, c = unpack(KEYS)\n"
    "local set, offset = tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local count, one = tonumber(ARGV[3]), ARGV[4]\n"
    "local head, bytes = tonumber(ARGV[5]), tonumber(ARGV[6])\n"
    "local out = {0}\n"
    "local function give(id, score, dead)\n"
    "  local k, size = #out, redis.call('HSTRLEN', b, id)\n"
    "  out[k + 1], out[k + 2], out[k + 3] = id, score, dead\n"
    "  out[k + 4] = redis.call('HEXISTS', c, id)\n"
    "  out[k + 5] = redis.call('HGET', h, id) or ''\n"
    "  out[k + 6], out[k + 7] = size, string.sub(redis.call('HGET', b, id) or '', 1, head)\n"
    "  bytes = bytes - size\n"
    "end\n"
    "for dead, z in ipairs({r, x}) do\n"
    "  if set == 3 or set == dead then\n"
    "    if one ~= '' then\n"
    "      local score = redis.call('ZSCORE', z, one)\n"
    "      if score then\n"
    "        out[1] = 1\n"
    "        give(one, score, dead - 1)\n"
    "        return out\n"
    "      end\n"
    "    else\n"
    "      local n = redis.call('ZCARD', z)\n"
    "      out[1] = out[1] + n\n"
    "      if offset < n and count > 0 and bytes > 0 then\n"
    "        local e = redis.call('ZRANGE', z, offset, offset + count - 1, 'WITHSCORES')\n"
    "        for i = 1, #e, 2 do\n"
    "          if bytes <= 0 then break end\n"
    "          give(e[i], e[i + 1], dead - 1)\n"
    "        end\n"
    "        count = count - #e / 2\n"
    "        offset = 0\n"
    "      else\n"
    "        offset = math.max(0, offset - n)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return out\n";

/* The record, then the retry set, and only then not dead any more: where one fails the job is still
 * dead, or both, never neither. A dead job without a record is replayed all the same: its bytes may
 * be there. KEYS retry dead records claims; ARGV set id. Answers how many. */
static const char replay[] =
    ALLOW_OOM RECORD "local r, x, h, c = unpack(KEYS)\n"
                     "local set, id = tonumber(ARGV[1]), ARGV[2]\n"
                     "local m = redis.call('HGET', h, id) or anew('0')\n"
                     "if redis.call('HEXISTS', c, id) == 1 then return 0 end\n"
                     "if not ((set ~= 1 and redis.call('ZSCORE', x, id)) or\n"
                     "        (set ~= 2 and redis.call('ZSCORE', r, id))) then return 0 end\n"
                     "local _, _, first, at, code, field, node, msg = parse(m)\n"
                     "if string.sub(first, 1, 1) ~= '0' then first = '0'..first end\n"
                     "redis.call('HSET', h, id, record(0, 0, first, at, code, field, node, msg))\n"
                     "redis.call('ZADD', r, 0, id)\n"
                     "redis.call('ZREM', x, id)\n"
                     "return 1\n";

/* KEYS retry dead records bodies claims; ARGV set id. Answers how many. The set first: what is left
 * of a job where the next command fails nobody meets any more. */
static const char purge[] =
    ALLOW_OOM "local r, x, h, b, c = unpack(KEYS)\n"
              "local set, id = tonumber(ARGV[1]), ARGV[2]\n"
              "local n = set ~= 1 and redis.call('ZREM', x, id) or 0\n"
              "if n == 0 and set ~= 2 and redis.call('HEXISTS', c, id) == 0 then\n"
              "  n = redis.call('ZREM', r, id)\n"
              "end\n"
              "if n == 1 then\n"
              "  redis.call('HDEL', h, id)\n"
              "  redis.call('HDEL', b, id)\n"
              "end\n"
              "return n\n";

/* KEYS stream paused retry dead (records bodies claims errors); ARGV topic retain. Answers how many
 * jobs were dropped, -1 where there was nothing of it. Where a command fails what is left is
 * dropped by the next call. With the last group its jobs go as well: what lies in a stream without
 * groups counts as new. Where there was no group to destroy they are not its own: those of the
 * others may only be gone for the moment. */
static const char drop[] =
    DROPPED "local n, was = redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]), false\n"
            "local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])\n"
            "for _, g in ipairs(groups.err and {} or groups) do\n"
            "  if g[2] == ARGV[1] then\n"
            "    local len = redis.call('XLEN', KEYS[1])\n"
            "    n = n + math.min((g[12] or len) + g[6], len)\n"
            "    redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])\n"
            "    was = true\n"
            "  end\n"
            "end\n"
            "if was and ARGV[2] ~= '1' and\n"
            "   not redis.call('XINFO', 'GROUPS', KEYS[1])[1] then\n"
            "  redis.call('UNLINK', KEYS[1])\n"
            "end\n"
            "redis.call('HDEL', KEYS[2], ARGV[1])\n"
            "redis.call('HDEL', string.sub(KEYS[1], 1, -2)..'n', ARGV[1])\n"
            "if was then dropped(KEYS[1], ARGV[1]) end\n"
            "local keys = redis.call('UNLINK', unpack(KEYS, 3))\n"
            "return (was or keys > 0) and n or -1\n";

/* KEYS stream; ARGV oldest ms to keep ('' for none). Deletes below what every group has had and
 * settled, and no younger. Answers how many. */
static const char trim[] = LOW "local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])\n"
                               "if groups.err or not groups[1] then return 0 end\n"
                               "local m, q, _, len = low(KEYS[1], groups, tonumber(ARGV[1]), 0)\n"
                               "return trim(KEYS[1], m, q, len)\n";

/* KEYS stream. Answers {delayed, then name ready running retry dead of each group}. */
static const char stray[] =
    "local s, keys = KEYS[1], string.sub(KEYS[1], 1, -2)\n"
    "local out = {redis.call('ZCARD', keys..'d')}\n"
    "local groups = redis.pcall('XINFO', 'GROUPS', s)\n"
    "for _, g in ipairs(groups.err and {} or groups) do\n"
    "  local k = #out\n"
    "  if g[2] ~= '@' then\n"
    "    local len, claimed = redis.call('XLEN', s), redis.call('HLEN', keys..'c:'..g[2])\n"
    "    out[k + 1], out[k + 2] = g[2], math.min(g[12] or len, len - math.min(len, g[6]))\n"
    "    out[k + 3] = g[6] + claimed\n"
    "    out[k + 4] = math.max(0, redis.call('ZCARD', keys..'r:'..g[2]) - claimed)\n"
    "    out[k + 5] = redis.call('ZCARD', keys..'x:'..g[2])\n"
    "  end\n"
    "end\n"
    "return out\n";

/* KEYS stream; ARGV group consumer ... Deletes those consumers that have no entry. */
static const char part[] =
    ALLOW_OOM "for i = 1, #ARGV, 2 do\n"
              "  local p = redis.pcall('XPENDING', KEYS[1], ARGV[i], '-', '+', 1, ARGV[i + 1])\n"
              "  if not p.err and not p[1] then\n"
              "    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[i], ARGV[i + 1])\n"
              "  end\n"
              "end\n"
              "return 0\n";

/* Who is dead is decided by Redis alone, by its clock and by what it was asked: a time `up` goes on
 * only while some node renews its lease, and each node's mark says where it was at that node's
 * last renewal. While nobody can renew (no server, one that is full, read-only, slow) `up` stands
 * still. From one renewal to the next it goes on by at most 0.3 leases, however long that took.
 * After a gap (`epoch`: where `up` was then) everybody has a whole lease to come back. So a node is
 * dead when `up` is one and a half leases past both its mark and the epoch: renewals are a quarter
 * of a lease apart at most, and the rest is for making a connection.
 *
 * KEYS lease nodes marks beats; ARGV name instance lease_ms shard mark entry replace first
 * since. Answers {0, mark, was declared dead, since} held, {1, instance, its remaining ms, its
 * entry} taken, {2, node} the shard is another living node's. `replace`: an instance known to be
 * dead. */
static const char join[] = ALLOW_OOM CLOCK
    "local name, inst, lease, shard = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]\n"
    "local first = ARGV[8] == '1'\n"
    "local cur = redis.call('GET', KEYS[1])\n"
    "if cur and cur ~= inst and cur ~= ARGV[7] then\n"
    "  return {1, cur, redis.call('PTTL', KEYS[1]), redis.call('HGET', KEYS[2], name) or ''}\n"
    "end\n"
    "if first then\n"
    "  local all = redis.call('HGETALL', KEYS[2])\n"
    "  for i = 1, #all, 2 do\n"
    "    if all[i] ~= name and string.match(all[i + 1], '^%d+') == shard and\n"
    "       redis.call('EXISTS', 'pb:{@}:node:'..all[i]) == 1 then return {2, all[i]} end\n"
    "  end\n"
    "end\n"
    "local now = clock()\n"
    "local b = redis.call('HMGET', KEYS[4], '@at', '@up', '@epoch', '@run', name, '@since')\n"
    "local at, up, epoch = tonumber(b[1] or 0), tonumber(b[2] or 0), b[3] or '0'\n"
    "local gap, run = now - at, b[4] or ''\n"
    "local cut = gap < 0 or gap > 0.75 * lease or (first and gap > 0.3 * lease)\n"
    "if first then\n"
    "  local info = redis.pcall('INFO', 'server')\n"
    "  run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or run\n"
    "  cut = cut or run ~= b[4]\n"
    "end\n"
    "if not cut then up = up + math.min(gap, 0.3 * lease) end\n"
    "local is, when = ms(up), ms(now)\n"
    "if cut then epoch = is end\n"
    /* A dead node that has nothing left is forgotten; not so all nodes of a server that was
       emptied. */
    "local since = b[6] or when\n"
    "local died = not b[5] and since == ARGV[9] or b[5] and string.match(b[5], '^dead')\n"
    "redis.call('HSET', KEYS[4], '@at', when, '@up', is, '@epoch', epoch, '@run', run,\n"
    "           '@since', since, name, is..' '..ARGV[3])\n"
    "local mark = redis.call('HGET', KEYS[3], shard) or '0'\n"
    "redis.call('SET', KEYS[1], inst, 'PX', ARGV[3])\n"
    "redis.call('HSET', KEYS[2], name, ARGV[6])\n"
    "if tonumber(ARGV[5]) > tonumber(mark) then redis.call('HSET', KEYS[3], shard, ARGV[5]) end\n"
    "return {0, mark, died and 1 or 0, since}\n";

/* KEYS lease nodes beats; ARGV name instance jobs. A node that leaves jobs behind stays in the
 * registry, so that the others take them over; at once. */
static const char leave[] = ALLOW_OOM "local cur = redis.call('GET', KEYS[1])\n"
                                      "if cur and cur ~= ARGV[2] then return 0 end\n"
                                      "if ARGV[3] == '1' then\n"
                                      "  redis.call('HSET', KEYS[3], ARGV[1], 'left')\n"
                                      "else\n"
                                      "  redis.call('HDEL', KEYS[2], ARGV[1])\n"
                                      "  redis.call('HDEL', KEYS[3], ARGV[1])\n"
                                      "end\n"
                                      "return redis.call('DEL', KEYS[1])\n";

/* KEYS nodes beats [data]; ARGV lease_ms, one to remove if it is dead, or '', and a mark of the
 * data that is set where there is none. Declares dead who is, see `join`; a node without a mark (of
 * an older release) gets one and is given time. Answers name entry state ...: 1 holds its lease, 0
 * it ran out, -1 dead; and at the end the mark: another one than before means that the data was
 * lost. */
static const char nodes[] =
    ALLOW_OOM "local all, beats, out = redis.call('HGETALL', KEYS[1]), {}, {}\n"
              "local b = redis.call('HGETALL', KEYS[2])\n"
              "for i = 1, #b, 2 do beats[b[i]] = b[i + 1] end\n"
              "local up, epoch = tonumber(beats['@up'] or 0), tonumber(beats['@epoch'] or 0)\n"
              "for i = 1, #all, 2 do\n"
              "  local name, state, was = all[i], 0, beats[all[i]]\n"
              "  local mark, lease = string.match(was or '', '^(%d+) (%d+)$')\n"
              "  if redis.call('EXISTS', 'pb:{@}:node:'..name) == 1 then\n"
              "    state = 1\n"
              "    if was and not mark then redis.call('HDEL', KEYS[2], name) end\n"
              "  elseif was and not mark then\n"
              "    state = -1\n"
              "  elseif not was then\n"
              "    redis.call('HSET', KEYS[2], name, string.format('%.0f ', up)..ARGV[1])\n"
              "  elseif up - math.max(mark, epoch) >= 1.5 * math.max(lease, ARGV[1]) then\n"
              "    redis.call('HSET', KEYS[2], name, 'dead')\n"
              "    state = -1\n"
              "  end\n"
              "  if name == ARGV[2] and state < 0 then\n"
              "    redis.call('HDEL', KEYS[1], name)\n"
              "    redis.call('HDEL', KEYS[2], name)\n"
              "  else\n"
              "    local k = #out\n"
              "    out[k + 1], out[k + 2], out[k + 3] = name, all[i + 1], state\n"
              "  end\n"
              "end\n"
              "if KEYS[3] then\n"
              "  local mark = redis.pcall('GET', KEYS[3])\n"
              "  if not mark then\n"
              "    redis.pcall('SET', KEYS[3], ARGV[3])\n"
              "    mark = ARGV[3]\n"
              "  end\n"
              "  out[#out + 1] = type(mark) == 'string' and mark or ''\n"
              "end\n"
              "return out\n";

/* KEYS nodes beats; ARGV lease_ms name ... Nodes that have jobs and are in no registry enter it:
 * they are dead if they do not renew. Answers how many did. */
static const char found[] =
    ALLOW_OOM "local n, up = 0, redis.call('HGET', KEYS[2], '@up') or '0'\n"
              "for i = 2, #ARGV do\n"
              "  n = n + redis.call('HSETNX', KEYS[1], ARGV[i], '0 0 - - 0 0 0 -')\n"
              "  redis.call('HSETNX', KEYS[2], ARGV[i], up..' '..ARGV[1])\n"
              "end\n"
              "return n\n";

/* KEYS retry dead records bodies claims; ARGV cursor known attempts crashes count. A job with
 * record and bytes is in one of the two sets; where there are more records (and more than the
 * `known` ones that have no bytes) a page of them is looked through. Whose attempts are used up was
 * dead, the others wait again, due at once. Answers {put back, cursor, how many more}. */
static const char mend[] = ALLOW_OOM RECORD
    "local r, x, h, b, c = unpack(KEYS)\n"
    "local more = redis.call('HLEN', h) - redis.call('ZCARD', r) - redis.call('ZCARD', x)\n"
    "local n, attempts, crashes = 0, tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "if more <= 0 or (ARGV[1] == '0' and more == tonumber(ARGV[2])) then\n"
    "  return {0, '0', math.max(0, more)}\n"
    "end\n"
    "local page = redis.call('HSCAN', h, ARGV[1], 'COUNT', ARGV[5])\n"
    "for i = 1, #page[2], 2 do\n"
    "  local id = page[2][i]\n"
    "  if not redis.call('ZSCORE', r, id) and not redis.call('ZSCORE', x, id) and\n"
    "     redis.call('HEXISTS', b, id) == 1 then\n"
    "    local f, cr, _, at = parse(page[2][i + 1])\n"
    "    local over = tonumber(f) >= attempts or (crashes > 0 and tonumber(cr) >= crashes)\n"
    "    if over and redis.call('HEXISTS', c, id) == 0 then\n"
    "      redis.call('ZADD', x, at, id)\n"
    "    else\n"
    "      redis.call('ZADD', r, 0, id)\n"
    "    end\n"
    "    n = n + 1\n"
    "  end\n"
    "end\n"
    "return {n, page[1], more - n}\n";

/* KEYS one; ARGV a command without its key, which comes first. Answers as the command. */
static const char write[] = ALLOW_OOM "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))\n";

const char *store_script_text(enum store_script script) {
  static const char *const text[SCRIPT_MAX] = {
      [SCRIPT_ADD] = add,
      [SCRIPT_GROUPS] = groups,
      [SCRIPT_COUNT] = count,
      [SCRIPT_LOOK] = look,
      [SCRIPT_DONE] = done,
      [SCRIPT_FAIL] = fail,
      [SCRIPT_DUE] = due,
      [SCRIPT_CLAIM] = claim,
      [SCRIPT_MOVE] = move,
      [SCRIPT_POP] = pop,
      [SCRIPT_LIST] = list,
      [SCRIPT_REPLAY] = replay,
      [SCRIPT_PURGE] = purge,
      [SCRIPT_DROP] = drop,
      [SCRIPT_TRIM] = trim,
      [SCRIPT_STRAY] = stray,
      [SCRIPT_PART] = part,
      [SCRIPT_JOIN] = join,
      [SCRIPT_LEAVE] = leave,
      [SCRIPT_NODES] = nodes,
      [SCRIPT_FOUND] = found,
      [SCRIPT_WRITE] = write,
      [SCRIPT_MEND] = mend,
      [SCRIPT_ACT_REPLAY] = store_script_act_replay,
      [SCRIPT_ACT_PURGE] = store_script_act_purge,
      [SCRIPT_ACT_ADD] = store_script_act_add,
      [SCRIPT_ACT_NOTE] = store_script_act_note,
      [SCRIPT_ACT_CLAIM] = store_script_act_claim,
      [SCRIPT_ACT_OPEN] = store_script_act_open,
      [SCRIPT_ACT_CANCEL] = store_script_act_cancel,
      [SCRIPT_ACT_LIST] = store_script_act_list,
      [SCRIPT_MOVE_PAGE] = store_script_move_page,
      [SCRIPT_MOVE_PUT] = store_script_move_put,
      [SCRIPT_MOVE_TAKE] = store_script_move_take,
      [SCRIPT_MOVE_FREE] = store_script_move_free,
      [SCRIPT_MOVE_BACK] = store_script_move_back,
      [SCRIPT_MOVE_DELAYED] = store_script_move_delayed,
      [SCRIPT_MOVE_END] = store_script_move_end,
      [SCRIPT_MOVE_LOG] = store_script_move_log,
      [SCRIPT_MOVE_LEFT] = store_script_move_left,
      [SCRIPT_MOVE_HOLDS] = store_script_move_holds,
  };
  return text[script];
}
