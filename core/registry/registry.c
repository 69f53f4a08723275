/* Owns the running queues, topics and storages as a whole. */
#include "registry/private.h"

#include <stdio.h>
#include <stdlib.h>

struct registry *registry_new(struct loop *loop, struct dispatcher *d) {
  struct registry *reg = calloc(1, sizeof *reg);
  if (!reg) return NULL;
  reg->loop = loop;
  reg->dispatcher = d;
  apply_init(reg);
  return reg;
}

void registry_start(struct registry *reg, const char *node_instance, unsigned shard,
                    struct gateway g, const struct registry_events *ev) {
  snprintf(reg->node_instance, sizeof reg->node_instance, "%s", node_instance);
  reg->shard = shard % ID_SHARDS;
  reg->gateway = g;
  reg->ev = *ev;
}

void registry_free(struct registry *reg) {
  if (!reg) return;
  apply_done(reg);
  for (size_t i = 0; i < reg->n_queues; i++) {
    reg->queues[i]->leaving = true;
    reg->queues[i]->n_topics = 0;
  }
  topics_free(reg);
  while (reg->n_queues) queue_unref(reg->queues[--reg->n_queues]);
  storages_free(reg);
  settings_unref(reg->settings);
  free(reg->queues);
  lookup_free(reg);
  free(reg);
}
