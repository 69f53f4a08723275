/* Owns the text of the scripts of a move: what a topic holds goes to another storage or name.
 *
 * A batch is read from the source, written to the target, and only then deleted at the source. The
 * target keeps what the last batch was (in its key of the act), so that whoever goes on after a
 * crash deletes that first and copies nothing twice; and the highest epoch it has seen, so that an
 * owner that was taken for dead and wakes up writes nothing more.
 *
 * Places: s ready (a stream entry), r waiting for a retry, x dead, d delayed for the whole queue, c
 * delayed, copied for this topic alone.
 */
#include "storage/redis/script_act.h"

#include "storage/redis/script_parts.h"

/* KEYS stream retry dead records bodies claims left groups; ARGV group consumer limit bytes new.
 * Answers {the marks of nodes that left the source, where the group `new` begins in this stream or
 * '', then place id score record field body times ...}. Entries it has read are pending for
 * `consumer`. */
const char store_script_move_page[] = ALLOW_OOM
    "local s, r, x, h, b, c = unpack(KEYS)\n"
    "local g, me, limit, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local out = {redis.call('HGETALL', KEYS[7]), redis.call('HGET', KEYS[8], ARGV[5]) or ''}\n"
    "local function give(place, id, score, record, field, body, times)\n"
    "  local k = #out\n"
    "  out[k + 1], out[k + 2], out[k + 3], out[k + 4] = place, id, score, record\n"
    "  out[k + 5], out[k + 6], out[k + 7] = field, body, times\n"
    "  limit, bytes = limit - 1, bytes - #body\n"
    "end\n"
    "local function room() return limit > 0 and bytes > 0 end\n"
    "for place, z in pairs({x = x, r = r}) do\n"
    "  local e = room() and redis.call('ZRANGE', z, 0, limit - 1, 'WITHSCORES') or {}\n"
    "  for i = 1, #e, 2 do\n"
    "    if room() and (place == 'x' or redis.call('HEXISTS', c, e[i]) == 0) then\n"
    "      give(place, e[i], e[i + 1], redis.call('HGET', h, e[i]) or '', '',\n"
    "           redis.call('HGET', b, e[i]) or '', 0)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local function entry(id, times)\n"
    "  local e = redis.call('XRANGE', s, id, id)[1]\n"
    "  if e then give('s', id, 0, '', e[2][1], e[2][2], times)\n"
    "  else redis.call('XACK', s, g, id) end\n"
    "end\n"
    "local own = room() and redis.pcall('XPENDING', s, g, '-', '+', limit, me) or {}\n"
    "for _, p in ipairs(own.err and {} or own) do\n"
    "  if room() then entry(p[1], p[4]) end\n"
    "end\n"
    "while room() do\n"
    "  local a = redis.pcall('XREADGROUP', 'GROUP', g, me, 'COUNT', 1, 'STREAMS', s, '>')\n"
    "  if not a or a.err or not a[1] then break end\n"
    "  local e = a[1][2][1]\n"
    "  give('s', e[1], 0, '', e[2][1], e[2][2], 1)\n"
    "end\n"
    "return out\n";

/* KEYS retry dead records bodies act copied delayed delayed-jobs; ARGV epoch batch, then place id
 * score record field body crashes ... Answers {stored of each place: s r x d} in all, or {} where
 * another owner has been here. */
