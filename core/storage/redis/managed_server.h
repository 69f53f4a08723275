/* A private redis-server of a storage with `managed = yes`: started, adopted, watched, ended. */
#ifndef PB_CORE_STORAGE_REDIS_MANAGED_SERVER_H
#define PB_CORE_STORAGE_REDIS_MANAGED_SERVER_H

#include <stdbool.h>

struct loop;
struct redis_server;

/* Its folder is <state_dir>/<name>/. Starts the server, or adopts the one that an earlier broker
 * left running. NULL: see errno. `subject` is for the log and is not copied. */
struct redis_server *redis_server_new(struct loop *loop, const char *subject, const char *binary,
                                      const char *state_dir, const char *name);
const char *redis_server_address(const struct redis_server *server); /* "unix:..." */
/* It was started a moment ago, so it may not answer yet. */
bool redis_server_is_starting(const struct redis_server *server);
/* Why it cannot be started, for people; "" where it was, or was not tried yet. */
const char *redis_server_why(const struct redis_server *server);
/* The link gets no answer: if an adopted server has died, it is started again. */
void redis_server_check(struct redis_server *server);
/* Ends the server and waits until its data is on the disk. NULL is fine. */
void redis_server_free(struct redis_server *server);

#endif
