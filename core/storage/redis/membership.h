/* This node among the others of a storage: its lease, its shard, the registry. */
#ifndef PB_CORE_STORAGE_REDIS_MEMBERSHIP_H
#define PB_CORE_STORAGE_REDIS_MEMBERSHIP_H

#include "event/loop.h"
#include "storage/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_NODES "pb:{@}:nodes"
#define STORE_KEY_BEATS "pb:{@}:beats"

struct redis_reply;
struct store;

struct membership_events {
  void (*ready)(struct store *s); /* the lease is this node's */
  /* It is not; to be asked again after so long. */
  void (*not_joined)(struct store *s, enum store_state state, uint64_t again_ms, const char *why);
  void (*data_lost)(struct store *s); /* or exchanged, since READY */
  /* The node registry has dead nodes. */
  void (*dead)(struct store *s);
};

struct store_member {
  const struct membership_events *events;
  unsigned shard;
  char *lease_key;
  bool joining, joined; /* asked for the lease; holds it, as far as known */
  uint64_t renewed_ms;  /* monotonic: the last renewal that was answered was sent then */
  bool doubted;         /* jobs wait for the next one */
  bool left;            /* gave it up */
  uint64_t id_mark;
  uint64_t mark_ms;        /* the mark that was sent last; 0: there may be none */
  char self[400];          /* the end of its registry entry: instance, identity, host */
  uint64_t beats_since_ms; /* the storage's clock of leases: when it began */
  char rival[128];         /* another instance that holds our name */
  int64_t rival_ms;        /* rest of its lease at the last look */
  struct timer timer;
  void (*died)(void *arg, struct store *s, const char *node);
  void *died_arg;
  bool full;       /* the server takes no jobs, by the last renewal */
  unsigned deaths; /* how often the others declared this node dead */
};

int membership_init(struct store *s, unsigned shard, const struct membership_events *ev);
void membership_join(struct store *s);  /* an event follows */
void membership_start(struct store *s); /* on READY */
void membership_stop(struct store *s);
void membership_lost(struct store *s); /* the connection */
/* Now; in the same question `swept`: what nodes told each other, `acts`: those without an owner,
 * `full`: the whole registry. */
void membership_renew(struct store *s, bool swept, bool acts, bool full);
void membership_done(struct store *s);
/* Puts the question for the node registry into s->out; a dead node named `remove` is taken out of
 * it. `told`: at the end of the answer is what nodes told each other. */
void membership_put_nodes(struct store *s, const char *remove, bool told);
/* Tells of the dead ones in the node registry's answer: name, entry and state of each. True: there
 * are some. */
bool membership_nodes_seen(struct store *s, struct redis_reply *const *element, size_t n);

#endif
