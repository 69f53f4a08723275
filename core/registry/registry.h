/* The running queues and topics. A process has one registry. registry_apply() brings it from one
 * settings snapshot to the next. Parts that are equal in both are not touched.
 */
#ifndef PB_CORE_REGISTRY_H
#define PB_CORE_REGISTRY_H

#include "config/settings.h"
#include "dispatch/queue.h"
#include "dispatch/topic.h"
#include "job/id.h"
#include "storage/shared.h"
#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct loop;
struct registry;

/* Starts empty; registry_apply() brings the first snapshot in. */
struct registry *registry_new(struct loop *loop, struct dispatcher *d);
/* The node's identity in the storages, before the first apply. `shard_taken` is called when a
 * storage's registry gives this node's shard to another: a free one must be chosen. */
struct registry_events {
  void (*name_taken)(void *arg, const char *why);
  void (*ready)(void *arg);                                /* a storage became ready */
  void (*act)(void *arg, struct store *s, const char *id); /* it has no owner */
  /* Something that the nodes of a storage share; may be NULL. */
  void (*shared)(void *arg, struct store *s, enum store_shared_event event, const char *id);
  uint64_t (*last_id)(void *arg); /* given to a job by this node; 0: none yet */
  /* The topic has drained and ends after this call; not at registry_free(). May be NULL. */
  void (*gone)(void *arg, struct topic *t);
  void *arg;
};
void registry_start(struct registry *reg, const char *node_instance, unsigned shard,
                    struct gateway g, const struct registry_events *ev);
unsigned registry_shard(const struct registry *reg);
/* Brings everything from the snapshot that runs to `s` (a reference is taken). */
void registry_apply(struct registry *reg, struct settings *s);
/* The same, a few ms of it in each turn. Calls done(arg) at the end. Parts that still wait run as
 * before. Not while registry_applies(). */
void registry_apply_slowly(struct registry *reg, struct settings *s, void (*done)(void *arg),
                           void *arg);
bool registry_applies(const struct registry *reg);
void registry_halt(struct registry *reg); /* a stop: changes not applied yet never are */
/* Frees queues and topics (the dispatcher is drained), then the storages. */
void registry_free(struct registry *reg);

/* By name; NULL when there is none. Valid until the next registry_apply(). */
struct queue *registry_queue(struct registry *reg, const char *name, size_t len);
struct topic *registry_topic(struct registry *reg, const char *path, size_t len);
/* Walk all; the arrays are valid until the next registry_apply(). */
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n);
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n);
struct store *const *registry_stores(struct registry *reg, size_t *ret_n);
/* Does a topic of that path still drain here, with its jobs in that storage? */
bool registry_leaves(const struct registry *reg, const char *path, const struct store *store);
/* The snapshot that runs. */
const struct settings *registry_settings(const struct registry *reg);
/* Rises whenever queues or topics come or go. Then an object found by name, or by its place in an
 * array, must be looked up again. */
uint64_t registry_generation(const struct registry *reg);

#endif
