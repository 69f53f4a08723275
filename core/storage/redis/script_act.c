/* Owns the text of the scripts of acts: what operators do to many jobs, one slice a call.
 *
 * A slice finds its own place: how far the act is stands in the queue's key of the act, written
 * by the same script that moves the jobs. So a slice whose answer was lost is asked for again
 * without harm, and a count is right whoever goes on. No slice takes longer than some
 * milliseconds: `limit` jobs, and `bytes` of their contents.
 */
#include "storage/redis/script_act.h"

#include "storage/redis/script_parts.h"

/* Which jobs were there when the act began: those that failed at or before `began`. Failures get
 * the time of the server's clock, and always a later one than `began`, whose greatest value is
 * kept in the topic's mark (the script `fail` looks at it). What an older release stored by the
 * clock of a node may lie ahead of all that; it did not fail after `began`, for then it would
 * have a time of the server's. */
#define SLICE_HEAD                                                                                 \
  CLOCK                                                                                            \
  "local r, x, h, b, c, mark, a = unpack(KEYS)\n"                                                  \
  "local set, count, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"            \
  "local bytes, now = tonumber(ARGV[4]), clock()\n"
#define SLICE                                                                                      \
  "local v = redis.call('HMGET', a, 'began', 'phase', 'skip', 'moved', 'done', 'of')\n"            \
  "if not v[1] then\n"                                                                             \
  "  local began = math.max(now, tonumber(redis.call('GET', mark) or 0))\n"                        \
  "  local last = redis.call('ZRANGE', x, -1, -1, 'WITHSCORES')[2]\n"                              \
  "  began = math.max(began, tonumber(last or 0))\n"                                               \
  "  redis.call('SET', mark, ms(began), 'PX', ms(began - now + 604800000))\n"                      \
  "  local dead = set ~= 1 and redis.call('ZCARD', x) or 0\n"                                      \
  "  local of = dead\n"                                                                            \
  "  if set ~= 2 then\n"                                                                           \
  "    of = of + math.max(0, redis.call('ZCARD', r) - redis.call('HLEN', c) - waits())\n"          \
  "  end\n"                                                                                        \
  "  if count > 0 then of = math.min(of, count) end\n"                                             \
  "  v = {ms(began), set == 1 and 'r' or 'x', '0', '0', '0', ms(of)}\n"                            \
  "  redis.call('HSET', a, 'began', v[1], 'of', v[6])\n"                                           \
  "  redis.call('EXPIRE', a, 604800)\n"                                                            \
  "end\n"                                                                                          \
  "local began, phase, skip = tonumber(v[1]), v[2], tonumber(v[3])\n"                              \
  "local moved, n = tonumber(v[4]), tonumber(v[5])\n"                                              \
  "local was = n\n"                                                                                \
  "local function later(m)\n"                                                                      \
  "  local at = tonumber(string.match(m, '^%d+ %d+ %d+ (%d+) '))\n"                                \
  "  return at and at > began and at <= math.max(now, began + 1)\n"                                \
  "end\n"                                                                                          \
  "local function over()\n"                                                                        \
  "  return phase == 'end' or (count > 0 and n >= count)\n"                                        \
  "end\n"                                                                                          \
  "local function room()\n"                                                                        \
  "  local left = limit - (n - was)\n"                                                             \
  "  return count > 0 and math.min(left, count - n) or left\n"                                     \
  "end\n"                                                                                          \
  "if phase == 'x' and not over() then\n"                                                          \
  "  local want = room()\n"                                                                        \
  "  local ids = redis.call('ZRANGEBYSCORE', x, '-inf', v[1], 'LIMIT', 0, want)\n"                 \
  "  local whole = true\n"                                                                         \
  "  for _, id in ipairs(ids) do\n"                                                                \
  "    if bytes <= 0 then whole = false break end\n"                                               \
  "    if act(x, id, redis.call('HGET', h, id)) then n = n + 1\n"                                  \
  "    else redis.call('ZREM', x, id) end\n"                                                       \
  "  end\n"                                                                                        \
  "  if whole and #ids < want then phase = set == 2 and 'end' or 'r' end\n"                        \
  "end\n"                                                                                          \
  "if phase == 'r' and not over() and room() > 0 and bytes > 0 then\n"                             \
  "  local want, from = room(), waits() + skip\n"                                                  \
  "  local ids = redis.call('ZRANGE', r, ms(from), ms(from + want - 1))\n"                         \
  "  local whole = true\n"                                                                         \
  "  for _, id in ipairs(ids) do\n"                                                                \
  "    if bytes <= 0 then whole = false break end\n"                                               \
  "    local m = redis.call('HGET', h, id)\n"                                                      \
  "    if redis.call('HEXISTS', c, id) == 1 or (m and later(m)) or not act(r, id, m) then\n"       \
  "      skip = skip + 1\n"                                                                        \
  "    else\n"                                                                                     \
  "      n, moved = n + 1, moved + 1\n"                                                            \
  "    end\n"                                                                                      \
  "  end\n" /* What others took away meanwhile shifts the pages: a pass that moved something is    \
             * followed by one more from the start, which finds only what is to be left alone. */  \
  "  if whole and #ids < want then\n"                                                              \
  "    if moved > 0 then skip, moved = 0, 0 else phase = 'end' end\n"                              \
  "  end\n"                                                                                        \
  "end\n"                                                                                          \
  "if over() then phase = 'end' end\n"                                                             \
  "redis.call('HSET', a, 'phase', phase, 'skip', ms(skip), 'moved', ms(moved), 'done', ms(n))\n"   \
  "return {n, math.max(n, tonumber(v[6])), phase == 'end' and 1 or 0}\n"

