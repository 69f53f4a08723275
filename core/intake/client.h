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
/* Closes all. NULL is fine. */
void clients_free(struct clients *cs);

#endif
