/* A host for one transport plugin, without the broker. It takes a descriptor, fills its options as
 * the core does, and gives it descriptors, timers and batches. It checks the plugin's duties: each
 * ticket is completed exactly once, no descriptor or timer is left over, no batch is touched after
 * its completion.
 *
 * The clock is the real one, or it stands still until host_skip() moves it. Real descriptors work
 * with both. The caller gets all reports through struct host_watch: drive.c prints them as
 * sentences, tests/plugin/tap_host.h as lines of TAP.
 */
#ifndef PB_CHECK_HOST_H
#define PB_CHECK_HOST_H

#include <pepperbus/transport.h>
#include <stdbool.h>

#define HOST_METRICS 32

enum host_clock { HOST_REAL, HOST_VIRTUAL };

struct host;
struct host_pool;
struct host_inst;

/* What became of a ticket. Valid until host_free(). */
struct host_ticket {
  pb_ticket id;
  struct host_inst *inst;
  unsigned completions; /* exactly 1 in the end */
  uint32_t outcome;
  int32_t code;
  char *error_code, *topics, *body, *detail; /* never NULL once completed */
  size_t body_len;
  uint64_t retry_after_ms;
  bool was_ping;
  struct pb_batch *batch;   /* NULL once it is over */
  struct host_ticket *next; /* the host's */
};

struct host_stats {
  unsigned io_sets, timers, completions, stale; /* calls; timers alive; bad tickets */
  unsigned faults;                              /* breaches of the contract, bad tickets included */
  unsigned warnings;                            /* log lines of warning and above */
  double metrics[HOST_METRICS];                 /* by their index, over all owners */
  struct pb_pool_load load;                     /* the last one told */
  unsigned loads;
};

/* Who wants to hear of it; each may be NULL. */
struct host_watch {
  void (*fault)(void *arg, const char *sentence); /* "completes a request twice" */
  void (*enter)(void *arg, const char *what);     /* the plugin is called: "submit()" */
  void (*leave)(void *arg, const char *what);
  void (*log)(void *arg, const char *owner, enum pb_log_level level, const char *text);
  /* The result of host_free(), in one verdict. With a verdict, the memory of a batch is freed with
   * its ticket's completion, for the address sanitizer. Without one, a late question is a fault. */
  void (*verdict)(void *arg, const char *what, bool good, const char *figures);
  void *arg;
};

/* NULL: load() failed, `err` says why. */
struct host *host_new(const struct pb_transport *t, enum host_clock clock,
                      const struct host_watch *w, struct pb_err *err);
/* Destroys the remaining objects, then checks for leaks. */
void host_free(struct host *h, const char *what);
const struct host_stats *host_stats(const struct host *h);
const char *host_last_log(const struct host *h);
void host_sign(struct host *h, bool yes);      /* topics have a signing key */
void host_workers(struct host *h, unsigned n); /* of topics made from now on; 8 by default */
/* The jobs of batches made from now on; the text stays the caller's. */
void host_json(struct host *h, const char *json);
void host_forget_results(struct host *h, bool yes); /* keep no tickets: for long runs */

/* Keys as "name=value", then NULL. NULL when the plugin refused; `err` says why. */
struct host_pool *host_pool(struct host *h, struct pb_err *err, ...);
struct host_inst *host_topic(struct host_pool *p, const char *queue, const char *topic,
                             struct pb_err *err, ...);
/* What check() says of these keys, for the pool or the topic. 0 or -errno. */
int host_check(struct host *h, bool pool, struct pb_err *err, ...);
/* The same with configurations of the caller's, valid until the pool is closed, the topic
 * destroyed. `chunk`: the topic's. */
struct host_pool *host_pool_with(struct host *h, const void *conf, struct pb_err *err);
struct host_inst *host_topic_with(struct host_pool *p, const char *queue, const char *topic,
                                  unsigned chunk, const void *conf, struct pb_err *err);
void *host_plugin_pool(const struct host_pool *p);  /* what pool_open() made */
void *host_plugin_inst(const struct host_inst *in); /* what create() made */
void host_pool_close(struct host_pool *p);          /* its instances are destroyed already */

void host_timeout(struct host_inst *in, uint64_t ms); /* of batches made from now on */
/* A data batch with this form (copied), or a ping when `form` is NULL. NULL: submit refused. */
struct host_ticket *host_submit(struct host_inst *in, const char *form, size_t len);
/* `n` jobs with this content (printable, without '"' and '\\'). */
struct host_ticket *host_submit_jobs(struct host_inst *in, size_t n, const char *content,
                                     size_t len);
int host_submit_error(const struct host *h);       /* of the last refusal: -errno */
const char *host_submit_why(const struct host *h); /* ... and its text */
unsigned host_ready(const struct host_inst *in);   /* calls of ready() so far */
void host_cancel(struct host_ticket *t);
void host_cancel_id(struct host_inst *in, pb_ticket id); /* also for an id that never existed */
void host_drain(struct host_inst *in);
bool host_drained(const struct host_inst *in);
unsigned host_open(const struct host_inst *in); /* requests that run */
void host_destroy(struct host_inst *in);

uint64_t host_now_ms(const struct host *h);
void host_skip(struct host *h, uint64_t ms); /* moves the clock on; timers run next turn */
/* In how many ms the next timer is due. False: none runs. */
bool host_next_timer(const struct host *h, uint64_t *ret_ms);
/* One turn of the loop. Returns how many of the plugin's callbacks it ran. */
unsigned host_turn(struct host *h, int max_wait_ms);
/* Turns until it is so. False after `ms` of real time. */
bool host_wait(struct host *h, const struct host_ticket *t, int ms);
bool host_until(struct host *h, bool (*cond)(void *arg), void *arg, int ms);
/* Called at the end of the turn for each completion, like the core does it. */
void host_on_complete(struct host *h, void (*fn)(struct host_ticket *t, void *arg), void *arg);
const char *host_outcome(uint32_t outcome); /* "ANSWERED" */

#endif
