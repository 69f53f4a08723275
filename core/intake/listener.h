/* The sockets that producers connect to, and the set of their connections.
 *
 * One listener per loop. It opens the addresses of [server] listen, accepts, refuses connections
 * over max_clients, and hands the others to client.c. A drain is: listener_stop(),
 * listener_finish(), wait until listener_clients() is 0 or the time is up, listener_free().
 */
#ifndef PB_CORE_LISTENER_H
#define PB_CORE_LISTENER_H

#include "job/id.h"

#include <stddef.h>

struct clients;
struct intake;
struct listener;
struct loop;
struct pb_err;
struct registry;
struct server_settings;
struct metrics;

/* Opens every address of `set`, which must live until the next listener_apply() or the end. NULL
 * when an address cannot be opened; *reterr says which and why. */
struct listener *listener_new(struct loop *loop, const struct server_settings *set,
                              struct registry *reg, struct intake *intake, struct metrics *metrics,
                              struct gateway gateway, struct pb_err *reterr);
/* A reload: new addresses are opened, those no longer named are closed (their connections
 * live on), limits hold from now on. When an address cannot be had nothing changes, and the result
 * is negative with *reterr filled; `set` need not live then. */
int listener_apply(struct listener *l, const struct server_settings *set, struct pb_err *reterr);
/* No more clients than that, whatever max_clients says: the process has no descriptors for more. */
void listener_limit(struct listener *l, size_t max_clients);
/* Accepts no more; the sockets are closed and unix socket files removed. */
void listener_stop(struct listener *l);
/* Ends the connections: requests that a client has sent are still run and answered, then it is
 * closed. */
void listener_finish(struct listener *l);
size_t listener_clients(const struct listener *l);
struct clients *listener_connections(const struct listener *l); /* client.h */
/* Closes the remaining connections. Later answers of the intake go nowhere. NULL is fine. */
void listener_free(struct listener *l);

#endif
