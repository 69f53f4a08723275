/* A transport: carries jobs to workers. This is the page to read for who writes one; the guide
 * (doc/plugin-guide.md) walks from nothing to one that runs, doc/plugin-abi.md tells what the
 * rules mean together.
 *
 * You write    one static const struct pb_transport, the descriptor: names, tables of keys,
 *              functions. PB_TRANSPORT(NAME, descriptor) exports it from NAME.so.
 * You get      one const struct pb_host, the host table: all that you may call. load() is given
 *              it; keep the pointer. Nothing else of the broker can be reached.
 *
 * Lifetimes    load                    once, when the first topic of the run type is opened
 *                pool_open             for each [pool] that such a topic uses
 *                  create              for each topic: an instance
 *                    submit -> complete    for each request, many at a time
 *                  drain -> drained -> destroy
 *                pool_close            after the last destroy() of its instances
 *              unload
 *              A reload that changes a topic or a pool opens the new one first and drains the old
 *              one meanwhile: two of one name live side by side. Code stays mapped until the
 *              process ends.
 * Threads      Every call, either way, is made on the loop's thread. You may have threads of your
 *              own with all signals blocked; they come back by post(), the one slot they may call.
 * Blocking     No function may block: nothing else of the broker runs meanwhile. The host logs
 *              every call that takes over 50 ms.
 * State        What changes at run time hangs off the pointers that load(), pool_open() and
 *              create() return. No variable at file scope: two topics must not meet.
 * Jobs         The core owns them. submit() is given a batch and a ticket; a ticket that was taken
 *              is completed exactly once, also after cancel() and during drain(). complete() only
 *              queues: the core acts when your function has returned, or at the end of the loop's
 *              turn. So it may be called from within submit(), and no function of yours is called
 *              from within one of the host's.
 * Deadlines    The core's. At the deadline it settles the jobs as timed out and calls cancel(). The
 *              ticket lives on, and with it the slot of the pool, until you complete it: when the
 *              worker is known to be free again, or when you give up waiting for that.
 * Strings      What the host gives is host-owned, and valid as long as the object it came with.
 *              What you pass to log(), complete() and metric() is copied during the call.
 */
#ifndef PEPPERBUS_TRANSPORT_H
#define PEPPERBUS_TRANSPORT_H

#include <pepperbus/abi.h>
#include <pepperbus/job.h>
#include <pepperbus/option.h>
#include <pepperbus/outcome.h>
#include <sys/types.h>

struct pb_host;

/* The host's handle of a plugin, pool or instance: given to load(), pool_open(), create(), and
 * valid until unload(), pool_close(), destroy() of that object returns. It prefixes log lines
 * ("msg/reply", "pool local"), and says whose a timer, a completion or a figure is. */
struct pb_owner;
struct pb_timer;

/* Names one submitted batch while it runs; unique in the process. 0 is never a ticket. */
typedef uint64_t pb_ticket;

/* --- your side --- */

/* What an instance is for. The host's. */
struct pb_topic_info {
  uint32_t size;
  const char *queue, *topic;
  uint32_t workers;    /* batches at a time on this node */
  uint32_t chunk;      /* jobs in a batch at most; 1 without PB_CAP_CHUNK */
  uint64_t timeout_ms; /* of one request; the core sees to it */
  /* Since 1.1: [server] listen as it is written, where producers and pull workers connect; ends
   * with NULL. A reload that changes it opens topics with PB_CAP_PULL again, and no others. */
  const char *const *listen;
};

enum pb_transport_cap {
  PB_CAP_CHUNK = 1 << 0, /* can carry more than one job in a request */
  /* Since 1.1: its workers take their jobs themselves, by RPOP. It gets pings, which say whether
   * they are there, and never a job. */
  PB_CAP_PULL = 1 << 1
};

/* A figure of your own, in /metrics as pepperbus_<run type>_<name> and in the API. The host keeps
 * its value, from 0; see metric(). A table ends with name == NULL; all strings are static. */
