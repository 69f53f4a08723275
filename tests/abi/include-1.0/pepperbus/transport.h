/* A transport: carries jobs to workers.  This is the page a plugin author reads.
 *
 * Threads      Every call in either direction is made on the loop thread, but for the host's
 *              post().  A plugin may have threads of its own with all signals blocked; they
 *              come back by post().
 * Blocking     No entry point may block.  The host logs every call that takes over 50 ms.
 * State        The descriptor is static const.  What changes at run time hangs off the
 *              plugin, pool and instance pointers that the plugin returns.
 * Lifetimes    load -> (pool_open -> (create -> submit... -> drain -> destroy)* ->
 *              pool_close)* -> unload.  Code stays mapped until the process ends.
 * Jobs         The core owns them.  Each accepted ticket is completed exactly once, also
 *              after cancel() and during drain().  complete() only queues: the core acts on
 *              it at the end of the loop turn, so it may be called from within submit().
 * Deadlines    The core's.  At the deadline it calls cancel() and settles the jobs itself as
 *              timed out; the slot of the pool stays taken until the plugin completes the ticket,
 *              which it does when the worker is known to be free again (or it gives up).
 * Strings      What the host gives is host-owned; what is passed to log() and complete() the
 *              host copies during the call.
 */
#ifndef PEPPERBUS_TRANSPORT_H
#define PEPPERBUS_TRANSPORT_H

#include <pepperbus/abi.h>
#include <pepperbus/job.h>
#include <pepperbus/option.h>
#include <pepperbus/outcome.h>
#include <sys/types.h>

/* The host's name for a plugin, pool or instance: given at load/pool_open/create, valid until
 * unload/pool_close/destroy returns.  It prefixes log lines ("msg/reply", "pool local"). */
struct pb_owner;
struct pb_timer;

/* Index and generation of one submitted batch.  0 is never a ticket.  A completion for a
 * stale ticket is counted and ignored. */
typedef uint64_t pb_ticket;

enum pb_log_level { PB_LOG_ERROR = 0, PB_LOG_WARNING = 1, PB_LOG_INFO = 2, PB_LOG_DEBUG = 3 };
enum pb_io_event { PB_IO_READ = 1, PB_IO_WRITE = 2 };

typedef void (*pb_io_fn)(int fd, unsigned events, void *arg);
typedef void (*pb_fn)(void *arg);
typedef void (*pb_child_fn)(pid_t pid, int wait_status, void *arg);

/* What the host does for plugins.  Const, lives as long as the process.  New slots are only
 * added at the end, with a higher minor version; see PB_HAS(). */
struct pb_host {
  uint32_t size;
  uint16_t abi_major, abi_minor;

  void (*log)(struct pb_owner *o, enum pb_log_level level, const char *fmt, ...) PB_PRINTF(3, 4);
  /* Monotonic milliseconds, as of the current loop turn. */
  uint64_t (*now_ms)(struct pb_owner *o);

  /* Calls `cb` while `fd` is ready for one of `events` (level-triggered, until changed); a
   * second call for the same fd replaces the first. events 0 = io_del. The fd stays the
   * plugin's: io_del() before close(). Returns 0 or -errno. */
  int (*io_set)(struct pb_owner *o, int fd, unsigned events, pb_io_fn cb, void *arg);
  void (*io_del)(struct pb_owner *o, int fd);

  /* One-shot timers. timer_start() again moves it; timer_free(NULL) is fine. timer_new()
   * returns NULL only without memory. */
  struct pb_timer *(*timer_new)(struct pb_owner *o, pb_fn cb, void *arg);
  void (*timer_start)(struct pb_timer *t, uint64_t after_ms);
  void (*timer_stop)(struct pb_timer *t);
  void (*timer_free)(struct pb_timer *t);

  /* Calls `cb` once when child `pid` has ended (the host reaps it). Returns 0 or -errno. */
  int (*child_watch)(struct pb_owner *o, pid_t pid, pb_child_fn cb, void *arg);
  /* Runs fn(arg) on the loop thread, in a later turn.  The only slot for other threads. */
  void (*post)(struct pb_owner *o, pb_fn fn, void *arg);

