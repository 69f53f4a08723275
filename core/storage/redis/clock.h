/* The clock of the server. Stored times are compared by this clock alone, because the clocks of
 * nodes differ.
 */
#ifndef PB_CORE_STORAGE_REDIS_CLOCK_H
#define PB_CORE_STORAGE_REDIS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct store;

struct store_clock {
  int64_t ahead; /* of the server before this node's wall clock, in ms */
  bool known;    /* it has told its time */
};

uint64_t clock_now(struct store *s); /* Unix ms */
/* A time of one clock in the other's; 0 stays 0. */
uint64_t clock_here(const struct store *s, uint64_t server_ms);
uint64_t clock_there(const struct store *s, uint64_t node_ms);
/* The server read its clock at some moment of the last `trip_ms`. */
void clock_learn(struct store *s, uint64_t server_ms, uint64_t trip_ms);

#endif
