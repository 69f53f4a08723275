/* A host for one transport plugin, without the broker: loads a descriptor, fills its options
 * as the core would, gives it descriptors, timers and batches, and checks what it owes:
 * each ticket completed exactly once, no descriptor or timer left over, no batch touched after
 * its completion (its memory is freed at the end of that turn, for the address sanitizer).
 *
 * The clock is either the real one or stands still until harness_skip() moves it; real
 * descriptors work with both. A test reports through tap.h; pepperbus-plugin-check (check/), which
 * is built with this same host, hears of everything through struct harness_watch.
 */
#ifndef PB_TESTS_HARNESS_H
#define PB_TESTS_HARNESS_H

#include <pepperbus/transport.h>
#include <stdbool.h>

#define HARNESS_METRICS 32

enum harness_clock { HARNESS_REAL, HARNESS_VIRTUAL };

struct harness;
struct harness_pool;
struct harness_inst;

/* What became of a ticket. Valid until harness_free(). */
struct harness_ticket {
  pb_ticket id;
  struct harness_inst *inst;
  unsigned completions; /* exactly 1 in the end */
  uint32_t outcome;
  int32_t code;
  char *error_code, *topics, *body, *detail; /* never NULL once completed */
  size_t body_len;
  uint64_t retry_after_ms;
  bool was_ping;
  struct pb_batch *batch;      /* NULL once it is over */
  struct harness_ticket *next; /* the harness's */
};

struct harness_stats {
  unsigned io_sets, timers, completions, stale; /* calls; timers alive; bad tickets */
  unsigned faults;                              /* breaches of the contract, those included */
  unsigned warnings;                            /* log lines of warning and above */
  double metrics[HARNESS_METRICS];              /* by their index, over all owners */
  struct pb_pool_load load;                     /* the last one told */
  unsigned loads;
};

/* Who wants to hear of it; each may be NULL. */
struct harness_watch {
  void (*fault)(void *arg, const char *sentence); /* "completes a request twice" */
  void (*enter)(void *arg, const char *what);     /* the plugin is called: "submit()" */
  void (*leave)(void *arg, const char *what);
  void (*log)(void *arg, const char *owner, enum pb_log_level level, const char *text);
  void *arg;
};

struct harness *harness_new(const struct pb_transport *t, enum harness_clock clock);
/* With faults told to `w`, and none by TAP. NULL: load() failed, `err` says why. */
struct harness *harness_new_watched(const struct pb_transport *t, enum harness_clock clock,
                                    const struct harness_watch *w, struct pb_err *err);
/* Destroys what is left, then checks (as one test each, named `what`) that nothing leaked. */
void harness_free(struct harness *h, const char *what);
const struct harness_stats *harness_stats(const struct harness *h);
const char *harness_last_log(const struct harness *h);
void harness_sign(struct harness *h, bool yes);      /* topics have a signing key */
void harness_workers(struct harness *h, unsigned n); /* of topics made from now on; 8 by default */
/* The jobs of batches made from now on; the text stays the caller's. */
void harness_json(struct harness *h, const char *json);
void harness_forget_results(struct harness *h, bool yes); /* keep no tickets: for long runs */

/* Keys as "name=value", then NULL. NULL when the plugin refused; `err` says why. */
struct harness_pool *harness_pool(struct harness *h, struct pb_err *err, ...);
struct harness_inst *harness_topic(struct harness_pool *p, const char *queue, const char *topic,
                                   struct pb_err *err, ...);
/* What check() says of these keys, for the pool or the topic. 0 or -errno. */
int harness_check(struct harness *h, bool pool, struct pb_err *err, ...);
/* The same with configurations of the caller's, valid until the pool is closed, the topic
 * destroyed. `chunk`: the topic's. */
struct harness_pool *harness_pool_with(struct harness *h, const void *conf, struct pb_err *err);
struct harness_inst *harness_topic_with(struct harness_pool *p, const char *queue,
                                        const char *topic, unsigned chunk, const void *conf,
                                        struct pb_err *err);
void *harness_plugin_pool(const struct harness_pool *p);  /* what pool_open() made */
void *harness_plugin_inst(const struct harness_inst *in); /* what create() made */
void harness_pool_close(struct harness_pool *p);          /* its instances are destroyed already */

void harness_timeout(struct harness_inst *in, uint64_t ms); /* of batches made from now on */
/* A data batch with this form (copied), or a ping when `form` is NULL. NULL: submit refused. */
struct harness_ticket *harness_submit(struct harness_inst *in, const char *form, size_t len);
/* `n` jobs with this content (printable, without '"' and '\\'). */
struct harness_ticket *harness_submit_jobs(struct harness_inst *in, size_t n, const char *content,
                                           size_t len);
int harness_submit_error(const struct harness *h);       /* of the last refusal: -errno */
const char *harness_submit_why(const struct harness *h); /* ... and its text */
unsigned harness_ready(const struct harness_inst *in);   /* calls of ready() so far */
void harness_cancel(struct harness_ticket *t);
void harness_cancel_id(struct harness_inst *in, pb_ticket id); /* also one that never was */
void harness_drain(struct harness_inst *in);
bool harness_drained(const struct harness_inst *in);
unsigned harness_open(const struct harness_inst *in); /* requests that run */
void harness_destroy(struct harness_inst *in);

uint64_t harness_now_ms(const struct harness *h);
void harness_skip(struct harness *h, uint64_t ms); /* moves the clock on; timers run next turn */
/* In how many ms the next timer is due. False: none runs. */
bool harness_next_timer(const struct harness *h, uint64_t *ret_ms);
/* One turn of the loop. Returns how many of the plugin's callbacks it ran. */
unsigned harness_turn(struct harness *h, int max_wait_ms);
/* Turns until it is so. False after `ms` of real time. */
bool harness_wait(struct harness *h, const struct harness_ticket *t, int ms);
bool harness_until(struct harness *h, bool (*cond)(void *arg), void *arg, int ms);
/* Called at the end of the turn for each completion, like the core does it. */
void harness_on_complete(struct harness *h, void (*fn)(struct harness_ticket *t, void *arg),
                         void *arg);
const char *harness_outcome(uint32_t outcome); /* "ANSWERED" */

#endif
