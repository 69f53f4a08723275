/* A transport that breaks one rule of the contract: which one, -DBREAKS=name says when it is
 * compiled (tests/plugin_check.sh does). With BREAKS=nothing it keeps them all, and so it does with
 * BREAKS=takes_its_time.
 *
 * Its imaginary worker answers after 5 ms, by a timer. The one that takes its time has to be
 * cancelled, and is gone half a second later, by the real clock.
 */
#include <pepperbus/transport.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
  nothing,
  takes_its_time,
  completes_twice,
  completes_never,
  completes_refused,
  cancel_forgets,
  cancel_unknown,
  cancel_crashes,
  blocks_in_submit,
  blocks_in_timer,
  loops_for_ever,
  timer_after_destroy,
  post_after_destroy,
  drained_twice,
  drained_early,
  drained_never,
  never_ready,
  refuses_silently,
  returns_positive,
  topics_meet,
  batch_after_end,
  job_out_of_range,
  leaks_descriptor,
  leaks_memory,
  leaks_timer,
  inherits_descriptor,
  closes_watched,
  other_thread,
  ping_without_topic,
  bad_outcome,
  tells_secret,
  metric_of_pool,
  metric_number,
  health_overflow,
  ends_process,
  refuses_load,
  no_help,
  open_secret,
  bad_metric,
  wrong_offset
};
#define IS(what) (BREAKS == (what))

struct conf {
  const char *password;
  int64_t weight;
};

struct plugin {
  const struct pb_host *h;
  struct pb_owner *o;
  struct instance *last; /* topics_meet */
};

struct instance {
  struct plugin *pl;
  struct pb_owner *o;
  const struct conf *conf;
  struct request *all;
  unsigned running;
  bool draining, was_drained;
  int fd; /* -1 */
  char path[260];
};

struct request {
  struct request *next;
  struct instance *in;
  const struct pb_batch *b;
  pb_ticket t;
  struct pb_timer *timer;
  bool over, cancelled;
};

static const struct pb_option topic_options[] = {
    {.name = "password",
     .type = PB_OPT_STRING,
     .flags = IS(open_secret) ? 0 : PB_OPT_SECRET,
     .offset = offsetof(struct conf, password),
     .help = "Not used."},
    {.name = "weight",
     .type = PB_OPT_INT,
     .offset = IS(wrong_offset) ? sizeof(struct conf) : offsetof(struct conf, weight),
     .help = IS(no_help) ? NULL : "Not used."},
    {0}};

enum { JOBS_TOTAL, HEAT, METRICS };
static const struct pb_metric metrics[] = {
    [JOBS_TOTAL] = {IS(bad_metric) ? "Jobs" : "jobs_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                    "Jobs."},
    [HEAT] = {"heat_celsius", PB_METRIC_GAUGE, PB_SCOPE_POOL, "Heat."},
    {0}};

static void *slow_thread(void *arg) {
  struct instance *in = arg;
  in->pl->h->log(in->o, PB_LOG_DEBUG, "from a thread");
  return NULL;
}

static void request_end(struct request *r, enum pb_outcome outcome) {
  struct instance *in = r->in;
  const struct pb_host *h = in->pl->h;
  struct pb_owner *o = in->o;
  struct pb_result res = {.size = sizeof res,
                          .outcome = outcome,
                          .code = 200,
                          .topics = in->path,
                          .detail = "late",
                          .detail_len = 4};
  if (r->over) return;
  r->over = true;
  h->timer_stop(r->timer);
  in->running--;
  if (IS(ping_without_topic)) res.topics = "other/topic";
  if (IS(bad_outcome)) res.outcome = 77;
  if (IS(topics_meet) && in->pl->last) o = in->pl->last->o;
  if (!IS(completes_never)) h->complete(o, r->t, &res);
  if (IS(completes_twice)) h->complete(o, r->t, &res);
  h->metric(in->o, IS(metric_number) ? METRICS : IS(metric_of_pool) ? HEAT : JOBS_TOTAL, 1);
  if (IS(tells_secret)) h->log(in->o, PB_LOG_INFO, "logged in with %s", in->conf->password);
  if (in->draining && !in->running && !in->was_drained && !IS(drained_never)) {
    in->was_drained = true;
    h->drained(in->o);
    if (IS(drained_twice)) h->drained(in->o);
  }
  if (IS(never_ready)) return;
  h->ready(in->o);
}

static void on_timer(void *arg) {
  struct request *r = arg;
  size_t len;
  if (IS(blocks_in_timer)) usleep(100000);
  if (IS(job_out_of_range)) r->in->pl->h->job_body(r->b, 100, &len);
  request_end(r, PB_ANSWERED);
}

static void on_io(int fd, unsigned events, void *arg) {
  struct instance *in = arg;
  uint64_t n;
  (void)events;
  if (!IS(takes_its_time) || read(fd, &n, sizeof n) < 0) return;
  for (struct request *r = in->all; r; r = r->next)
    if (r->cancelled) request_end(r, PB_TIMEOUT);
}

static int submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  const struct pb_host *h = in->pl->h;
  volatile bool always = true;
  if (IS(blocks_in_submit)) usleep(100000);
  while (IS(loops_for_ever) && always) {
  }
  if (IS(ends_process)) exit(7);
  if (IS(returns_positive)) return EAGAIN;
  if (IS(refuses_silently)) return -EINVAL;
  if (IS(completes_refused)) {
    struct pb_result res = {.size = sizeof res, .outcome = PB_ANSWERED, .code = 200};
    h->complete(in->o, t, &res);
    snprintf(err->text, sizeof err->text, "no");
    return -EINVAL;
  }
  if (IS(never_ready) && in->running == 4) return -EAGAIN;
  struct request *r = calloc(1, sizeof *r);
  if (!r) abort();
  *r = (struct request){.next = in->all, .in = in, .b = b, .t = t};
  r->timer = h->timer_new(in->o, on_timer, r);
  in->all = r;
  in->running++;
  if (!IS(takes_its_time)) h->timer_start(r->timer, 5);
  if (IS(leaks_memory)) {
    void *volatile lost = malloc(333);
    lost = NULL;
    (void)lost;
  }
  if (IS(other_thread)) {
    pthread_t th;
    if (pthread_create(&th, NULL, slow_thread, in)) abort();
    pthread_join(th, NULL);
  }
  return 0;
}

