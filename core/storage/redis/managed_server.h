/* A private redis-server of a storage with `managed = yes`: started, adopted, watched, ended. */
#ifndef PB_CORE_STORAGE_REDIS_MANAGED_SERVER_H
#define PB_CORE_STORAGE_REDIS_MANAGED_SERVER_H

#include <stdbool.h>

struct loop;
struct managed_server;

/* Its folder is <state_dir>/<name>/. Starts the server, or adopts the one that an earlier broker
 * left running. NULL: see errno. `subject` is for the log and is not copied. */
struct managed_server *managed_server_new(struct loop *loop, const char *subject,
                                          const char *binary, const char *state_dir,
                                          const char *name);
const char *managed_server_address(const struct managed_server *server); /* "unix:..." */
/* It was started a moment ago, so it may not answer yet. */
bool managed_server_is_starting(const struct managed_server *server);
/* Why it cannot be started, for people; "" where it was, or was not tried yet. */
const char *managed_server_why(const struct managed_server *server);
/* The link gets no answer: if an adopted server has died, it is started again. */
void managed_server_check(struct managed_server *server);
/* Ends the server and waits until its data is on the disk. NULL is fine. */
void managed_server_free(struct managed_server *server);

#endif
