/* Acts: what operators do to many jobs (replay, purge, move), run in slices by the node that was
 * asked, and by another one when that dies. The record is the storage's (store.h); this is who
 * works it off.
 */
#ifndef PB_CORE_ACTS_ACT_H
#define PB_CORE_ACTS_ACT_H

#include "storage/store.h"

struct acts;
struct loop;
struct registry;

/* Until `registry` has its stores, nothing is asked. NULL: no memory. */
struct acts *acts_new(struct loop *loop, struct registry *registry);
/* Takes no further step, gives up its leases: other nodes go on, or the next start does. */
void acts_stop(struct acts *acts);
/* After the stores are freed: nothing of an act is on the way any more. */
void acts_free(struct acts *acts);

/* Called once: when the act has ended, when `patience_ms` are over (then it goes on; not before the
 * storage has its record), or with `rc` when it did not begin. `a` is NULL in the last case. */
typedef void (*act_fn)(void *arg, enum store_rc rc, const struct store_act *a, const char *why);
/* `storage` keeps the record: that of the jobs, or where they are moved to. */
void acts_start(struct acts *acts, struct store *storage, const struct store_act *a,
                uint64_t patience_ms, act_fn fn, void *arg);
/* An act of this storage has no owner. */
void acts_found(struct acts *acts, struct store *storage, const char *id);
/* Somebody cancelled it by way of this node: if it runs here it ends at its next step. */
void acts_cancelled(struct acts *acts, const char *id, const char *by);
/* Those that this node works on. */
typedef void (*acts_each_fn)(void *arg, const struct store_act *a);
void acts_each(const struct acts *acts, acts_each_fn fn, void *arg);

#endif