enum pb_metric_type { PB_METRIC_COUNTER = 1, PB_METRIC_GAUGE = 2 };
enum pb_metric_scope { PB_SCOPE_POOL = 1, PB_SCOPE_TOPIC = 2 };
struct pb_metric {
  const char *name; /* lower case and '_', with its unit; a counter ends with _total */
  uint32_t type;    /* enum pb_metric_type */
  uint32_t scope;   /* enum pb_metric_scope: labels pool="...", or queue="...",topic="..." */
  const char *help; /* one sentence */
};

enum pb_health { PB_HEALTH_OK = 0, PB_HEALTH_DEGRADED = 1, PB_HEALTH_DOWN = 2 };

/* The descriptor: static const. Functions return 0 or -errno, and then fill `err`; members marked
 * (may be NULL) may be left out. The host copies min(size, its own) of it, and new members are only
 * ever added at the end: so a plugin that was built before runs with a later broker. */
struct pb_transport {
  uint32_t magic, size;          /* PB_MAGIC, sizeof(struct pb_transport) */
  uint16_t abi_major, abi_minor; /* PB_ABI_MAJOR; the lowest minor version you can live with */
  uint32_t option_size;          /* sizeof(struct pb_option) */
  const char *run_type;          /* its value that you serve: "cgi"; lower case, digits, '_', '-' */
  const char *name, *version, *summary; /* for `pepperbusctl plugin ls`; summary: a few words */
  uint64_t caps;                        /* enum pb_transport_cap */

  /* Keys of [pool] and [topic] sections of this run type, beside the core's own. */
  const struct pb_option *pool_options;  /* (may be NULL) */
  size_t pool_conf_size;                 /* sizeof the struct that the host allocates and fills */
  const struct pb_option *topic_options; /* (may be NULL) */
  size_t topic_conf_size;

  /* Once in the process, where a topic of this run type is opened. `h` and `o` stay valid until
   * unload(). Both (may be NULL). */
  int (*load)(const struct pb_host *h, struct pb_owner *o, void **ret_plugin, struct pb_err *err);
  void (*unload)(void *plugin);
  /* Is this configuration sound? One of the two is given, the other is NULL. No I/O: it may be
   * `pepperbusd -t` that asks, before load(). Set err->option to the key at fault, and the host
   * names file and line. (may be NULL) */
  int (*check)(const void *pool_conf, const void *topic_conf, struct pb_err *err);

  /* A [pool] section: what its topics share, connections for example. `conf` is the host's, of
   * pool_conf_size, and valid until pool_close() returns. A topic that names no pool gets one of
   * its own, with the keys at their defaults. Both (may be NULL): then create() is given what
   * load() returned (since 1.1; before, NULL). */
  int (*pool_open)(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                   struct pb_err *err);
  void (*pool_close)(void *pool); /* after the last destroy() of its instances */

  /* A topic: an instance. `conf` is the host's, of topic_conf_size; it and `topic` are valid until
   * destroy() returns. */
  int (*create)(void *pool, struct pb_owner *o, const struct pb_topic_info *topic, const void *conf,
                void **ret_inst, struct pb_err *err);
  /* Carries `b` to a worker, or begins to.
   *   0              taken: complete(t) will come, once
   *   -EAGAIN        no room just now: ready() will come; err is not looked at
   *   other -errno   this batch cannot be carried, err->text says why: a failed attempt
   * complete(t) is only for what was taken. A worker that is away or full is no error here but an
   * outcome: take the batch and complete it as PB_UNREACHABLE or PB_BUSY. */
  int (*submit)(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err);
  /* The deadline of `t` has passed, or nobody wants its result any more. It is still owed a
   * complete(), now or later: see Deadlines above. A ticket that is over: do nothing. */
  void (*cancel)(void *inst, pb_ticket t);
  /* No submit() follows. Call drained() once every ticket is completed, perhaps at once. */
  void (*drain)(void *inst);
  /* After drained(), in a later turn; or by force, with requests running, when the host has lost
   * patience. Free it all; stop its timers, descriptors and children; complete nothing more:
   * nothing of the instance may call the host afterwards. */
  void (*destroy)(void *inst);

