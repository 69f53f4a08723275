/* Owns the tables of names: queues, topics, topics that drain. */
#include "base/hash.h"
#include "base/out_of_memory.h"
#include "registry/private.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *name, size_t len) {
  return hash_bytes(HASH_BEGIN, name, len);
}

/* The slot of `object`. `object` NULL: of any object whose name is `key`. */
static size_t table_place(const struct name_table *ix, const char *key, const void *object,
                          const char *(*name)(const void *)) {
  size_t at = hash(key, strlen(key)) & ix->mask;
  while (ix->slot[at] && (object ? ix->slot[at] != object : strcmp(name(ix->slot[at]), key) != 0))
    at = (at + 1) & ix->mask;
  return at;
}

static void table_put(struct name_table *ix, void *object, const char *(*name)(const void *)) {
  const char *key = name(object);
  size_t at = hash(key, strlen(key)) & ix->mask;
  while (ix->slot[at]) at = (at + 1) & ix->mask;
  ix->slot[at] = object;
}

static void table_add(struct name_table *ix, void *object, const char *(*name)(const void *)) {
  if (!ix->slot || (ix->n + 1) * 2 > ix->mask + 1) {
    struct name_table old = *ix;
    size_t cap = ix->slot ? (ix->mask + 1) * 2 : 16;
    ix->slot = calloc(cap, sizeof *ix->slot);
    if (!ix->slot) out_of_memory();
    ix->mask = cap - 1;
    for (size_t i = 0; old.slot && i <= old.mask; i++)
      if (old.slot[i]) table_put(ix, old.slot[i], name);
    free(old.slot);
  }
  table_put(ix, object, name);
  ix->n++;
}

/* Those behind it that stand further back than they would have to move up. */
static void table_remove(struct name_table *ix, const void *object,
                         const char *(*name)(const void *)) {
  if (!ix->slot) return;
  size_t hole = table_place(ix, name(object), object, name);
  if (!ix->slot[hole]) return;
  ix->n--;
  for (size_t at = (hole + 1) & ix->mask; ix->slot[at]; at = (at + 1) & ix->mask) {
    const char *key = name(ix->slot[at]);
    size_t home = hash(key, strlen(key)) & ix->mask;
    if (((at - home) & ix->mask) < ((at - hole) & ix->mask)) continue;
    ix->slot[hole] = ix->slot[at];
    hole = at;
  }
  ix->slot[hole] = NULL;
}

static void *table_find(const struct name_table *ix, const char *key, size_t len,
                        const char *(*name)(const void *)) {
  if (!ix->slot) return NULL;
  for (size_t at = hash(key, len) & ix->mask; ix->slot[at]; at = (at + 1) & ix->mask) {
    const char *other = name(ix->slot[at]);
    if (!strncmp(other, key, len) && !other[len]) return ix->slot[at];
  }
  return NULL;
}

static const char *queue_name(const void *q) {
  return ((const struct queue *)q)->name;
}
static const char *topic_path(const void *t) {
  return ((const struct topic *)t)->set->path;
}

struct queue *registry_queue(struct registry *reg, const char *name, size_t len) {
  return table_find(&reg->by_queue, name, len, queue_name);
}
struct topic *registry_topic(struct registry *reg, const char *path, size_t len) {
  return table_find(&reg->by_topic, path, len, topic_path);
}
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_queues;
  return reg->queues;
}
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_topics;
  return reg->topics;
}
struct store *const *registry_stores(struct registry *reg, size_t *ret_n) {
  *ret_n = reg->n_stores;
  return reg->stores;
}
const struct settings *registry_settings(const struct registry *reg) {
  return reg->settings;
}
uint64_t registry_generation(const struct registry *reg) {
  return reg->generation;
}
unsigned registry_shard(const struct registry *reg) {
  return reg->shard;
}

void lookup_add_queue(struct registry *reg, struct queue *q) {
  table_add(&reg->by_queue, q, queue_name);
  reg->generation++;
}
void lookup_remove_queue(struct registry *reg, struct queue *q) {
  table_remove(&reg->by_queue, q, queue_name);
  reg->generation++;
}
void lookup_add_topic(struct registry *reg, struct topic *t) {
  table_add(&reg->by_topic, t, topic_path);
  reg->generation++;
}
void lookup_leave(struct registry *reg, struct topic *t) {
  table_remove(&reg->by_topic, t, topic_path);
  table_add(&reg->by_leaver, t, topic_path);
  reg->generation++;
}
void lookup_gone(struct registry *reg, struct topic *t) {
  table_remove(&reg->by_leaver, t, topic_path);
}
struct topic *lookup_leaver(const struct registry *reg, const char *path) {
  return table_find(&reg->by_leaver, path, strlen(path), topic_path);
}

void lookup_free(struct registry *reg) {
  free(reg->by_queue.slot);
  free(reg->by_topic.slot);
  free(reg->by_leaver.slot);
}

/* Room for one more: the array grows by halves. */
void *array_grown(void *array, size_t n, size_t size) {
  if (n && (n & (n - 1))) return array; /* it has room up to the next power of two */
  void *p = realloc(array, (n ? n * 2 : 1) * size);
  if (!p) out_of_memory();
  return p;
}