  /* The batch. Memory is the host's and valid until the ticket is completed. */
  enum pb_batch_type (*batch_type)(const struct pb_batch *b);
  size_t (*batch_count)(const struct pb_batch *b); /* jobs; 0 for a ping */
  /* Monotonic ms of the core's deadline for this attempt. */
  uint64_t (*batch_deadline_ms)(const struct pb_batch *b);
  const char *(*batch_trace)(const struct pb_batch *b); /* outTraceId */
  /* The worker form (application/x-www-form-urlencoded: IS_PEPPER_BUS_REQUEST, type,
   * outTraceId, queue, topic, jobs), built at the first call. NULL without memory. */
  const char *(*batch_form)(const struct pb_batch *b, size_t *ret_len);
  /* The jobs as a JSON array, built at the first call. NULL without memory. */
  const char *(*batch_json)(const struct pb_batch *b, size_t *ret_len);
  /* Job `n` of 0..count-1. */
  const char *(*job_id)(const struct pb_batch *b, size_t n); /* decimal */
  const void *(*job_body)(const struct pb_batch *b, size_t n, size_t *ret_len);
  unsigned (*job_attempt)(const struct pb_batch *b, size_t n); /* from 1 */

  /* Ends ticket `t`, exactly once for each that submit() accepted. */
  void (*complete)(struct pb_owner *o, pb_ticket t, const struct pb_result *r);
  /* After submit() said -EAGAIN: there is room again. */
  void (*ready)(struct pb_owner *o);
  /* After drain(): every ticket is completed and destroy() may follow. */
  void (*drained)(struct pb_owner *o);
};

/* What an instance is for. The host's; valid until destroy() returns. */
struct pb_topic_info {
  uint32_t size;
  const char *queue, *topic;
  uint32_t workers; /* batches at a time on this node */
  uint32_t chunk;   /* jobs in a batch at most */
  uint64_t timeout_ms;
};

enum pb_transport_cap {
  PB_CAP_CHUNK = 1 << 0 /* can carry more than one job in a request */
};

/* The descriptor: static const in the plugin. The host copies min(size, its own) of it, so
 * members are only ever added at the end. Functions return 0 or -errno and then fill `err`;
 * members marked (may be NULL) may be left out. */
struct pb_transport {
  uint32_t magic, size; /* PB_MAGIC, sizeof(struct pb_transport) */
  uint16_t abi_major, abi_minor;
  uint32_t option_size;  /* sizeof(struct pb_option) */
  const char *run_type;  /* the value of `run_type` that this transport serves: "cgi" */
  const char *name, *version, *summary;
  uint64_t caps; /* enum pb_transport_cap */

  /* Keys of [pool] and [topic] sections of this run type, beside the core's own. */
  const struct pb_option *pool_options; /* (may be NULL) */
  size_t pool_conf_size;                /* the host allocates this much, zeroed, and fills it */
  const struct pb_option *topic_options; /* (may be NULL) */
  size_t topic_conf_size;

  /* Once in the process. `h` and `o` stay valid until unload(). Both (may be NULL). */
  int (*load)(const struct pb_host *h, struct pb_owner *o, void **ret_plugin, struct pb_err *err);
  void (*unload)(void *plugin);
  /* Is this configuration sound? No I/O: it may come from `pepperbusd -t`, before load().
   * One of the two is given. Sets err->option so that the host can name file and line. (may be
   * NULL) */
  int (*check)(const void *pool_conf, const void *topic_conf, struct pb_err *err);

  /* Per [pool] section. `conf` is the host's and valid until pool_close() returns. A topic
   * without a pool gets one of its own with the default configuration. Both (may be NULL): then
   * create() is given NULL. */
  int (*pool_open)(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                   struct pb_err *err);
  void (*pool_close)(void *pool); /* after the last destroy() of its instances */

  /* Per topic. */
  int (*create)(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                const void *conf, void **ret_inst, struct pb_err *err);
  /* Carries `b` to a worker. 0: taken, complete(t) will come. -EAGAIN: full, ready() will come.
   * Other -errno: cannot be carried, err says why; complete() must not be called. */
  int (*submit)(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err);
  /* The deadline of `t` has passed or its result is no longer wanted. See Deadlines above. */
  void (*cancel)(void *inst, pb_ticket t);
  /* No submit() follows; call drained() once every ticket is completed (may be at once). */
  void (*drain)(void *inst);
  /* Only after drained(), or when the force deadline has passed: then nothing of the instance
   * may be called back afterwards. */
  void (*destroy)(void *inst);
};

#endif