  /* --- since 1.1; all (may be NULL) --- */

  /* One more run type of this plugin, with a descriptor and a load() of its own. The exported one
   * is the first; the last one's is NULL. */
  const struct pb_transport *next;
  const struct pb_metric *metrics; /* metric() counts them from 0 */
  uint32_t metric_size;            /* sizeof(struct pb_metric) */
  /* Does this topic fit together: its keys, its pool's (NULL: it names none) and the core's own?
   * Asked after each part has passed check(). It may look whether files and users that the keys
   * name are there, and nothing slower. Where one is not, -ENOENT: `pepperbusd -t` and a reload
   * refuse that as any fault, but for topics that this node does not run; a broker that starts
   * warns and goes on, and create() fails. What cannot be looked at for want of rights is no fault
   * here: `pepperbusd -t` may run as another user. */
  int (*check_topic)(const struct pb_topic_info *topic, const void *pool_conf,
                     const void *topic_conf, struct pb_err *err);
  /* How it stands, for people: writes one sentence of at most `size` bytes with its NUL, without a
   * secret, and returns enum pb_health. Called when somebody looks. snprintf() does it. */
  int (*health)(void *inst, char *ret, size_t size);
  int (*pool_health)(void *pool, char *ret, size_t size);
};

/* --- the host's side --- */

enum pb_log_level { PB_LOG_ERROR = 0, PB_LOG_WARNING = 1, PB_LOG_INFO = 2, PB_LOG_DEBUG = 3 };
enum pb_io_event { PB_IO_READ = 1, PB_IO_WRITE = 2 };

#define PB_SIGNATURE_MAX 96 /* bytes with the NUL */

/* What is known of a pool's workers beside the core's own requests. Numbers: -1 not known. */
struct pb_pool_load {
  uint32_t size;   /* sizeof(struct pb_pool_load) as the plugin was compiled */
  int32_t workers; /* that exist now */
  int32_t idle;    /* of them, free for a request */
  int32_t queued;  /* requests, anybody's, that wait for a worker */
};

typedef void (*pb_io_fn)(int fd, unsigned events, void *arg);
typedef void (*pb_fn)(void *arg);
typedef void (*pb_child_fn)(pid_t pid, int wait_status, void *arg);

/* What the host does for you. Const, lives as long as the process. New slots are only added at the
 * end, with a higher minor version; see PB_HAS(). */
struct pb_host {
  uint32_t size;
  uint16_t abi_major, abi_minor;

  /* One line, without a newline. What happened, and what you do about it; secrets never. The host
   * adds whose it is, and holds back what repeats too fast. */
  void (*log)(struct pb_owner *o, enum pb_log_level level, const char *fmt, ...) PB_PRINTF(3, 4);
  /* Monotonic milliseconds, as of the loop's current turn. */
  uint64_t (*now_ms)(struct pb_owner *o);

  /* Calls `cb` as long as `fd` is ready for one of `events` (enum pb_io_event; level-triggered). A
   * hang-up or an error counts as ready: read() or write() tell. A second call for the same fd
   * replaces the first; events 0 is io_del(). The fd stays yours: non-blocking, close-on-exec, and
   * io_del() before close(). Returns 0 or -errno. */
  int (*io_set)(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg);
  void (*io_del)(struct pb_owner *o, int fd);

  /* One-shot timers. timer_start() again moves it, also from its own callback; timer_stop() of one
   * that does not run, timer_free(NULL), and timer_free() in its own callback are fine. timer_new()
   * returns NULL only without memory. */
  struct pb_timer *(*timer_new)(struct pb_owner *o, pb_fn cb, void *arg);
  void (*timer_start)(struct pb_timer *t, uint64_t after_ms);
  void (*timer_stop)(struct pb_timer *t);
  void (*timer_free)(struct pb_timer *t);

