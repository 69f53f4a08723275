/* The commands of the producers' port: their arguments, and how they answer.
 *
 * A command gets its arguments and one reply slot and answers exactly once, now or later. It sees
 * its connection only as a session.
 */
#ifndef PB_CORE_COMMAND_H
#define PB_CORE_COMMAND_H

#include "intake/session.h"

struct resp_arg;

enum command_flag {
  COMMAND_NOAUTH = 1, /* runs before AUTH */
  COMMAND_JSON = 2,   /* its errors are JSON in a bulk string, as its success */
  COMMAND_WRITE = 4,
  COMMAND_FAST = 8,
  COMMAND_NOW = 16 /* is not queued by MULTI */
};
struct command_call {
  struct session *s;
  struct reply *reply;
  const struct resp_arg *args; /* args[0] is the name */
  size_t argc;
};
typedef void (*command_fn)(struct command_call *c);
struct command {
  const char *name;
  int arity; /* with the name; negative: at least */
  unsigned flags;
  command_fn fn;
  const char *group, *summary;
};

#define COMMAND_MEMORY            "ERR out of memory"
#define COMMAND_NOT_AUTHENTICATED "NOAUTH Authentication required."

bool arg_is(const struct resp_arg *a, const char *word); /* case does not matter */
bool arg_integer(const struct resp_arg *a, int64_t min, int64_t max, int64_t *ret);
#define ARG_SHOWN_MAX 128 /* of a client's words in our texts */
/* The client's own word, for a text of ours: cut, and without unusual characters. `ret` has
 * ARG_SHOWN_MAX + 1 bytes. */
const char *arg_shown(const struct resp_arg *a, char *ret);

/* Both answer the call. */
void command_error(struct command_call *c, const char *text);
void command_status(struct command_call *c, const char *text);

/* --- command_job.c --- */

void command_push(struct command_call *c); /* LPUSH, RPUSH */
void command_addjob(struct command_call *c);
void command_rpop(struct command_call *c);
/* The JSON form of a failure that the intake has no part in. */
void command_push_error(struct command_call *c, const char *error);

/* --- command_connection.c --- */

void command_auth(struct command_call *c);
void command_client(struct command_call *c);
void command_echo(struct command_call *c);
void command_hello(struct command_call *c);
void command_ping(struct command_call *c);
void command_quit(struct command_call *c);
void command_reset(struct command_call *c);
void command_select(struct command_call *c);

/* --- command_transaction.c --- */

void command_discard(struct command_call *c);
void command_exec(struct command_call *c);
void command_multi(struct command_call *c);
void command_unwatch(struct command_call *c);
void command_watch(struct command_call *c);

/* --- command_server.c --- */

void command_config(struct command_call *c);
void command_info(struct command_call *c);
void command_time(struct command_call *c);

#endif