/* KEYS retry dead records bodies claims mark act; ARGV set count limit bytes. A replayed job waits
 * with score 0: it is taken first, and no page meets it again. Answers {done, of, over}. */
const char store_script_act_replay[] = ALLOW_OOM RECORD SLICE_HEAD
    "local function waits() return redis.call('ZCOUNT', r, '-inf', 0) end\n"
    "local function act(z, id, m)\n"
    "  local _, _, first, at, code, field, node, msg = parse(m or anew('0'))\n"
    "  if string.sub(first, 1, 1) ~= '0' then first = '0'..first end\n"
    "  redis.call('HSET', h, id, record(0, 0, first, at, code, field, node, msg))\n"
    "  redis.call('ZADD', r, 0, id)\n"
    "  if z == x then redis.call('ZREM', x, id) end\n"
    "  return true\n"
    "end\n" SLICE;

/* The same keys and arguments. */
const char store_script_act_purge[] =
    ALLOW_OOM SLICE_HEAD "local function waits() return 0 end\n"
                         "local function act(z, id)\n"
                         "  bytes = bytes - redis.call('HSTRLEN', b, id)\n"
                         "  redis.call('ZREM', z, id)\n"
                         "  redis.call('HDEL', h, id)\n"
                         "  redis.call('HDEL', b, id)\n"
                         "  return true\n"
                         "end\n" SLICE;

/* --- the records of acts --- */

#define KEEP_MS  "604800000" /* seven days */
#define KEEP_MAX "1000"

/* KEYS act acts open; ARGV id owner lease kind, then fields and values. Answers {1, id}; {0, id}:
 * that one moves the same jobs already; {2, id}: too many are under way. */
const char store_script_act_add[] = ALLOW_OOM CLOCK
    "local now, id = clock(), ARGV[1]\n"
    "local open = redis.call('SMEMBERS', KEYS[3])\n"
    "if #open >= " KEEP_MAX " then return {2, ''} end\n"
    "local new = {}\n"
    "for i = 5, #ARGV, 2 do new[ARGV[i]] = ARGV[i + 1] end\n"
    "if ARGV[4] == 'move' then\n"
    "  for _, o in ipairs(open) do\n"
    "    local v = redis.call('HMGET', 'pb:{@}:act:'..o, 'kind', 'queue', 'topic', 'from')\n"
    "    if v[1] == 'move' and v[2] == new.queue and v[3] == new.topic and v[4] == new.from then\n"
    "      return {0, o}\n"
    "    end\n"
    "  end\n"
    "end\n"
    "redis.call('HSET', KEYS[1], 'id', id, 'kind', ARGV[4], 'state', 'running', 'done', 0, 'of', "
    "0,\n"
    "           'started', ms(now), 'changed', ms(now), 'owner', ARGV[2],\n"
    "           'until', ms(now + tonumber(ARGV[3])), 'epoch', 1, unpack(ARGV, 5))\n"
    "redis.call('ZADD', KEYS[2], ms(now), id)\n"
    "redis.call('SADD', KEYS[3], id)\n"
    "local function forget(ids)\n"
    "  for _, o in ipairs(ids) do\n"
    "    if redis.call('SISMEMBER', KEYS[3], o) == 0 then\n"
    "      redis.call('DEL', 'pb:{@}:act:'..o)\n"
    "      redis.call('ZREM', KEYS[2], o)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms(now - " KEEP_MS "), 'LIMIT', 0, 100))\n"
    "local many = redis.call('ZCARD', KEYS[2]) - " KEEP_MAX "\n"
    "if many > 0 then forget(redis.call('ZRANGE', KEYS[2], 0, many - 1)) end\n"
    "return {1, id}\n";

