/* Owns the table of commands, and those of a connection's own affairs: who it is, what it speaks,
 * what the broker is. Jobs are command_job.c's.
 *
 * Must never happen: a command that answers twice or not at all, or one that stock clients send
 * at connect answered by an error that stops them.
 */
#include "intake/command.h"

#include "intake/holdback.h"
#include "event/loop.h"
#include "intake/multi.h"
#include "intake/resp.h"
#include "config/settings.h"
#include "metrics/stats.h"
#include "intake/strangers.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* What we say we are to clients that ask for a version of Redis: that of our floor's commands. */
#define REDIS_VERSION "7.0.15"

#define NOAUTH    "NOAUTH Authentication required."
#define MEMORY    "ERR out of memory"
#define WRONGPASS "WRONGPASS invalid username-password pair or user is disabled."
#define SHOWN_MAX 128          /* of a client's words in our texts */
#define MULTI_MAX (64u << 20)  /* bytes that one client may queue ... */
#define MULTI_ALL (256u << 20) /* ... and all of them together */
#define WRONG_MAX 10           /* passwords on one connection; then it is closed */

static void run_auth(struct call *c);
static void run_client(struct call *c);
static void run_command(struct call *c);
static void run_config(struct call *c);
static void run_discard(struct call *c);
static void run_echo(struct call *c);
static void run_exec(struct call *c);
static void run_hello(struct call *c);
static void run_info(struct call *c);
static void run_multi(struct call *c);
static void run_ping(struct call *c);
static void run_quit(struct call *c);
static void run_reset(struct call *c);
static void run_select(struct call *c);
static void run_time(struct call *c);
static void run_unwatch(struct call *c);
static void run_watch(struct call *c);

