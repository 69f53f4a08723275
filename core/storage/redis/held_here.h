/* Jobs of a topic that are in this node's memory. */
#ifndef PB_CORE_STORAGE_REDIS_HELD_HERE_H
#define PB_CORE_STORAGE_REDIS_HELD_HERE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The entries and claims of a topic, so that a recovery after a lost reply does not hand them out
 * twice. Keys: (entry ms, entry seq), or (job id, UINT64_MAX) for a claimed retry. */
struct held_here {
  struct held_here_key {
    uint64_t a, b; /* a 0: free */
  } * slot;
  size_t n, cap; /* cap: a power of two, or 0 */
};
int held_here_add(struct held_here *h, uint64_t a, uint64_t b); /* 0, -EEXIST, -ENOMEM */
void held_here_remove(struct held_here *h, uint64_t a, uint64_t b);
bool held_here_has(const struct held_here *h, uint64_t a, uint64_t b);
void held_here_done(struct held_here *h);

#endif
