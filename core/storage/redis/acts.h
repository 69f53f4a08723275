/* Acts on many jobs. */
#ifndef PB_CORE_STORAGE_REDIS_ACTS_H
#define PB_CORE_STORAGE_REDIS_ACTS_H

struct store;

struct store_acts {
  void (*found)(void *arg, struct store *s, const char *id);
  void *found_arg;
  char *owner; /* "node instance" */
};

int acts_init(struct store *s);
void acts_done(struct store *s);
void acts_find_open(struct store *s); /* on READY and at some sweeps; also sets the clock */

#endif
