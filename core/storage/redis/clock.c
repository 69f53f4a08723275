/* Owns the server's clock as this node knows it. Stored times are compared by the server's clock
 * alone, because the clocks of nodes differ. */
#include "storage/redis/private.h"

#define CLOCK_SLACK 5 /* ms: clocks that are that near are taken for one */

uint64_t clock_now(struct store *s) {
  return (uint64_t)((int64_t)loop_wall_ms(s->loop) + s->clock.ahead);
}

static uint64_t shifted(uint64_t ms, int64_t by) {
  if (!ms) return 0;
  return by < 0 && (uint64_t)-by >= ms ? 1 : (uint64_t)((int64_t)ms + by);
}

uint64_t clock_here(const struct store *s, uint64_t server_ms) {
  return shifted(server_ms, -s->clock.ahead);
}

uint64_t clock_there(const struct store *s, uint64_t node_ms) {
  return shifted(node_ms, s->clock.ahead);
}

/* The server read its clock at some moment within the last `trip_ms`. The known difference is kept
 * if it may still be true: an answer that was late because a machine was busy must not move the
 * clock. */
void clock_learn(struct store *s, uint64_t server_ms, uint64_t trip_ms) {
  int64_t least = (int64_t)server_ms - (int64_t)loop_wall_ms(s->loop);
  int64_t most = least + (int64_t)trip_ms;
  s->clock.known = true;
  if (s->clock.ahead >= least - CLOCK_SLACK && s->clock.ahead <= most + CLOCK_SLACK) return;
  s->clock.ahead = least + (int64_t)trip_ms / 2;
}