const char store_script_move_put[] = ALLOW_OOM RECORD CLOCK
    "local r, x, h, b, a, copied, d, j = unpack(KEYS)\n"
    "local v = redis.call('HMGET', a, 'epoch', 'batch')\n"
    "if tonumber(v[1] or 0) > tonumber(ARGV[1]) then return {} end\n"
    "local last, now, n = {}, ms(clock()), {s = 0, r = 0, x = 0, d = 0}\n"
    "for id in string.gmatch(v[2] or '', '=(%d+)') do last[id] = true end\n"
    "for i = 3, #ARGV, 7 do\n"
    "  local place, id, score, rec, field, body, crashes = unpack(ARGV, i, i + 6)\n"
    "  local known = last[id] or redis.call('HEXISTS', h, id) == 1 or\n"
    "                redis.call('SISMEMBER', copied, id) == 1\n"
    "  if place == 'd' then\n"
    "    if not last[id] and redis.call('HEXISTS', j, id) == 0 then\n"
    "      redis.call('HSET', j, id, body)\n"
    "      redis.call('ZADD', d, score, id)\n"
    "      n.d = n.d + 1\n"
    "    end\n"
    "  elseif not known then\n"
    "    redis.call('HSET', b, id, body)\n"
    "    if place == 's' or place == 'c' then\n"
    "      rec = record(0, crashes, now, now, 0, field, '', '')\n"
    "    elseif rec == '' then\n"
    "      rec = anew('0')\n"
    "    end\n"
    "    redis.call('HSET', h, id, rec)\n"
    "    redis.call('ZADD', place == 'x' and x or r, score, id)\n"
    "    if place == 'c' then redis.call('SADD', copied, id) end\n"
    "    if place == 'c' then place = 'd' end\n"
    "    n[place] = n[place] + 1\n"
    "  end\n"
    "end\n"
    "redis.call('HSET', a, 'epoch', ARGV[1], 'batch', ARGV[2])\n"
    "redis.call('EXPIRE', a, 604800)\n"
    "redis.call('EXPIRE', copied, 604800)\n"
    "local out = {}\n"
    "for k, place in ipairs({'s', 'r', 'x', 'd'}) do\n"
    "  out[k] = redis.call('HINCRBY', a, 'n:'..place, n[place])\n"
    "end\n"
    "return out\n";

/* KEYS stream retry dead records bodies claims delayed delayed-jobs; ARGV group, then place id ...
 * Deletes what is at its target; may be called again. */
const char store_script_move_take[] = ALLOW_OOM
    "local s, r, x, h, b, c, d, j = unpack(KEYS)\n"
    "for i = 2, #ARGV, 2 do\n"
    "  local place, id = ARGV[i], ARGV[i + 1]\n"
    "  if place == 's' then\n"
    "    redis.pcall('XACK', s, ARGV[1], id)\n"
    "  elseif place == 'd' then\n"
    "    redis.call('ZREM', d, id)\n"
    "    redis.call('HDEL', j, id)\n"
    "  elseif place ~= 'c' and redis.call('ZREM', place == 'x' and x or r, id) == 1 then\n"
    "    redis.call('HDEL', h, id)\n"
    "    redis.call('HDEL', b, id)\n"
    "    redis.call('HDEL', c, id)\n"
    "  end\n"
    "end\n"
    "return 1\n";

/* KEYS stream retry records claims; ARGV group consumer hold, then the nodes that may still run
 * something. What nobody runs any more is given to `consumer`, or waits again, with one crash
 * counted. Answers {freed, still running}. */
const char store_script_move_free[] = ALLOW_OOM RECORD
    "local s, r, h, c = unpack(KEYS)\n"
    "local g, me, hold, alive, n, left = ARGV[1], ARGV[2], tonumber(ARGV[3]), {}, 0, 0\n"
    "for i = 4, #ARGV do alive[ARGV[i]] = true end\n"
    "local p = redis.pcall('XPENDING', s, g, '-', '+', 500)\n"
    "for _, e in ipairs(p.err and {} or p) do\n"
    "  if e[2] ~= me then\n"
    "    if not alive[e[2]] or e[3] > hold then\n"
    "      redis.call('XCLAIM', s, g, me, 0, e[1], 'RETRYCOUNT', e[4] + 1, 'JUSTID')\n"
    "      n = n + 1\n"
    "    else\n"
    "      left = left + 1\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local claims = redis.call('HGETALL', c)\n"
    "for i = 1, #claims, 2 do\n"
    "  local id, node = claims[i], claims[i + 1]\n"
    "  if alive[node] then\n"
    "    left = left + 1\n"
    "  else\n"
    "    local m = redis.call('HGET', h, id)\n"
    "    if m then\n"
    "      local f, cr, first, at, code, field, nd, msg = parse(m)\n"
    "      redis.call('HSET', h, id, record(f, tonumber(cr) + 1, first, at, code, field, nd, "
    "msg))\n"
    "    end\n"
    "    redis.call('ZADD', r, 'XX', 0, id)\n"
    "    redis.call('HDEL', c, id)\n"
    "    n = n + 1\n"
    "  end\n"
    "end\n"
    "return {n, left}\n";