/* KEYS act acts open; ARGV id owner lease done of state result note. Keeps the lease, writes how
 * far the act is, ends it where the state is not "running". Answers {1, who cancelled it or ''}, or
 * {0, ''} where it belongs to another node now. */
const char store_script_act_note[] = ALLOW_OOM CLOCK
    "local now, a = clock(), KEYS[1]\n"
    "local v = redis.call('HMGET', a, 'owner', 'state', 'cancel')\n"
    "if v[1] ~= ARGV[2] then return {0, ''} end\n"
    "if v[2] ~= 'running' then return {1, ''} end\n"
    "local lease = tonumber(ARGV[3])\n"
    "redis.call('HSET', a, 'done', ARGV[4], 'of', ARGV[5], 'changed', ms(now), 'note', ARGV[8],\n"
    "           'until', lease > 0 and ms(now + lease) or 0)\n"
    "if ARGV[6] ~= 'running' then\n"
    "  redis.call('HSET', a, 'state', ARGV[6], 'result', ARGV[7], 'ended', ms(now))\n"
    "  redis.call('SREM', KEYS[3], ARGV[1])\n"
    "  redis.call('PEXPIRE', a, " KEEP_MS ")\n"
    "end\n"
    "return {1, v[3] or ''}\n";

/* Also one of this process whose lease ran out: the answer that gave it the act was lost, for who
 * works at an act keeps the lease. */
#define FREE                                                                                       \
  "local function free(owner, till, now, node, me)\n"                                              \
  "  if not owner or tonumber(till or 0) <= now then return true end\n"                            \
  "  return owner ~= me and string.sub(owner, 1, #node + 1) == node..' '\n"                        \
  "end\n"

/* KEYS act; ARGV owner node lease. Takes over what belongs to nobody: its lease ran out, or an
 * earlier process of this node had it. Answers its fields and values, or {}. */
const char store_script_act_claim[] = ALLOW_OOM CLOCK FREE
    "local now, a = clock(), KEYS[1]\n"
    "local v = redis.call('HMGET', a, 'owner', 'until', 'state')\n"
    "if v[3] ~= 'running' or not free(v[1], v[2], now, ARGV[2], ARGV[1]) then return {} end\n"
    "redis.call('HSET', a, 'owner', ARGV[1], 'until', ms(now + tonumber(ARGV[3])))\n"
    "redis.call('HINCRBY', a, 'epoch', 1)\n"
    "return redis.call('HGETALL', a)\n";

/* KEYS open; ARGV owner node. Answers {the server's clock in ms, then the ids of acts that belong
 * to nobody}. */
const char store_script_act_open[] =
    CLOCK FREE "local now = clock()\n"
               "local out = {ms(now)}\n"
               "for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
               "  local v = redis.call('HMGET', 'pb:{@}:act:'..id, 'owner', 'until', 'state')\n"
               "  if v[3] == 'running' and free(v[1], v[2], now, ARGV[2], ARGV[1]) then out[#out + "
               "1] = id end\n"
               "end\n"
               "return out\n";

/* KEYS act open; ARGV id who. Answers 1: it will end, 2: it has ended, 0: there is none. */
const char store_script_act_cancel[] =
    ALLOW_OOM "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end\n"
              "if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return 2 end\n"
              "redis.call('HSET', KEYS[1], 'cancel', ARGV[2])\n"
              "return 1\n";

/* KEYS acts; ARGV offset count. Answers {total, then fields and values of each}, newest first. */
const char store_script_act_list[] =
    "local from = tonumber(ARGV[1])\n"
    "local out = {redis.call('ZCARD', KEYS[1])}\n"
    "for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], from, from + tonumber(ARGV[2]) - 1)) do\n"
    "  out[#out + 1] = redis.call('HGETALL', 'pb:{@}:act:'..id)\n"
    "end\n"
    "return out\n";
