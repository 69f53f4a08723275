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
/* So many at most, whatever max_clients allows; 0: as it says. */
void clients_limit(struct clients *cs, size_t max);
/* Takes a connected socket over; over max_clients it is told so and closed. */
void clients_accept(struct clients *cs, int fd, const struct peer *peer);
/* What has been sent is run and answered, then each is closed; new ones are not taken. */
void clients_finish(struct clients *cs);
size_t clients_count(const struct clients *cs);
/* Closes all. NULL is fine. */
void clients_free(struct clients *cs);

#endif
