/* The commands of the producers' port: one table {name, arity, flags, function}.
 *
 * A command gets its arguments and one reply slot and answers exactly once, now or later. It
 * sees its connection only as a session; the socket belongs to client.c.
 */
#ifndef PB_CORE_COMMAND_H
#define PB_CORE_COMMAND_H

#include "intake/auth.h"
#include "job/id.h"
#include "intake/reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_counters;
struct holdback;
struct intake;
struct loop;
struct multi;
struct registry;
struct resp;
struct resp_arg;
struct server_settings;
struct stats;
struct strangers;

/* What all sessions of a loop share. */
struct service {
  struct loop *loop;
  const struct server_settings *set;
  struct registry *registry;
  struct intake *intake;
  struct stats *stats;
  struct client_counters *count;
  struct auth_limiter *limiter;
  struct holdback *holdback;
  struct strangers *strangers;
  struct gateway gateway;
  uint64_t last_id;
  size_t multi_bytes; /* queued by all clients between MULTI and EXEC */
};

enum peer_kind { PEER_UNIX, PEER_IPV4, PEER_IPV6 };
struct peer {
  unsigned char address[16]; /* unix: the user id in the first four */
  uint16_t port;
  uint8_t kind;
};
#define PEER_TEXT_MAX 64
/* "127.0.0.1:4711", "[::1]:4711", "unix:uid=33". */
void peer_format(const struct peer *p, char *ret);
/* As far as it counts for wrong passwords. */
struct auth_peer peer_key(const struct peer *p);

/* Embedded in a connection. */
struct session {
  struct service *sv;
  struct replies replies;
  struct auth auth;
  char *name;          /* CLIENT SETNAME; NULL: none */
  struct multi *multi; /* since MULTI; NULL: none */
  bool exec;           /* EXEC was said, and not all of `multi` has been run */
  uint64_t id;
  uint64_t since_ms; /* monotonic: connected */
  struct peer peer;
  struct reply *held; /* the answer to a wrong password, until its time; NULL: none */
  unsigned wrong;     /* passwords */
  uint8_t version;    /* of RESP: 2 or 3 */
  bool quit;          /* nothing more is read; close when all replies are out */
  bool put_out;       /* with quit: by us, while it may still be sending */
  bool dear;          /* the last command may have taken long */
  bool alone;         /* nothing more is run until all replies are out */
};

void session_init(struct session *s, struct service *sv, struct reply_pool *pool);
void session_done(struct session *s);

/* Runs one request. False: no memory even to say so; the connection is to be closed. */
bool command_run(struct session *s, const struct resp *request);
/* While `exec`: runs the next of the queued commands. Nothing else may be run meanwhile. False as
 * above. */
bool command_run_queued(struct session *s);

/* --- between command.c and command_job.c --- */

enum command_flag {
  COMMAND_NOAUTH = 1, /* runs before AUTH */
  COMMAND_JSON = 2,   /* its errors are JSON in a bulk string, as its success */
  COMMAND_WRITE = 4,
  COMMAND_FAST = 8,
  COMMAND_NOW = 16 /* is not queued by MULTI */
};
struct call {
  struct session *s;
  struct reply *reply;
  const struct resp_arg *args; /* args[0] is the name */
  size_t argc;
};
typedef void (*command_fn)(struct call *c);
struct command {
  const char *name;
  int arity; /* with the name; negative: at least */
  unsigned flags;
  command_fn fn;
  const char *group, *summary;
};

bool arg_is(const struct resp_arg *a, const char *word); /* case does not matter */
bool arg_integer(const struct resp_arg *a, int64_t min, int64_t max, int64_t *ret);

void command_push(struct call *c); /* LPUSH, RPUSH */
void command_addjob(struct call *c);
void command_rpop(struct call *c);
/* The JSON form of a failure that the intake has no part in. */
void command_push_error(struct call *c, const char *error);

#endif
