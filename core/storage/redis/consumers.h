/* Consumers of a stream that should go if they have nothing; sent by the hundred. */
#ifndef PB_CORE_STORAGE_REDIS_CONSUMERS_H
#define PB_CORE_STORAGE_REDIS_CONSUMERS_H

#include <stddef.h>

struct store;

struct consumers {
  struct store *store;
  const char *stream;
  size_t n;
  const char *group[100], *consumer[100];
};
void consumers_add(struct consumers *c, const char *group, const char *consumer);
void consumers_send(struct consumers *c);

#endif
