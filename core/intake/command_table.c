/* Owns the table of commands, and how one is run: found, refused, queued, called.
 *
 * Must never happen: a command that answers twice or not at all.
 */
#include "intake/command_table.h"

#include "config/settings.h"
#include "intake/command.h"
#include "intake/multi.h"
#include "intake/resp.h"
#include "intake/strangers.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MULTI_MAX (64u << 20)  /* bytes that one client may queue ... */
#define MULTI_ALL (256u << 20) /* ... and all of them together */

static void answer_command(struct command_call *c);

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
    {"auth", -2, COMMAND_NOAUTH | COMMAND_FAST, command_auth, "connection",
     "Authenticates with the password of a queue or topic: AUTH queue:password, AUTH queue "
     "password"},
    {"ping", -1, COMMAND_FAST, command_ping, "connection", "Answers PONG, or its argument"},
    {"echo", 2, COMMAND_FAST, command_echo, "connection", "Answers its argument"},
    {"hello", -1, COMMAND_NOAUTH | COMMAND_FAST, command_hello, "connection",
     "Without argument: the nodes. HELLO 2|3 [AUTH queue password] [SETNAME name]: handshake"},
    {"client", -2, COMMAND_FAST, command_client, "connection",
     "About this connection: CLIENT ID|INFO|LIST|GETNAME|SETNAME|SETINFO"},
    {"select", 2, COMMAND_FAST, command_select, "connection", "Database 0 is the only one"},
    {"quit", -1, COMMAND_NOAUTH | COMMAND_FAST | COMMAND_NOW, command_quit, "connection",
     "Ends the connection"},
    {"reset", 1, COMMAND_NOAUTH | COMMAND_FAST | COMMAND_NOW, command_reset, "connection",
     "Resets authentication, name and protocol version of the connection"},
    {"multi", 1, COMMAND_FAST | COMMAND_NOW, command_multi, "transactions",
     "Begins a transaction: the next commands are queued, and run at EXEC"},
    {"exec", 1, COMMAND_NOW, command_exec, "transactions",
     "Runs the commands that were queued since MULTI"},
    {"discard", 1, COMMAND_FAST | COMMAND_NOW, command_discard, "transactions",
     "Forgets the commands that were queued since MULTI"},
    {"watch", -2, COMMAND_FAST | COMMAND_NOW, command_watch, "transactions",
     "Accepted, without effect"},
    {"unwatch", 1, COMMAND_FAST, command_unwatch, "transactions", "Without effect"},
    {"info", -1, 0, command_info, "server", "Figures of the broker: INFO [section ...]"},
    {"command", -1, 0, answer_command, "server", "These commands: COMMAND [COUNT|DOCS|INFO|LIST]"},
    {"config", -2, 0, command_config, "server", "CONFIG GET save|appendonly, for redis-benchmark"},
    {"time", 1, COMMAND_FAST, command_time, "server", "Unix time: seconds and microseconds"},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static const struct command *find(const struct resp_arg *name) {
  for (size_t i = 0; i < COMMANDS; i++)
    if (arg_is(name, commands[i].name)) return &commands[i];
  return NULL;
}

/* --- running one --- */

/* An argument was longer than max_job_size, or all arguments together were longer than one request
 * may be. */
