/* How long a request waits for a connection. */
#ifndef PB_COMMON_PATIENCE_H
#define PB_COMMON_PATIENCE_H

#include <stdint.h>

/* `timeout_ms`, but at most half of the time that the request has left before its deadline. At the
 * deadline it would be a failed attempt, though nothing was sent, and the other half is for another
 * address. */
static inline uint64_t patience_ms(uint64_t timeout_ms, uint64_t deadline_ms, uint64_t now_ms) {
  uint64_t half = deadline_ms > now_ms + 2 ? (deadline_ms - now_ms) / 2 : 1;

  return half < timeout_ms ? half : timeout_ms;
}

#endif
