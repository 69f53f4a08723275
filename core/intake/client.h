/* The connections of one loop. */
#ifndef PB_CORE_CLIENT_H
#define PB_CORE_CLIENT_H

#include "intake/session.h"

#include <stddef.h>

struct clients;

/* NULL: no memory. What `sv` points at must outlive the clients; `sv` itself is copied. */
struct clients *clients_new(const struct service *sv);
/* Limits of another snapshot hold from now on. */
void clients_apply(struct clients *cs, const struct server_settings *set);
/* A limit on clients, whatever max_clients allows; 0: max_clients alone. */
void clients_limit(struct clients *cs, size_t max);
/* Takes over a connected socket. Over max_clients the client gets an error and is closed. */
void clients_accept(struct clients *cs, int fd, const struct peer *peer);
/* Runs and answers all requests that have been sent, then closes each client. New clients are not
 * taken. */
void clients_finish(struct clients *cs);
size_t clients_count(const struct clients *cs);

/* One of them, for people. */
struct client_seen {
  uint64_t id; /* of this run of the process; never given twice */
  char address[PEER_TEXT_MAX];
  const char *shown;        /* the queue or topic whose password it showed last; NULL: none */
  const char *name;         /* CLIENT SETNAME; NULL: none */
  uint64_t age_ms, idle_ms; /* since it connected; since bytes came from it */
  uint64_t commands;
  size_t in_flight; /* commands whose replies have not left */
  size_t out_bytes; /* of replies that it has not taken */
  bool closing;
};
/* Those with a higher id than `after`, by their id. False from fn ends it. -ENOMEM. */
int clients_each(struct clients *cs, uint64_t after,
                 bool (*fn)(void *arg, const struct client_seen *seen), void *arg);
/* Cuts off that one; `why` for the log. False: there is none. */
bool clients_kill(struct clients *cs, uint64_t id, const char *why);
/* Closes all. NULL is fine. */
void clients_free(struct clients *cs);

#endif
