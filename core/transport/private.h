/* The parts that the files of transport/ share. Other folders must not include this.
 *
 * Calls go down: transport.c, host.c, instance.c, ticket.c, owner.c.
 */
#ifndef PB_CORE_TRANSPORT_PRIVATE_H
#define PB_CORE_TRANSPORT_PRIVATE_H

#include "base/buf.h"
#include "event/loop.h"
#include "transport/transport.h"

#define SLOW_CALL_MS 50

struct watch; /* host.c */

/* Whom a plugin's call into the core is for: the plugin, a pool of it or an instance. */
struct pb_owner {
  struct transports *tr;
  struct instance *inst; /* NULL: a plugin's or a pool's */
  struct pool_run *pool; /* NULL: a plugin's or an instance's */
  const struct pb_transport *desc;
  double *figures; /* one for each of desc->metrics; NULL: it has none */
  char label[320];
};

struct ticket {
  uint32_t index, generation; /* generation is odd while it is in use */
  struct instance *inst;
  const struct pb_batch *batch;
  instance_done_fn fn;
  void *arg;
  bool completed; /* its result waits for the end of the turn */
  struct ticket *next_done, *next_free;
  struct pb_result result;
  struct buf text;                                     /* memory of the texts of the result */
  size_t error_code_at, topics_at, body_at, detail_at; /* offsets in text */
};

struct plugin_run { /* a plugin that is loaded */
  struct plugin_run *next;
  const struct pb_transport *desc;
  void *plugin;
  struct pb_owner owner;
};

struct pool_run { /* an open pool of a plugin */
  struct pool_run *next;
  struct plugin_run *plugin;
  const struct pool_settings *set; /* NULL: of one topic alone, with default configuration */
  const char *name;                /* in the snapshot: the name of the section, or of that topic */
  struct settings *snapshot;
  void *pool;
  unsigned instances;
  bool replaced; /* a reload opened another pool of its name; its last requests end here */
  struct pb_owner owner;
};

struct instance {
  struct transports *tr;
  struct pool_run *pool;
  struct settings *snapshot;
  const struct topic_settings *set;
  struct pb_topic_info info;
  void *inst;
  struct pb_owner owner;
  void (*ready)(void *arg);
  void *arg;
  const struct pb_batch *submitting; /* during submit(), else NULL */
  unsigned tickets;                  /* taken and not completed yet */
  bool closing, drained;
  struct timer patience;
  struct deferred destroy, tell_ready;
  void (*gone)(void *arg); /* what `destroy` calls: instance_destroy() */
  struct instance *next_closing, **prev_closing;
};

struct transports {
  struct loop *loop;
  struct pb_host host;
  struct plugin_run *plugins;
  struct pool_run *pools;
  struct instance *closing;
  struct watch **watches; /* by descriptor */
  size_t watch_cap;
  struct ticket **tickets;
  size_t ticket_n, ticket_cap;
  struct ticket *free_tickets;
  struct ticket *done, **done_end;
  struct deferred deliver;
  transports_load_fn on_load;
  void *on_load_arg;
  void (*on_ended)(void *arg);
  void *on_ended_arg;
};

/* --- owner.c --- */

/* False: no memory. */
bool owner_init(struct pb_owner *o, struct transports *tr, const struct pb_transport *d);
/* Counts and logs a call into the plugin that took too long. */
void owner_slow_call(struct pb_owner *o, uint64_t took_ms, const char *what);

static inline uint64_t call_begin(void) {
  return loop_clock_ms();
}

static inline void call_end(struct pb_owner *o, uint64_t begin, const char *what) {
  uint64_t now = loop_clock_ms(), took = now > begin ? now - begin : 0;
  if (took >= SLOW_CALL_MS) owner_slow_call(o, took, what);
}

/* --- ticket.c --- */

/* NULL: no request that runs has this ticket. */
struct ticket *ticket_find(struct transports *tr, pb_ticket id);
/* Keeps the result until the plugin's own call is over. `t` must not be completed yet. */
void ticket_complete(struct ticket *t, const struct pb_result *r);
/* Completes the requests that a plugin still owes for `in`: it is not known whether their jobs ran.
 */
void tickets_lose(struct transports *tr, struct instance *in);
/* Acts on the completions that wait. `arg`: the transports. */
void tickets_deliver(void *arg);
void tickets_free(struct transports *tr);

/* --- instance.c --- */

/* `arg`: an instance. Tells its dispatcher that there is room again. */
void instance_tell_ready(void *arg);
void instance_destroy(void *arg);
void plugins_unload(struct transports *tr);

/* A closing instance goes when the plugin says that it is drained, and no completion is owed. */
static inline void instance_idle(struct instance *in) {
  if (in->closing && in->drained && !in->tickets)
    loop_defer(in->tr->loop, &in->destroy, in->gone, in);
}

/* --- host.c --- */

/* Fills the table of functions that plugins call. */
void host_init(struct pb_host *host);
void host_done(struct transports *tr);

#endif
