/* Acts on many jobs. */
#ifndef PB_CORE_STORAGE_REDIS_ACTS_H
#define PB_CORE_STORAGE_REDIS_ACTS_H

#include <stddef.h>

#define STORE_KEY_ACTS_OPEN  "pb:{@}:acts:open"
#define STORE_KEY_ACTS_BEGUN "pb:{@}:acts:begun"

struct redis_reply;
struct store;

struct store_acts {
  void (*found)(void *arg, struct store *s, const char *id);
  void *found_arg;
  char *owner; /* "node instance" */
};

int acts_init(struct store *s);
void acts_done(struct store *s);
void acts_find_open(struct store *s); /* on READY; also sets the clock */
/* Ids of acts without an owner. */
void acts_told(struct store *s, struct redis_reply *const *id, size_t n);

#endif