  /* Calls `cb` once when child `pid` has ended: call it in the turn that made the child, or, where
   * a thread of yours made it, in the one that hears of it. It may have ended by then. The host
   * reaps it when `cb` has returned: until then its number is nobody else's. waitpid() is not
   * yours to call. Returns 0 or -errno. */
  int (*child_watch)(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg);
  /* Runs fn(arg) on the loop's thread, in a later turn. The only slot for other threads. It cannot
   * be taken back: fn must find out itself whether what it is about is still there. */
  void (*post)(struct pb_owner *o, pb_fn fn, void *arg);

  /* The batch that submit() was given: see job.h. All memory is the host's, and valid until
   * complete() is called for its ticket. */
  enum pb_batch_type (*batch_type)(const struct pb_batch *b);
  size_t (*batch_count)(const struct pb_batch *b); /* jobs; 0 for a ping */
  /* When the core will call cancel(), on the clock of now_ms(). You need no timer for it. */
  uint64_t (*batch_deadline_ms)(const struct pb_batch *b);
  const char *(*batch_trace)(const struct pb_batch *b); /* outTraceId */
  /* All of it as workers of the run type cgi get it, application/x-www-form-urlencoded:
   * IS_PEPPER_BUS_REQUEST, type, outTraceId, queue, topic, jobs. Built at the first call. NULL
   * without memory. */
  const char *(*batch_form)(const struct pb_batch *b, size_t *ret_len);
  /* The jobs as a JSON array ("[]" for a ping), built at the first call. NULL without memory. */
  const char *(*batch_json)(const struct pb_batch *b, size_t *ret_len);
  /* Job `n` of 0..count-1. The body is what the producer gave, byte for byte; NULL without
   * memory, "" of an empty one. */
  const char *(*job_id)(const struct pb_batch *b, size_t n); /* decimal */
  const void *(*job_body)(const struct pb_batch *b, size_t n, size_t *ret_len);
  unsigned (*job_attempt)(const struct pb_batch *b, size_t n); /* from 1 */

  /* Ends ticket `t` of the instance `o`, exactly once for each that submit() took. A ticket that is
   * over, or never was, is counted, logged and ignored. */
  void (*complete)(struct pb_owner *o, pb_ticket t, const struct pb_result *r);
  /* After submit() said -EAGAIN to this instance: there is room again. One time too many does no
   * harm; one too few, and the topic stands still. */
  void (*ready)(struct pb_owner *o);
  /* After drain(), once: every ticket is completed. destroy() follows in a later turn. */
  void (*drained)(struct pb_owner *o);

  /* --- since 1.1 --- */

  /* The W3C trace context of this delivery, "00-<32 hex>-<16 hex>-01": the trace is the first
   * job's intake, the span this request. Valid as long as the batch. */
  const char *(*batch_traceparent)(const struct pb_batch *b);
  /* Signs `body` with the topic's `signing_key`: "t=<Unix seconds>,v2=<64 hex>", where v2 is
   * HMAC-SHA256 over "<t>\n<kind>\n<queue>/<topic>\n<body>" (doc/signature.md). The kind is "form"
   * for the very pointer that batch_form() gave, else "content". Returns the text's length without
   * its NUL, or 0 with "" when the topic has no key. `ret` has room for PB_SIGNATURE_MAX. Only
   * within submit(), with an instance's owner; the key itself never leaves the core. */
  size_t (*sign)(struct pb_owner *o, const void *body, size_t len, char *ret);
  /* Metric number `index` of the descriptor's `metrics`: a counter grows by `value` (not negative),
   * a gauge is set to it. `o` is a pool's for PB_SCOPE_POOL, an instance's for PB_SCOPE_TOPIC. What
   * a reload opens again begins at 0. */
  void (*metric)(struct pb_owner *o, unsigned index, double value);
  /* What the plugin has learnt of a pool's workers; the core's limit of requests at a time
   * follows it where the pool says `concurrency = auto`. With a pool's owner. */
  void (*pool_load)(struct pb_owner *o, const struct pb_pool_load *load);
  /* Takes a child_watch() back: its callback will not come. The host still reaps the child. */
  void (*child_unwatch)(struct pb_owner *o, pid_t pid);
};

#endif