static void cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;
  if (IS(cancel_crashes)) raise(SIGSEGV);
  if (IS(cancel_unknown)) {
    struct pb_result res = {.size = sizeof res, .outcome = PB_TIMEOUT};
    in->pl->h->complete(in->o, t, &res);
  }
  for (struct request *r = in->all; r; r = r->next) {
    if (r->t != t) continue;
    if (IS(takes_its_time)) {
      static const struct itimerspec later = {.it_value.tv_nsec = 500000000};
      r->cancelled = true;
      timerfd_settime(in->fd, 0, &later, NULL);
    } else if (IS(cancel_forgets)) {
      in->pl->h->timer_stop(r->timer);
    } else {
      request_end(r, PB_TIMEOUT);
    }
  }
}

static void drain(void *inst) {
  struct instance *in = inst;
  size_t len;
  in->draining = true;
  if (IS(batch_after_end) && in->all && in->all->over) in->pl->h->batch_json(in->all->b, &len);
  if (IS(drained_never) || (in->running && !IS(drained_early))) return;
  in->was_drained = true;
  in->pl->h->drained(in->o);
  if (IS(drained_twice)) in->pl->h->drained(in->o);
}

static void after(void *arg) {
  struct instance *in = arg;
  in->pl->h->log(in->o, PB_LOG_DEBUG, "still here");
  free(in);
}

static void destroy(void *inst) {
  struct instance *in = inst;
  const struct pb_host *h = in->pl->h;
  while (in->all) {
    struct request *r = in->all;
    in->all = r->next;
    if (IS(timer_after_destroy) || IS(leaks_timer)) {
      if (IS(leaks_timer)) h->timer_stop(r->timer);
    } else {
      h->timer_free(r->timer);
    }
    if (!IS(timer_after_destroy)) free(r);
  }
  if (IS(inherits_descriptor) || IS(closes_watched) || IS(takes_its_time)) {
    if (!IS(closes_watched)) h->io_del(in->o, in->fd);
    close(in->fd);
    if (IS(closes_watched)) h->io_del(in->o, in->fd);
  }
  if (in->pl->last == in) in->pl->last = NULL;
  if (IS(post_after_destroy))
    h->post(in->o, after, in);
  else if (!IS(timer_after_destroy))
    free(in);
}

static int create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                  const void *conf, void **ret, struct pb_err *err) {
  struct instance *in = calloc(1, sizeof *in);
  int fds[2];
  (void)err;
  if (!in) abort();
  *in = (struct instance){.pl = pool, .o = o, .conf = conf, .fd = -1};
  snprintf(in->path, sizeof in->path, "%s/%s", topic->queue, topic->topic);
  if (!in->pl->last) in->pl->last = in;
  if (IS(leaks_descriptor)) in->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  if (IS(takes_its_time)) {
    in->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    in->pl->h->io_set(o, in->fd, PB_IO_READ, on_io, in);
  }
  if ((IS(inherits_descriptor) || IS(closes_watched)) &&
      !pipe2(fds, IS(closes_watched) ? O_CLOEXEC : 0)) {
    in->fd = fds[0];
    close(fds[1]);
    in->pl->h->io_set(o, in->fd, PB_IO_WRITE, on_io, in);
  }
  *ret = in;
  return 0;
}

static int pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret,
                     struct pb_err *err) {
  (void)o, (void)conf, (void)err;
  *ret = plugin;
  return 0;
}

static void pool_close(void *pool) {
  (void)pool;
}

static int load(const struct pb_host *h, struct pb_owner *o, void **ret, struct pb_err *err) {
  struct plugin *pl = calloc(1, sizeof *pl);
  if (!pl) abort();
  *pl = (struct plugin){.h = h, .o = o};
  if (IS(refuses_load)) {
    free(pl);
    snprintf(err->text, sizeof err->text, "no licence");
    return -EPERM;
  }
  *ret = pl;
  return 0;
}

static void unload(void *plugin) {
  free(plugin);
}

static int health(void *inst, char *ret, size_t size) {
  (void)inst;
  if (IS(health_overflow))
    memset(ret, 'x', size + 1);
  else
    snprintf(ret, size, "all is well");
  return PB_HEALTH_OK;
}

static const struct pb_transport transport = {
    .magic = PB_MAGIC,
    .size = sizeof(struct pb_transport),
    .abi_major = PB_ABI_MAJOR,
    .abi_minor = PB_ABI_MINOR,
    .option_size = sizeof(struct pb_option),
    .run_type = "broken",
    .name = "broken",
    .version = "1",
    .summary = "breaks one rule",
    .caps = PB_CAP_CHUNK,
    .topic_options = topic_options,
    .topic_conf_size = sizeof(struct conf),
    .load = load,
    .unload = unload,
    .pool_open = pool_open,
    .pool_close = pool_close,
    .create = create,
    .submit = submit,
    .cancel = cancel,
    .drain = drain,
    .destroy = destroy,
    .metrics = metrics,
    .metric_size = sizeof *metrics,
    .health = health,
};

PB_TRANSPORT(broken, transport)
