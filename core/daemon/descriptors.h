/* How the descriptors of the process are shared out, so that those whom anybody can open never take
 * those that jobs need: connections to Redis and to workers, and the pipes of processes.
 */
#ifndef PB_CORE_DESCRIPTORS_H
#define PB_CORE_DESCRIPTORS_H

#include <stddef.h>

struct settings;

struct descriptors {
  size_t limit;              /* of the process, as it is now */
  size_t wanted;             /* what it should be for everything that is configured */
  size_t kept;               /* for storages, workers, files */
  size_t strangers, friends; /* connections to the admin port */
  size_t clients;            /* connections to the producers' port; max_clients at most */
};

void descriptors_share(const struct settings *s, struct descriptors *ret);

#endif
