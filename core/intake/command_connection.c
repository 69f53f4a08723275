/* Owns the commands about the connection itself: who the client is, which protocol version it
 * speaks.
 *
 * Must never happen: an error to a command that stock clients send at connect, if that error stops
 * them.
 */
#include "intake/command.h"

#include "base/hash.h"
#include "config/settings.h"
#include "event/loop.h"
#include "intake/holdback.h"
#include "intake/resp.h"
#include "intake/strangers.h"
#include "metrics/metrics.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version of Redis that we report to clients: the one whose commands we require. */
#define REDIS_VERSION "7.0.15"
#define WRONGPASS     "WRONGPASS invalid username-password pair or user is disabled."
#define WRONG_MAX     10 /* passwords on one connection; then it is closed */

/* --- AUTH --- */

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

/* No further command of this connection is run until the answer has left. The text that was sent is
 * never logged: a mistyped password is nearly the right one. */
static void answer_wrong(struct command_call *c, const char *text, uint64_t delay_ms) {
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

void command_auth(struct command_call *c) {
  uint64_t delay_ms;
  if (c->argc > 3) {
    command_error(c, "ERR syntax error");
    return;
  }
  const struct resp_arg *user = c->argc == 3 ? &c->args[1] : NULL;
  switch (authenticate(c->s, user, &c->args[c->argc - 1], &delay_ms)) {
  case AUTH_OK:
    command_status(c, "OK");
    break;
  case AUTH_WRONG:
    answer_wrong(c, user ? WRONGPASS : "ERR invalid password", delay_ms);
    break;
  case AUTH_MEMORY:
    command_error(c, COMMAND_MEMORY);
    break;
  }
}

static bool is_name(const struct resp_arg *a) {
  for (size_t i = 0; i < a->len; i++)
    if (a->text[i] <= ' ' || a->text[i] > '~') return false;
  return a->len <= ARG_SHOWN_MAX;
}

/* NULL, or the error's text. An empty name takes the name away. */
static const char *set_name(struct session *s, const struct resp_arg *a) {
  char *name = NULL;
  if (!is_name(a)) return "ERR Client names cannot contain spaces, newlines or special characters.";
  if (a->len && !(name = strndup(a->text, a->len))) return COMMAND_MEMORY;
  free(s->name);
  s->name = name;
  return NULL;
}

/* --- HELLO --- */

/* Disque's name of a node: 40 hex digits that stay the same as long as its name does. */
static void node_id(const char *node, char *ret) {
  for (unsigned i = 0; i < 5; i++) {
    uint64_t h = hash_bytes(HASH_BEGIN + i * UINT64_C(0x9e3779b97f4a7c15), node, strlen(node));
    snprintf(ret + i * 8, 9, "%08" PRIx32, (uint32_t)(h ^ h >> 32));
  }
}

static void hello_disque(struct command_call *c) {
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

static void hello_redis(struct command_call *c) {
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

void command_hello(struct command_call *c) {
  struct session *s = c->s;
  const struct resp_arg *name = NULL, *user = NULL;
  int64_t version;
  if (c->argc > 1 && !arg_integer(&c->args[1], INT64_MIN, INT64_MAX, &version)) {
    command_error(c, "ERR Protocol version is not an integer or out of range");
    return;
  }
  if (c->argc > 1 && version != 2 && version != 3) {
    command_error(c, "NOPROTO unsupported protocol version");
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
      char word[ARG_SHOWN_MAX + 1];
      resp_errorf(&c->reply->out, "ERR Syntax error in HELLO option '%s'",
                  arg_shown(&c->args[i], word));
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
  const char *fault = rc == AUTH_MEMORY ? COMMAND_MEMORY : NULL;
  if (!fault && !auth_any(&s->auth))
    fault = c->argc == 1 ? COMMAND_NOT_AUTHENTICATED
                         : "NOAUTH HELLO must be called with the client already "
                           "authenticated, "
                           "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                           "authenticate the client and select the RESP protocol version at the "
                           "same time";
  if (!fault && name) fault = set_name(s, name);
  if (fault) {
    command_error(c, fault);
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

void command_client(struct command_call *c) {
  struct session *s = c->s;
  struct buf *out = &c->reply->out;
  const struct resp_arg *what = &c->args[1];
  char word[ARG_SHOWN_MAX + 1];
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
  } else if (arg_is(what, "INFO") || arg_is(what, "LIST")) { /* nothing about other clients */
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
                arg_shown(what, word));
  }
  reply_done(c->reply);
}

void command_echo(struct command_call *c) {
  resp_bulk(&c->reply->out, c->args[1].text, c->args[1].len);
  reply_done(c->reply);
}

void command_ping(struct command_call *c) {
  if (c->argc > 2) {
    command_error(c, "ERR wrong number of arguments for 'ping' command");
  } else if (c->argc == 2) {
    command_echo(c);
  } else {
    command_status(c, "PONG");
  }
}

void command_select(struct command_call *c) {
  int64_t db;
  if (!arg_integer(&c->args[1], INT64_MIN, INT64_MAX, &db))
    command_error(c, "ERR value is not an integer or out of range");
  else if (db)
    command_error(c, "ERR DB index is out of range");
  else
    command_status(c, "OK");
}

void command_quit(struct command_call *c) {
  c->s->quit = true;
  command_status(c, "OK");
}

void command_reset(struct command_call *c) {
  session_drop_multi(c->s);
  auth_drop(&c->s->auth);
  free(c->s->name);
  c->s->name = NULL;
  c->s->version = 2;
  command_status(c, "RESET");
}