/* KEYS stream retry records bodies; ARGV group consumer limit bytes. Of an act that was cancelled:
 * what it has in hand and did not move waits at the source again, due at once; nobody looks into
 * the hands of an act that has ended. made(entry): the id of what cannot be decoded, as when a node
 * meets it. Answers {how many, is that all}. */
const char store_script_move_back[] = ALLOW_OOM RECORD CLOCK JOB_ID
    "local s, r, h, b = unpack(KEYS)\n"
    "local g, me, limit, bytes = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local now, n = ms(clock()), 0\n"
    "local function made(entry)\n"
    "  local m, q = string.match(entry, '^(%d+)%-(%d+)$')\n"
    "  local low = (tonumber(m) % 1e5) * 16384 + tonumber(q) % 16384\n"
    "  local high = math.floor(tonumber(m) / 1e5) * 16384 + math.floor(low / 1e5)\n"
    "  return string.format('%.0f%05.0f', high, low % 1e5)\n"
    "end\n"
    "local p = redis.pcall('XPENDING', s, g, '-', '+', limit, me)\n"
    "if p.err then return string.find(p.err, 'NOGROUP', 1, true) and {0, 1} or p end\n"
    "for _, o in ipairs(p) do\n"
    "  if bytes <= 0 then break end\n"
    "  local e = redis.call('XRANGE', s, o[1], o[1])[1]\n"
    "  if e then\n"
    "    local field, body = e[2][1], e[2][2]\n"
    "    local id = job(field, body) or made(o[1])\n"
    "    if redis.call('HEXISTS', h, id) == 0 then\n"
    "      redis.call('HSET', b, id, body)\n"
    "      redis.call('HSET', h, id, record(0, math.max(0, o[4] - 1), now, now, 0, field, '', "
    "''))\n"
    "      redis.call('ZADD', r, 0, id)\n"
    "    end\n"
    "    bytes = bytes - #body\n"
    "  end\n"
    "  redis.call('XACK', s, g, o[1])\n"
    "  n = n + 1\n"
    "end\n"
    "local over = n == #p and n < limit\n"
    "if over then redis.pcall('XGROUP', 'DELCONSUMER', s, g, me) end\n"
    "return {n, over and 1 or 0}\n";

/* KEYS delayed delayed-jobs left; ARGV offset limit bytes place. Answers {marks, '', then place id
 * due
 * '' '' value 0 ...}: for place d the first ones, for c those `offset` from the end. */
const char store_script_move_delayed[] =
    "local d, j, from, limit = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local bytes, out = tonumber(ARGV[3]), {redis.call('HGETALL', KEYS[3]), ''}\n"
    "local cmd = ARGV[4] == 'd' and 'ZRANGE' or 'ZREVRANGE'\n"
    "local e = redis.call(cmd, d, from, from + limit - 1, 'WITHSCORES')\n"
    "for i = 1, #e, 2 do\n"
    "  if bytes <= 0 then break end\n"
    "  local v, k = redis.call('HGET', j, e[i]) or '', #out\n"
    "  out[k + 1], out[k + 2], out[k + 3], out[k + 4] = ARGV[4], e[i], e[i + 1], ''\n"
    "  out[k + 5], out[k + 6], out[k + 7] = '', v, 0\n"
    "  bytes = bytes - #v\n"
    "end\n"
    "return out\n";

/* KEYS stream paused retry dead records bodies claims errors delayed delayed-jobs left groups; ARGV
 * group whole. Deletes the source where it is empty. Answers 1, or 0 while something is there. */
const char store_script_move_end[] =
    DROPPED "local s, g = KEYS[1], ARGV[1]\n"
            "local groups = redis.pcall('XINFO', 'GROUPS', s)\n"
            "local others, was = 0, false\n"
            "for _, o in ipairs(groups.err and {} or groups) do\n"
            "  if o[2] ~= g then\n"
            "    others = others + 1\n"
            "  elseif o[6] > 0 or redis.call('XRANGE', s, '('..o[8], '+', 'COUNT', 1)[1] then\n"
            "    return 0\n"
            "  else\n"
            "    was = true\n"
            "  end\n"
            "end\n"
            "for k = 3, 7 do\n"
            "  if (k == 3 or k == 4) and redis.call('ZCARD', KEYS[k]) > 0 then return 0 end\n"
            "  if k == 7 and redis.call('HLEN', KEYS[k]) > 0 then return 0 end\n"
            "end\n"
            "if ARGV[2] == '1' and redis.call('ZCARD', KEYS[9]) > 0 then return 0 end\n"
            "redis.pcall('XGROUP', 'DESTROY', s, g)\n"
            "redis.call('HDEL', KEYS[2], g)\n"
            "redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[11])\n"
            "redis.call('HDEL', string.sub(s, 1, -2)..'n', g)\n"
            "if others == 0 and ARGV[2] ~= '' then\n"
            "  redis.call('UNLINK', KEYS[9], KEYS[10])\n"
            "  if was or redis.call('XLEN', s) == 0 then redis.call('UNLINK', s) end\n"
            "end\n"
            "if was then dropped(s, g) end\n"
            "return 1\n";

