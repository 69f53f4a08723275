/* Transport instances: the core's side of the plugin ABI. Builds the host table, gives out tickets
 * and turns a plugin's completions into calls when the plugin's own call is over.
 */
#ifndef PB_CORE_TRANSPORT_H
#define PB_CORE_TRANSPORT_H

#include "config/settings.h"

#include <pepperbus/transport.h>

struct instance; /* one topic's */
struct pool_run; /* an open pool */
struct loop;
struct transports;

struct transports *transports_new(struct loop *loop);
void transports_free(struct transports *tr); /* every instance is closed; unloads the plugins */

/* Opens an instance for a topic (loads the plugin, and opens the pool if it is not open).
 * `snapshot` is the snapshot of `t`; the instance keeps a reference. NULL with `err`. */
struct instance *instance_open(struct transports *tr, struct settings *snapshot,
                               const struct topic_settings *t, void (*ready)(void *arg), void *arg,
                               struct pb_err *err);
/* Lets running requests finish, at most until `patience_ms` from now, then destroys it. Their
 * completions still come. The caller must not submit any more. */
void instance_close(struct instance *in, uint64_t patience_ms);

/* The result and its texts are valid during the call. It is called exactly once for each batch that
 * was taken, never from within instance_submit(). */
typedef void (*instance_done_fn)(void *arg, const struct pb_result *r);
/* 0 taken; -EAGAIN full (`ready` will be called); other -errno: `err` says why. */
int instance_submit(struct instance *in, const struct pb_batch *b, instance_done_fn fn, void *arg,
                    pb_ticket *ret, struct pb_err *err);
/* Is there a closed instance that owes no request and is not drained yet, because its workers are
 * just ending? `fn` is called whenever one has gone. */
bool transports_ending(const struct transports *tr);
void transports_on_ended(struct transports *tr, void (*fn)(void *arg), void *arg);
/* The result is not waited for any more; the completion still comes (see transport.h, public). */
void instance_cancel(struct instance *in, pb_ticket t);

/* --- looking, for status and metrics --- */

/* The plugin's figures of a topic: as many as transport_metrics() of its transport says; NULL if
 * there are none. Figures with the scope of a pool are 0. */
const struct pb_transport *instance_transport(const struct instance *in);
const double *instance_figures(const struct instance *in);
/* enum pb_health, with a sentence or "". */
int instance_health(struct instance *in, char *ret, size_t size);

size_t transport_metrics(const struct pb_transport *d);
const struct pb_metric *transport_metric(const struct pb_transport *d, size_t i);

/* The open pools: the one after `after` (NULL: the first), or NULL. Valid in this turn. */
struct pool_run *transports_pool(struct transports *tr, struct pool_run *after);
const char *pool_run_name(const struct pool_run *p); /* of the section, or of a topic without one */
const struct pb_transport *pool_run_transport(const struct pool_run *p);
const double *pool_run_figures(const struct pool_run *p);
int pool_run_health(struct pool_run *p, char *ret, size_t size);

/* A plugin's report about its pool's workers. `pool`: pool_run_name(). */
typedef void (*transports_load_fn)(void *arg, const char *pool, const struct pb_pool_load *load);
void transports_on_load(struct transports *tr, transports_load_fn fn, void *arg);

#endif