static const struct command commands[] = {
    {"lpush", -3, COMMAND_JSON | COMMAND_WRITE | COMMAND_FAST, command_push, "jobs",
     "Adds jobs to a queue: LPUSH queue job [job ...]"},
    {"rpush", -3, COMMAND_JSON | COMMAND_WRITE | COMMAND_FAST, command_push, "jobs",
     "The same as LPUSH"},
    {"addjob", -4, COMMAND_WRITE | COMMAND_FAST, command_addjob, "jobs",
     "Adds one job to a queue, with options: ADDJOB queue job ms-timeout [DELAY s] [RETRY s] "
     "[TTL s] [MAXLEN n] [REPLICATE n] [ID token [IDTTL s]] [ASYNC]"},
    {"rpop", -2, COMMAND_WRITE | COMMAND_FAST, command_rpop, "jobs",
     "Takes one job of a topic for good: RPOP queue/topic"},
    {"auth", -2, COMMAND_NOAUTH | COMMAND_FAST, run_auth, "connection",
     "Shows the password of a queue or topic: AUTH queue:password, AUTH queue password"},
    {"ping", -1, COMMAND_FAST, run_ping, "connection", "Answers PONG, or what it was given"},
    {"echo", 2, COMMAND_FAST, run_echo, "connection", "Answers what it was given"},
    {"hello", -1, COMMAND_NOAUTH | COMMAND_FAST, run_hello, "connection",
     "Without argument: the nodes. HELLO 2|3 [AUTH queue password] [SETNAME name]: handshake"},
    {"client", -2, COMMAND_FAST, run_client, "connection",
     "About this connection: CLIENT ID|INFO|LIST|GETNAME|SETNAME|SETINFO"},
    {"select", 2, COMMAND_FAST, run_select, "connection", "Database 0 is the only one"},
    {"quit", -1, COMMAND_NOAUTH | COMMAND_FAST | COMMAND_NOW, run_quit, "connection",
     "Ends the connection"},
    {"reset", 1, COMMAND_NOAUTH | COMMAND_FAST | COMMAND_NOW, run_reset, "connection",
     "Forgets all that this connection has said of itself"},
    {"multi", 1, COMMAND_FAST | COMMAND_NOW, run_multi, "transactions",
     "Begins a transaction: what follows is queued, and run at EXEC"},
    {"exec", 1, COMMAND_NOW, run_exec, "transactions", "Runs what was queued since MULTI"},
    {"discard", 1, COMMAND_FAST | COMMAND_NOW, run_discard, "transactions",
     "Forgets what was queued since MULTI"},
    {"watch", -2, COMMAND_FAST | COMMAND_NOW, run_watch, "transactions",
     "Without effect: nothing here changes under a client's hands"},
    {"unwatch", 1, COMMAND_FAST, run_unwatch, "transactions", "Without effect"},
    {"info", -1, 0, run_info, "server", "What the broker is doing: INFO [section ...]"},
    {"command", -1, 0, run_command, "server", "These commands: COMMAND [COUNT|DOCS|INFO|LIST]"},
    {"config", -2, 0, run_config, "server", "CONFIG GET save|appendonly, for redis-benchmark"},
    {"time", 1, COMMAND_FAST, run_time, "server", "Unix time: seconds and microseconds"},
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* --- arguments --- */

bool arg_is(const struct resp_arg *a, const char *word) {
  return a->len == strlen(word) && !strncasecmp(a->text, word, a->len);
}

bool arg_integer(const struct resp_arg *a, int64_t min, int64_t max, int64_t *ret) {
  bool minus = a->len && *a->text == '-';
  size_t i = minus;
  uint64_t v = 0;
  if (i == a->len || a->len > 20) return false;
  for (; i < a->len; i++) {
    if (a->text[i] < '0' || a->text[i] > '9') return false;
    if (__builtin_mul_overflow(v, 10, &v) ||
        __builtin_add_overflow(v, (uint64_t)(a->text[i] - '0'), &v))
      return false;
  }
  if (v > INT64_MAX) return false;
  int64_t n = minus ? -(int64_t)v : (int64_t)v;
  if (n < min || n > max) return false;
  *ret = n;
  return true;
}

/* A client's own word in a text of ours: cut, and nothing in it that is not plain. */
static const char *shown(const struct resp_arg *a, char *ret) {
  size_t n = a->len < SHOWN_MAX ? a->len : SHOWN_MAX;
  for (size_t i = 0; i < n; i++) ret[i] = a->text[i] >= ' ' && a->text[i] < 0x7f ? a->text[i] : '?';
  ret[n] = 0;
  return ret;
}

static const struct command *find(const struct resp_arg *name) {
  for (size_t i = 0; i < COMMANDS; i++)
    if (arg_is(name, commands[i].name)) return &commands[i];
  return NULL;
}

/* --- sessions --- */

void session_init(struct session *s, struct service *sv, struct reply_pool *pool) {
  *s = (struct session){
      .sv = sv, .version = 2, .id = ++sv->last_id, .since_ms = loop_now_ms(sv->loop)};
  replies_init(&s->replies, pool);
}

static void multi_drop(struct session *s) {
  if (s->multi) s->sv->multi_bytes -= multi_bytes(s->multi);
  multi_free(s->multi);
  s->multi = NULL;
  s->exec = false;
}

void session_done(struct session *s) {
  multi_drop(s);
  replies_drop(&s->replies);
  if (s->held) holdback_drop(s->held);
  s->held = NULL;
  auth_drop(&s->auth);
  free(s->name);
  s->name = NULL;
}

void peer_format(const struct peer *p, char *ret) {
  char host[INET6_ADDRSTRLEN];
  uint32_t uid;
  switch ((enum peer_kind)p->kind) {
  case PEER_UNIX:
    memcpy(&uid, p->address, sizeof uid);
    snprintf(ret, PEER_TEXT_MAX, "unix:uid=%" PRIu32, uid);
    break;
  case PEER_IPV4:
    inet_ntop(AF_INET, p->address, host, sizeof host);
    snprintf(ret, PEER_TEXT_MAX, "%s:%u", host, p->port);
    break;
  case PEER_IPV6:
    inet_ntop(AF_INET6, p->address, host, sizeof host);
    snprintf(ret, PEER_TEXT_MAX, "[%s]:%u", host, p->port);
    break;
  }
}

/* --- running one --- */

static void answer_error(struct call *c, const char *text) {
  resp_error(&c->reply->out, text);
  reply_done(c->reply);
}

static void answer_status(struct call *c, const char *text) {
  resp_status(&c->reply->out, text);
  reply_done(c->reply);
}

/* An argument was longer than max_job_size, or all together than is kept of one request. */
static void refuse_oversize(struct call *c, const struct command *cmd) {
  char text[160];
  size_t longest = 0;
  for (size_t i = 0; i < c->argc; i++)
    if (!c->args[i].text && c->args[i].len > longest) longest = c->args[i].len;
  c->s->sv->count->over_job_size++;
  uint64_t max = c->s->sv->set->max_job_size;
  if (longest > max)
    snprintf(text, sizeof text,
             "job too large: %zu bytes, max_job_size is %" PRIu64
             "; nothing of this request was stored",
             longest, max);
  else
    snprintf(text, sizeof text,
             "command too large: its jobs together are over %" PRIu64
             " bytes; nothing of this request was stored, send fewer at a time",
             max);
  if (cmd && cmd->flags & COMMAND_JSON && !c->s->multi) {
    command_push_error(c, text);
    return;
  }
  resp_errorf(&c->reply->out, "TOOLARGE %s", text);
  reply_done(c->reply);
}

static bool is_one_of(const struct resp_arg *a, const char *const *words) {
  for (; *words; words++)
    if (a->len == strlen(*words) && !memcmp(a->text, *words, a->len)) return true;
  return false;
}

static bool begins(const struct resp_arg *a, const char *with) {
  return a->len >= strlen(with) && !memcmp(a->text, with, strlen(with));
}

/* A line of HTTP. What follows it was written by somebody else than who sends it: a form of a
 * strange page, an address that a server was talked into asking. Redis closes at POST and Host:,
 * in either form of request; here so does every request line and every header line. */
static bool is_http(const struct resp *request) {
  static const char *const methods[] = {"GET",   "HEAD",  "PUT",     "DELETE", "OPTIONS",
                                        "PATCH", "TRACE", "CONNECT", "PRI",    NULL};
  const struct resp_arg *first = request->args, *second = first + 1;
  size_t n = request->argc;
  if (!first->text) return false;
  if (arg_is(first, "POST") || arg_is(first, "HOST:")) return true;
  if (request->begun) return false; /* an array: no browser sends one */
  if (first->len > 1 && memchr(first->text, ':', first->len)) return true;
  if (n > 1 && begins(&request->args[n - 1], "HTTP/")) return true;
  return n > 1 && is_one_of(first, methods) &&
         (*second->text == '/' || *second->text == '*' ||
          memmem(second->text, second->len, "://", 3));
}

static void put_out(struct session *s) {
  s->sv->count->protocol_errors++;
  strangers_note(s->sv->strangers, STRANGER_HTTP, &s->peer);
  s->quit = s->put_out = true;
}

/* As many arguments as it takes? */
static bool arity_fits(const struct command *cmd, size_t argc) {
  return cmd->arity >= 0 ? argc == (size_t)cmd->arity : argc >= (size_t)-cmd->arity;
}

static void answer_arity(struct call *c, const struct command *cmd) {
  bool exec = cmd->fn == run_exec;
  if (exec) multi_drop(c->s); /* as Redis does: an EXEC that fails ends the transaction */
  resp_errorf(&c->reply->out, "%s wrong number of arguments for '%s' command",
              exec ? "EXECABORT Transaction discarded because of:" : "ERR", cmd->name);
  reply_done(c->reply);
}

static void answer_unknown(struct call *c) {
  char word[SHOWN_MAX + 1];
  resp_errorf(&c->reply->out, auth_any(&c->s->auth) ? "ERR unknown command '%s'" : NOAUTH,
              shown(&c->args[0], word));
  reply_done(c->reply);
}

/* Between MULTI and EXEC; what cannot be queued makes EXEC run nothing. */
static void queue_command(struct call *c, const struct command *cmd, bool oversize) {
  struct session *s = c->s;
  size_t size = multi_size(c->args, c->argc);
  if (cmd && !oversize && arity_fits(cmd, c->argc) && !multi_aborted(s->multi) &&
      size <= MULTI_MAX - multi_bytes(s->multi) && s->sv->multi_bytes + size <= MULTI_ALL &&
      multi_add(s->multi, c->args, c->argc)) {
    s->sv->multi_bytes += size;
    answer_status(c, "QUEUED");
    return;
  }
  if (cmd && !oversize && arity_fits(cmd, c->argc) && multi_aborted(s->multi)) {
    answer_status(c, "QUEUED"); /* as Redis says; it will not be run, so it is not kept */
    return;
  }
  multi_abort(s->multi);
  if (oversize)
    refuse_oversize(c, cmd);
  else if (!cmd)
    answer_unknown(c);
  else if (!arity_fits(cmd, c->argc))
    answer_arity(c, cmd);
  else
    answer_error(c, "TOOLARGE too much is queued between MULTI and EXEC (64 MB of a client, 256 MB "
                    "of all): send less at a time, or a pipeline without MULTI");
}

/* One that is complete, now. */
static void run_now(struct call *c, const struct command *cmd) {
  bool json = cmd && cmd->flags & COMMAND_JSON;
  if (!cmd) {
    answer_unknown(c);
  } else if (json && c->argc < 2) {
    command_push_error(c, "Invalid Args");
  } else if (!json && !arity_fits(cmd, c->argc)) {
    answer_arity(c, cmd);
  } else if (!json && !(cmd->flags & COMMAND_NOAUTH) && !auth_any(&c->s->auth)) {
    answer_error(c, NOAUTH);
  } else {
    c->s->dear = !(cmd->flags & COMMAND_FAST);
    cmd->fn(c);
  }
}

bool command_run_queued(struct session *s) {
  struct call c = {.s = s};
  if (!multi_next(s->multi, &c.args, &c.argc)) {
    multi_drop(s);
    return true;
  }
  if (!(c.reply = reply_open(&s->replies))) return false;
  s->sv->count->commands++;
  run_now(&c, find(&c.args[0]));
  return true;
}

bool command_run(struct session *s, const struct resp *request) {
  if (is_http(request)) {
    put_out(s);
    return true;
  }
  struct call c = {
      .s = s, .args = request->args, .argc = request->argc, .reply = reply_open(&s->replies)};
  if (!c.reply) return false;
  s->sv->count->commands++;
  const struct command *cmd = c.args[0].text ? find(&c.args[0]) : NULL;
  bool json = cmd && cmd->flags & COMMAND_JSON;
  if (s->multi && auth_any(&s->auth) && !(cmd && cmd->flags & COMMAND_NOW))
    queue_command(&c, cmd, request->oversize);
  else if (request->oversize && json && !auth_any(&s->auth))
    command_push_error(&c, NOAUTH);
  else if (request->oversize && !auth_any(&s->auth))
    answer_error(&c, NOAUTH);
  else if (request->oversize)
    refuse_oversize(&c, cmd);
  else
    run_now(&c, cmd);
  return true;
}

/* --- who --- */

struct auth_peer peer_key(const struct peer *p) {
  return auth_peer_of(p->kind == PEER_IPV4   ? AF_INET
                      : p->kind == PEER_IPV6 ? AF_INET6
                                             : AF_UNIX,
                      p->address);
}

/* AUTH_OK, AUTH_MEMORY, or AUTH_WRONG and how long the answer waits. */
static enum auth_rc authenticate(struct session *s, const struct resp_arg *user,
                                 const struct resp_arg *password, uint64_t *ret_delay_ms) {
  struct auth_peer peer = peer_key(&s->peer);
  struct auth_attempt t = {.reg = s->sv->registry,
                           .limiter = s->sv->limiter,
                           .peer = &peer,
                           .max_wrong = s->sv->set->auth_attempts,
                           .now_ms = loop_now_ms(s->sv->loop)};
  return user ? auth_two(&s->auth, &t, user->text, user->len, password->text, password->len,
                         ret_delay_ms)
              : auth_one(&s->auth, &t, password->text, password->len, ret_delay_ms);
}

/* Nothing more of this connection is run until the answer has left. What was sent is never logged:
 * a mistyped password is nearly the right one. */
static void answer_wrong(struct call *c, const char *text, uint64_t delay_ms) {
  struct session *s = c->s;
  s->sv->count->refused_auth++;
  strangers_note(s->sv->strangers, STRANGER_PASSWORD, &s->peer);
  if (++s->wrong >= WRONG_MAX) {
    s->sv->count->refused_auth_rate++;
    s->quit = s->put_out = true;
  }
  s->alone = true;
  resp_error(&c->reply->out, text);
  holdback_add(s->sv->holdback, c->reply, delay_ms, &s->held);
}

static void run_auth(struct call *c) {
  uint64_t delay_ms;
  if (c->argc > 3) {
    answer_error(c, "ERR syntax error");
    return;
  }
  const struct resp_arg *user = c->argc == 3 ? &c->args[1] : NULL;
  switch (authenticate(c->s, user, &c->args[c->argc - 1], &delay_ms)) {
  case AUTH_OK:
    answer_status(c, "OK");
    break;
  case AUTH_WRONG:
    answer_wrong(c, user ? WRONGPASS : "ERR invalid password", delay_ms);
    break;
  case AUTH_MEMORY:
    answer_error(c, MEMORY);
    break;
  }
}

static bool is_name(const struct resp_arg *a) {
  for (size_t i = 0; i < a->len; i++)
    if (a->text[i] <= ' ' || a->text[i] > '~') return false;
  return a->len <= SHOWN_MAX;
}

/* NULL, or the error's text. An empty name takes the name away. */
static const char *set_name(struct session *s, const struct resp_arg *a) {
  char *name = NULL;
  if (!is_name(a)) return "ERR Client names cannot contain spaces, newlines or special characters.";
  if (a->len && !(name = strndup(a->text, a->len))) return MEMORY;
  free(s->name);
  s->name = name;
  return NULL;
}

/* --- HELLO --- */

/* Disque's name of a node: 40 hex digits that stay the same as long as its name does. */
static void node_id(const char *node, char *ret) {
  for (unsigned i = 0; i < 5; i++) {
    uint64_t h = UINT64_C(0xcbf29ce484222325) + i * UINT64_C(0x9e3779b97f4a7c15);
    for (const char *p = node; *p; p++) h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    snprintf(ret + i * 8, 9, "%08" PRIx32, (uint32_t)(h ^ h >> 32));
  }
}

static void hello_disque(struct call *c) {
  struct buf *out = &c->reply->out;
  const struct service *sv = c->s->sv;
  char id[41], text[24];
  struct in_addr ip = {.s_addr = htonl(sv->gateway.ipv4)};
  node_id(sv->set->node, id);
  resp_array(out, 3);
  resp_integer(out, 1); /* version of this format */
  resp_bulk_text(out, id);
  resp_array(out, 4);
  resp_bulk_text(out, id);
  inet_ntop(AF_INET, &ip, text, sizeof text);
  resp_bulk_text(out, text);
  snprintf(text, sizeof text, "%u", sv->gateway.port);
  resp_bulk_text(out, text);
  resp_bulk_text(out, "1"); /* its priority: as good as any */
  reply_done(c->reply);
}

static void hello_redis(struct call *c) {
  struct buf *out = &c->reply->out;
  unsigned version = c->s->version;
  resp_map(out, version, 7);
  resp_bulk_text(out, "server");
  resp_bulk_text(out, "redis");
  resp_bulk_text(out, "version");
  resp_bulk_text(out, REDIS_VERSION);
  resp_bulk_text(out, "proto");
  resp_integer(out, version);
  resp_bulk_text(out, "id");
  resp_integer(out, (int64_t)c->s->id);
  resp_bulk_text(out, "mode");
  resp_bulk_text(out, "standalone");
  resp_bulk_text(out, "role");
  resp_bulk_text(out, "master");
  resp_bulk_text(out, "modules");
  resp_array(out, 0);
  reply_done(c->reply);
}

static void run_hello(struct call *c) {
  struct session *s = c->s;
  const struct resp_arg *name = NULL, *user = NULL;
  int64_t version;
  if (c->argc > 1 && !arg_integer(&c->args[1], INT64_MIN, INT64_MAX, &version)) {
    answer_error(c, "ERR Protocol version is not an integer or out of range");
    return;
  }
  if (c->argc > 1 && version != 2 && version != 3) {
    answer_error(c, "NOPROTO unsupported protocol version");
    return;
  }
  for (size_t i = 2; i < c->argc; i++) {
    size_t left = c->argc - i - 1;
    if (arg_is(&c->args[i], "AUTH") && left >= 2) {
      user = &c->args[i + 1];
      i += 2;
    } else if (arg_is(&c->args[i], "SETNAME") && left >= 1) {
      name = &c->args[++i];
    } else {
      char word[SHOWN_MAX + 1];
      resp_errorf(&c->reply->out, "ERR Syntax error in HELLO option '%s'",
                  shown(&c->args[i], word));
      reply_done(c->reply);
      return;
    }
  }
  uint64_t delay_ms;
  enum auth_rc rc = user ? authenticate(s, user, user + 1, &delay_ms) : AUTH_OK;
  if (rc == AUTH_WRONG) {
    answer_wrong(c, WRONGPASS, delay_ms);
    return;
  }
  const char *fault = rc == AUTH_MEMORY ? MEMORY : NULL;
  if (!fault && !auth_any(&s->auth))
    fault = c->argc == 1 ? NOAUTH
                         : "NOAUTH HELLO must be called with the client already authenticated, "
                           "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                           "authenticate the client and select the RESP protocol version at the "
                           "same time";
  if (!fault && name) fault = set_name(s, name);
  if (fault) {
    answer_error(c, fault);
  } else if (c->argc == 1) {
    hello_disque(c);
  } else {
    s->version = (uint8_t)version;
    hello_redis(c);
  }
}

/* --- this connection --- */

static void client_line(const struct session *s, struct buf *out) {
  char peer[PEER_TEXT_MAX];
  peer_format(&s->peer, peer);
  buf_printf(out, "id=%" PRIu64 " addr=%s name=%s age=%" PRIu64 " db=0 resp=%u pending=%zu\n",
             s->id, peer, s->name ? s->name : "", (loop_now_ms(s->sv->loop) - s->since_ms) / 1000,
             s->version, s->replies.n);
}

static void run_client(struct call *c) {
  struct session *s = c->s;
  struct buf *out = &c->reply->out;
  const struct resp_arg *what = &c->args[1];
  char word[SHOWN_MAX + 1];
  if (arg_is(what, "SETNAME") && c->argc == 3) {
    const char *fault = set_name(s, &c->args[2]);
    if (fault)
      resp_error(out, fault);
    else
      resp_status(out, "OK");
  } else if (arg_is(what, "GETNAME") && c->argc == 2) {
    if (s->name)
      resp_bulk_text(out, s->name);
    else
      resp_null(out, s->version);
  } else if (arg_is(what, "ID") && c->argc == 2) {
    resp_integer(out, (int64_t)s->id);
  } else if (arg_is(what, "INFO") || arg_is(what, "LIST")) { /* of others it is told nothing */
    struct buf line = {0};
    client_line(s, &line);
    resp_verbatim(out, s->version, line.data ? line.data : "", line.len);
    buf_free(&line);
  } else if ((arg_is(what, "SETINFO") && c->argc == 4) || arg_is(what, "NO-EVICT") ||
             arg_is(what, "NO-TOUCH") ||
             (arg_is(what, "REPLY") && c->argc == 3 && arg_is(&c->args[2], "ON"))) {
    resp_status(out, "OK"); /* clients send these unasked; nothing here depends on them */
  } else {
    resp_errorf(out, "ERR unknown subcommand or wrong number of arguments for 'client|%s'",
                shown(what, word));
  }
  reply_done(c->reply);
}

static void run_ping(struct call *c) {
  if (c->argc > 2) {
    answer_error(c, "ERR wrong number of arguments for 'ping' command");
  } else if (c->argc == 2) {
    run_echo(c);
  } else {
    answer_status(c, "PONG");
  }
}

static void run_echo(struct call *c) {
  resp_bulk(&c->reply->out, c->args[1].text, c->args[1].len);
  reply_done(c->reply);
}

static void run_select(struct call *c) {
  int64_t db;
  if (!arg_integer(&c->args[1], INT64_MIN, INT64_MAX, &db))
    answer_error(c, "ERR value is not an integer or out of range");
  else if (db)
    answer_error(c, "ERR DB index is out of range");
  else
    answer_status(c, "OK");
}

static void run_quit(struct call *c) {
  c->s->quit = true;
  answer_status(c, "OK");
}

/* --- transactions --- */

static void run_multi(struct call *c) {
  struct session *s = c->s;
  if (s->multi)
    answer_error(c, "ERR MULTI calls can not be nested");
  else if (!(s->multi = multi_new()))
    answer_error(c, MEMORY);
  else
    answer_status(c, "OK");
}

/* The head of the array; the answers that are its elements follow as those of any pipeline do, each
 * when it is known. client.c runs the commands. */
static void run_exec(struct call *c) {
  struct session *s = c->s;
  if (!s->multi) {
    answer_error(c, "ERR EXEC without MULTI");
  } else if (multi_aborted(s->multi)) {
    multi_drop(s);
    answer_error(c, "EXECABORT Transaction discarded because of previous errors.");
  } else {
    resp_array(&c->reply->out, multi_count(s->multi));
    s->exec = true;
    reply_done(c->reply);
  }
}

static void run_discard(struct call *c) {
  if (!c->s->multi) {
    answer_error(c, "ERR DISCARD without MULTI");
    return;
  }
  multi_drop(c->s);
  answer_status(c, "OK");
}

static void run_watch(struct call *c) {
  if (c->s->multi)
    answer_error(c, "ERR WATCH inside MULTI is not allowed");
  else
    answer_status(c, "OK");
}

static void run_unwatch(struct call *c) {
  answer_status(c, "OK");
}

static void run_reset(struct call *c) {
  multi_drop(c->s);
  auth_drop(&c->s->auth);
  free(c->s->name);
  c->s->name = NULL;
  c->s->version = 2;
  answer_status(c, "RESET");
}

/* --- the broker --- */

static void run_info(struct call *c) {
  struct buf text = {0};
  if (c->argc == 1) stats_info(c->s->sv->stats, NULL, 0, &text);
  for (size_t i = 1; i < c->argc && i <= RESP_UNAUTH_ARGS; i++)
    stats_info(c->s->sv->stats, c->args[i].text, c->args[i].len, &text);
  if (text.failed)
    resp_error(&c->reply->out, MEMORY);
  else
    resp_verbatim(&c->reply->out, c->s->version, text.data ? text.data : "", text.len);
  buf_free(&text);
  reply_done(c->reply);
}

/* As Redis 6 describes a command; the first key is at 1 where there is one. */
static void describe(struct buf *out, unsigned version, const struct command *cmd) {
  bool key = !strcmp(cmd->group, "jobs");
  resp_array(out, 6);
  resp_bulk_text(out, cmd->name);
  resp_integer(out, cmd->arity);
  resp_set(out, version, 1u + !!(cmd->flags & COMMAND_FAST) + !!(cmd->flags & COMMAND_NOAUTH));
  resp_status(out, cmd->flags & COMMAND_WRITE ? "write" : "readonly");
  if (cmd->flags & COMMAND_FAST) resp_status(out, "fast");
  if (cmd->flags & COMMAND_NOAUTH) resp_status(out, "no_auth");
  resp_integer(out, key);
  resp_integer(out, key);
  resp_integer(out, key);
}

static void document(struct buf *out, unsigned version, const struct command *cmd) {
  resp_bulk_text(out, cmd->name);
  resp_map(out, version, 3);
  resp_bulk_text(out, "summary");
  resp_bulk_text(out, cmd->summary);
  resp_bulk_text(out, "since");
  resp_bulk_text(out, "1.0.0");
  resp_bulk_text(out, "group");
  resp_bulk_text(out, cmd->group);
}

/* COMMAND DOCS [name ...]: names that there are not are left out, as Redis does. */
static void command_docs(struct call *c) {
  struct buf *out = &c->reply->out;
  size_t n = 0;
  if (c->argc == 2) n = COMMANDS;
  for (size_t i = 2; i < c->argc; i++) n += find(&c->args[i]) != NULL;
  resp_map(out, c->s->version, n);
  if (c->argc == 2)
    for (size_t i = 0; i < COMMANDS; i++) document(out, c->s->version, &commands[i]);
  for (size_t i = 2; i < c->argc; i++) {
    const struct command *cmd = find(&c->args[i]);
    if (cmd) document(out, c->s->version, cmd);
  }
}

static void run_command(struct call *c) {
  struct buf *out = &c->reply->out;
  unsigned version = c->s->version;
  bool info = c->argc > 2 && arg_is(&c->args[1], "INFO");
  if (c->argc > 2 + COMMANDS) {
    resp_error(out, "ERR too many names");
  } else if (c->argc == 1 || (c->argc == 2 && arg_is(&c->args[1], "INFO"))) {
    resp_array(out, COMMANDS);
    for (size_t i = 0; i < COMMANDS; i++) describe(out, version, &commands[i]);
  } else if (info) {
    resp_array(out, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
      const struct command *cmd = find(&c->args[i]);
      if (cmd)
        describe(out, version, cmd);
      else
        resp_null(out, version);
    }
  } else if (arg_is(&c->args[1], "COUNT")) {
    resp_integer(out, COMMANDS);
  } else if (arg_is(&c->args[1], "DOCS")) {
    command_docs(c);
  } else if (arg_is(&c->args[1], "LIST")) {
    resp_array(out, COMMANDS);
    for (size_t i = 0; i < COMMANDS; i++) resp_bulk_text(out, commands[i].name);
  } else {
    char word[SHOWN_MAX + 1];
    resp_errorf(out, "ERR unknown subcommand '%s'", shown(&c->args[1], word));
  }
  reply_done(c->reply);
}

/* redis-benchmark asks for both before it starts. */
static void run_config(struct call *c) {
  struct buf *out = &c->reply->out;
  if (!arg_is(&c->args[1], "GET") || c->argc != 3) {
    resp_error(out, "ERR CONFIG GET <name> is all there is; the configuration is a file");
  } else {
    bool save = arg_is(&c->args[2], "save"), aof = arg_is(&c->args[2], "appendonly");
    resp_map(out, c->s->version, save || aof);
    if (save || aof) {
      resp_bulk_text(out, save ? "save" : "appendonly");
      resp_bulk_text(out, save ? "" : "yes"); /* jobs are durable when they are acknowledged */
    }
  }
  reply_done(c->reply);
}

static void run_time(struct call *c) {
  uint64_t ms = loop_wall_ms(c->s->sv->loop);
  char text[24];
  resp_array(&c->reply->out, 2);
  snprintf(text, sizeof text, "%" PRIu64, ms / 1000);
  resp_bulk_text(&c->reply->out, text);
  snprintf(text, sizeof text, "%" PRIu64, ms % 1000 * 1000);
  resp_bulk_text(&c->reply->out, text);
  reply_done(c->reply);
}