/* KEYS paused errors act; ARGV topic pause-or-'', then id and fields of the source's errors: i c n
 * m each. Answers 1. The log is written again in the order of time; once. */
const char store_script_move_log[] = ALLOW_OOM
    "local p, e, a = unpack(KEYS)\n"
    "if ARGV[2] ~= '' then redis.call('HSETNX', p, ARGV[1], ARGV[2]) end\n"
    "if #ARGV < 7 or redis.call('HEXISTS', a, 'log') == 1 then return 1 end\n"
    "local all, have = {}, {}\n"
    "local function add(id, fields)\n"
    "  if have[id] then return end\n"
    "  local m, q = string.match(id, '^(%d+)%-(%d+)$')\n"
    "  all[#all + 1], have[id] = {id, tonumber(m), tonumber(q), fields}, true\n"
    "end\n"
    "for _, o in ipairs(redis.call('XRANGE', e, '-', '+')) do add(o[1], o[2]) end\n"
    "for i = 3, #ARGV, 5 do\n"
    "  add(ARGV[i], {'i', ARGV[i + 1], 'c', ARGV[i + 2], 'n', ARGV[i + 3], 'm', ARGV[i + 4]})\n"
    "end\n"
    "table.sort(all, function(l, o) return l[2] < o[2] or (l[2] == o[2] and l[3] < o[3]) end)\n"
    "redis.call('DEL', e)\n"
    "for i = math.max(1, #all - 999), #all do\n"
    "  redis.call('XADD', e, all[i][1], unpack(all[i][4]))\n"
    "end\n"
    "redis.call('HSET', a, 'log', 1)\n"
    "return 1\n";

/* KEYS stream left; ARGV shard last-id, then for each topic: 1 here, 0 in another storage, and its
 * name. From here on this node stores jobs of those elsewhere also there: what is added later to a
 * group that is still here is not for a move to carry. */
const char store_script_move_left[] =
    ALLOW_OOM "local have = {}\n"
              "local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])\n"
              "for _, g in ipairs(groups.err and {} or groups) do have[g[2]] = true end\n"
              "for i = 3, #ARGV, 2 do\n"
              "  local key = KEYS[2]..ARGV[i + 1]\n"
              "  if ARGV[i] == '1' then\n"
              "    redis.call('HDEL', key, ARGV[1])\n"
              "  elseif have[ARGV[i + 1]] then\n"
              "    redis.call('HSETNX', key, ARGV[1], ARGV[2])\n"
              "  end\n"
              "end\n"
              "return 1\n";

/* KEYS stream retry dead claims delayed; ARGV group. Answers {is there, ready, running, retry,
 * dead, delayed}. */
const char store_script_move_holds[] =
    "local s, there, ready, pending = KEYS[1], 0, 0, 0\n"
    "local groups = redis.pcall('XINFO', 'GROUPS', s)\n"
    "for _, g in ipairs(groups.err and {} or groups) do\n"
    "  if g[2] == ARGV[1] then\n"
    "    local len = redis.call('XLEN', s)\n"
    "    there, pending = 1, g[6]\n"
    "    ready = math.min(g[12] or len, len - math.min(len, pending))\n"
    "  end\n"
    "end\n"
    "local claimed = redis.call('HLEN', KEYS[4])\n"
    "local retry = math.max(0, redis.call('ZCARD', KEYS[2]) - claimed)\n"
    "local dead = redis.call('ZCARD', KEYS[3])\n"
    "if retry + dead + claimed > 0 then there = 1 end\n"
    "return {there, ready, pending + claimed, retry, dead, redis.call('ZCARD', KEYS[5])}\n";
