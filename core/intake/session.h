/* A client's own data on a connection of the producers' port, and the data that all of them share.
 * The socket belongs to client.c. */
#ifndef PB_CORE_SESSION_H
#define PB_CORE_SESSION_H

#include "intake/auth.h"
#include "intake/peer.h"
#include "intake/reply.h"
#include "job/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_counters;
struct holdback;
struct intake;
struct loop;
struct multi;
struct registry;
struct server_settings;
struct metrics;
struct strangers;

/* The data that all sessions of a loop share. */
struct service {
  struct loop *loop;
  const struct server_settings *set;
  struct registry *registry;
  struct intake *intake;
  struct metrics *metrics;
  struct client_counters *count;
  struct auth_limiter *limiter;
  struct holdback *holdback;
  struct strangers *strangers;
  struct gateway gateway;
  uint64_t last_id;
  size_t multi_bytes; /* queued by all clients between MULTI and EXEC */
};

/* Embedded in a connection, which costs little more. The order of members leaves no holes. */
struct session {
  struct service *sv;
  struct replies replies;
  struct auth auth;
  char *name;          /* CLIENT SETNAME; NULL: none */
  struct multi *multi; /* since MULTI; NULL: none */
  struct reply *held;  /* the answer to a wrong password, until its time; NULL: none */
  uint64_t id;
  uint64_t since_ms; /* monotonic: connected */
  uint64_t commands;
  struct peer peer;
  uint8_t wrong;    /* passwords */
  uint8_t version;  /* of RESP: 2 or 3 */
  bool exec : 1;    /* EXEC was said, and not all of `multi` has been run */
  bool quit : 1;    /* nothing more is read; close when all replies are out */
  bool put_out : 1; /* with quit: by us, while it may still be sending */
  bool dear : 1;    /* the last command may have taken long */
  bool alone : 1;   /* nothing more is run until all replies are out */
};

void session_init(struct session *s, struct service *sv, struct reply_pool *pool);
void session_done(struct session *s);
/* Forgets MULTI and the commands queued since. */
void session_drop_multi(struct session *s);

#endif
