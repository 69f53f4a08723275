/* Who a connection is: the queues and topics it has shown the password of, and how often an
 * address may get one wrong.
 */
#ifndef PB_CORE_AUTH_H
#define PB_CORE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct registry;

/* --- what was granted --- */

struct grant;

/* Embedded in a connection; zeroed: nobody. */
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
void auth_drop(struct auth *a); /* nobody again */

/* --- passwords --- */

/* The address of a peer as far as it counts here: IPv4, an IPv6 network of 64 bits, or the user
 * behind a unix socket. */
struct auth_peer {
  unsigned char bytes[16];
};

struct auth_limiter; /* of one loop */
struct auth_limiter *auth_limiter_new(void);
void auth_limiter_free(struct auth_limiter *l); /* NULL is fine */

enum auth_rc { AUTH_OK, AUTH_WRONG, AUTH_RATE, AUTH_MEMORY };

struct auth_attempt {
  struct registry *reg;
  struct auth_limiter *limiter;
  const struct auth_peer *peer;
  int64_t max_wrong; /* a minute, from one peer for one name */
  uint64_t now_ms;
};

/* `AUTH text`: "queue:password" or "queue/topic:password". Names and passwords may both have
 * colons in them: each place is tried where the left side is a name. */
enum auth_rc auth_one(struct auth *a, const struct auth_attempt *t, const char *text, size_t len);
/* `AUTH user password`: user is a queue, a topic, or "default" with the form above after it. */
enum auth_rc auth_two(struct auth *a, const struct auth_attempt *t, const char *user,
                      size_t user_len, const char *password, size_t password_len);

#endif