static void refuse_oversize(struct command_call *c, const struct command *cmd) {
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

/* A line of HTTP. The bytes after it were not written by their sender: a strange page sent a form,
 * or a server was talked into asking an address. Redis closes the connection at POST and Host:, in
 * either form of request. Here every request line and every header line closes it. */
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

static void answer_arity(struct command_call *c, const struct command *cmd) {
  bool exec = cmd->fn == command_exec;
  if (exec) session_drop_multi(c->s); /* as Redis does: an EXEC that fails ends the transaction */
  resp_errorf(&c->reply->out, "%s wrong number of arguments for '%s' command",
              exec ? "EXECABORT Transaction discarded because of:" : "ERR", cmd->name);
  reply_done(c->reply);
}

static void answer_unknown(struct command_call *c) {
  char word[ARG_SHOWN_MAX + 1];
  resp_errorf(&c->reply->out,
              auth_any(&c->s->auth) ? "ERR unknown command '%s'" : COMMAND_NOT_AUTHENTICATED,
              arg_shown(&c->args[0], word));
  reply_done(c->reply);
}

/* Between MULTI and EXEC; what cannot be queued makes EXEC run nothing. */
static void queue_command(struct command_call *c, const struct command *cmd, bool oversize) {
  struct session *s = c->s;
  size_t size = multi_size(c->args, c->argc);
  if (cmd && !oversize && arity_fits(cmd, c->argc) && !multi_aborted(s->multi) &&
      size <= MULTI_MAX - multi_bytes(s->multi) && s->sv->multi_bytes + size <= MULTI_ALL &&
      multi_add(s->multi, c->args, c->argc)) {
    s->sv->multi_bytes += size;
    command_status(c, "QUEUED");
    return;
  }
  if (cmd && !oversize && arity_fits(cmd, c->argc) && multi_aborted(s->multi)) {
    command_status(c, "QUEUED"); /* as Redis answers; it will not be run, so it is not kept */
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
    command_error(c,
                  "TOOLARGE too much is queued between MULTI and EXEC (64 MB of a client, 256 MB "
                  "of all): send less at a time, or a pipeline without MULTI");
}

/* Runs a complete command now. */
static void run_now(struct command_call *c, const struct command *cmd) {
  bool json = cmd && cmd->flags & COMMAND_JSON;
  if (!cmd) {
    answer_unknown(c);
  } else if (json && c->argc < 2) {
    command_push_error(c, "Invalid Args");
  } else if (!json && !arity_fits(cmd, c->argc)) {
    answer_arity(c, cmd);
  } else if (!json && !(cmd->flags & COMMAND_NOAUTH) && !auth_any(&c->s->auth)) {
    command_error(c, COMMAND_NOT_AUTHENTICATED);
  } else {
    c->s->dear = !(cmd->flags & COMMAND_FAST);
    cmd->fn(c);
  }
}

bool command_run_queued(struct session *s) {
  struct command_call c = {.s = s};
  if (!multi_next(s->multi, &c.args, &c.argc)) {
    session_drop_multi(s);
    return true;
  }
  if (!(c.reply = reply_open(&s->replies))) return false;
  s->sv->count->commands++;
  s->commands++;
  run_now(&c, find(&c.args[0]));
  return true;
}

bool command_run(struct session *s, const struct resp *request) {
  if (is_http(request)) {
    put_out(s);
    return true;
  }
  struct command_call c = {
      .s = s, .args = request->args, .argc = request->argc, .reply = reply_open(&s->replies)};
  if (!c.reply) return false;
  s->sv->count->commands++;
  s->commands++;
  const struct command *cmd = c.args[0].text ? find(&c.args[0]) : NULL;
  bool json = cmd && cmd->flags & COMMAND_JSON;
  if (s->multi && auth_any(&s->auth) && !(cmd && cmd->flags & COMMAND_NOW))
    queue_command(&c, cmd, request->oversize);
  else if (request->oversize && json && !auth_any(&s->auth))
    command_push_error(&c, COMMAND_NOT_AUTHENTICATED);
  else if (request->oversize && !auth_any(&s->auth))
    command_error(&c, COMMAND_NOT_AUTHENTICATED);
  else if (request->oversize)
    refuse_oversize(&c, cmd);
  else
    run_now(&c, cmd);
  return true;
}

/* --- COMMAND --- */

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
static void command_docs(struct command_call *c) {
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

static void answer_command(struct command_call *c) {
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
    char word[ARG_SHOWN_MAX + 1];
    resp_errorf(out, "ERR unknown subcommand '%s'", arg_shown(&c->args[1], word));
  }
  reply_done(c->reply);
}
