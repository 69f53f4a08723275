/* Transport instances: the core's side of the plugin ABI. Builds the host table, gives out tickets
 * and turns a plugin's completions into calls at the end of the loop turn.
 */
#ifndef PB_CORE_TRANSPORT_H
#define PB_CORE_TRANSPORT_H

#include "settings.h"

#include <pepperbus/transport.h>

struct instance; /* one topic's */
struct loop;
struct transports;

struct transports *transports_new(struct loop *loop);
void transports_free(struct transports *tr); /* every instance is closed; unloads the plugins */

/* Opens (loads the plugin, opens the pool where nobody has) an instance for a topic. `snapshot` is
 * what `t` lives in; the instance keeps a reference. NULL with `err`. */
struct instance *instance_open(struct transports *tr, struct settings *snapshot,
                               const struct topic_settings *t, void (*ready)(void *arg), void *arg,
                               struct pb_err *err);
/* Lets running requests finish, at most until `patience_ms` from now, then destroys it. Their
 * completions still come. The caller must not submit any more. */
void instance_close(struct instance *in, uint64_t patience_ms);

/* The result and what it points to are valid during the call. Called exactly once for each batch
 * that was taken, at the end of a turn, never from within instance_submit(). */
typedef void (*instance_done_fn)(void *arg, const struct pb_result *r);
/* 0 taken; -EAGAIN full (`ready` will be called); other -errno: `err` says why. */
int instance_submit(struct instance *in, const struct pb_batch *b, instance_done_fn fn, void *arg,
                    pb_ticket *ret, struct pb_err *err);
/* The result is not waited for any more; the completion still comes (see transport.h, public). */
void instance_cancel(struct instance *in, pb_ticket t);

struct transport_counters {
  uint64_t stale_completions, slow_calls;
};
struct transport_counters transports_counters(const struct transports *tr);

#endif
