/* Who a connection is: the queues and topics it has shown the password of, and how long the answer
 * to a wrong one waits.
 */
#ifndef PB_CORE_AUTH_H
#define PB_CORE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;

/* --- what was granted --- */

struct grant;

/* Embedded in a connection. All zero: nobody. */
struct auth {
  struct grant *grants;
};

/* May it add to queue `name`, and take from its topics? */
bool auth_queue(const struct auth *a, const char *name, size_t len);
/* May it take from topic `path` ("queue/topic")? By the queue's password or the topic's. */
bool auth_topic(const struct auth *a, const char *path, size_t len);
static inline bool auth_any(const struct auth *a) {
  return a->grants;
}
/* The queue or topic whose password it showed last; NULL: nobody. Valid until the next change. */
const char *auth_shown(const struct auth *a);
void auth_drop(struct auth *a); /* nobody again */

/* --- passwords --- */

/* The address of a peer as far as it counts here: IPv4, where 127.0.0.0/8 and ::1 are one address;
 * an IPv6 network of 64 bits; all unix sockets together. */
struct auth_peer {
  unsigned char bytes[16];
};
/* `address` as in sin_addr or sin6_addr; of AF_UNIX it is not looked at. */
struct auth_peer auth_peer_of(int family, const void *address);

struct auth_limiter;                            /* of one loop */
struct auth_limiter *auth_limiter_new(void);    /* NULL: no memory */
void auth_limiter_free(struct auth_limiter *l); /* NULL is fine */

enum auth_rc { AUTH_OK, AUTH_WRONG, AUTH_MEMORY };

struct auth_attempt {
  struct registry *reg;
  struct auth_limiter *limiter;
  const struct auth_peer *peer;
  int64_t max_wrong; /* a minute, from one peer for one name: from there on the longest delay */
  uint64_t now_ms;
};

/* `AUTH text`: "queue:password" or "queue/topic:password". Names and passwords may both have
 * colons in them: each place is tried where the left side is a name. With AUTH_WRONG the answer is
 * to wait for *ret_delay_ms. */
enum auth_rc auth_one(struct auth *a, const struct auth_attempt *t, const char *text, size_t len,
                      uint64_t *ret_delay_ms);
/* `AUTH user password`: user is a queue, a topic, or "default" with the form above after it. */
enum auth_rc auth_two(struct auth *a, const struct auth_attempt *t, const char *user,
                      size_t user_len, const char *password, size_t password_len,
                      uint64_t *ret_delay_ms);

#endif
