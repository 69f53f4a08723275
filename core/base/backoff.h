/* Waits between tries that fail: each wait is twice the one before, up to a longest one. Callers
 * add loop_jitter(), so that tries that failed together are not made again together. */
#ifndef PB_CORE_BACKOFF_H
#define PB_CORE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_AFTER_0_MS 1000 /* the wait that follows a wait of 0 */

/* The wait that follows `wait_ms`. */
static inline uint64_t backoff_next(uint64_t wait_ms, uint64_t max_ms) {
  uint64_t next = wait_ms ? wait_ms * 2 : BACKOFF_AFTER_0_MS;
  return next < max_ms ? next : max_ms;
}

/* The wait that begins as `first_ms` and has doubled `times` times. */
static inline uint64_t backoff_wait(uint64_t first_ms, uint64_t max_ms, uint64_t times) {
  uint64_t wait = first_ms < max_ms ? first_ms : max_ms;
  for (; times && wait < max_ms; times--) wait = backoff_next(wait, max_ms);
  return wait;
}

#endif
