/* The controller of `concurrency = auto` against workers that are simulated, millisecond by
 * millisecond: some number of them, a queue before them, and web requests beside ours.
 */
#include "dispatch/auto_concurrency.h"

#include "tap.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX 4096
#define TOPICS       2

struct request {
  bool ours;
  int topic;
  uint64_t came_ms, left_ms; /* left_ms: of its service; counts once it is with a worker */
};

struct sim {
  struct auto_concurrency l;
  uint64_t now;
  size_t workers, backlog_max;     /* backlog_max: more are refused; 0: no end */
  struct request at[REQUESTS_MAX]; /* in order of their coming: the first `workers` are served */
  size_t n, ours;
  uint64_t run_ms[TOPICS];
  struct usual_time usual[TOPICS];
  unsigned web_per_s, web_ms;
  double web_due;
  uint64_t queue_every, idle_every; /* how often they are told; 0: never */
  uint64_t seed;
  /* sums over the time that is looked at */
  uint64_t ticks, limits, served, web_waits, web_n, web_worst;
};

static double chance(struct sim *s) {
  s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
  return (double)(s->seed >> 11) / 9007199254740992.0;
}

static void sim_init(struct sim *s, size_t workers, size_t max, size_t reserve) {
  memset(s, 0, sizeof *s);
  s->now = 1000;
  s->workers = workers;
  s->run_ms[0] = s->run_ms[1] = 20;
  s->seed = 42;
  auto_concurrency_init(&s->l, max, reserve, s->now);
}

static bool sim_add(struct sim *s, bool ours, int topic, uint64_t run_ms) {
  if (s->n == REQUESTS_MAX || (s->backlog_max && s->n >= s->workers + s->backlog_max)) return false;
  s->at[s->n++] = (struct request){ours, topic, s->now, run_ms};
  s->ours += ours;
  return true;
}

static void sim_serve(struct sim *s) {
  size_t kept = 0, with = s->n < s->workers ? s->n : s->workers;
  for (size_t i = 0; i < s->n; i++) {
    struct request *r = &s->at[i];
    if (i < with && r->left_ms-- <= 1) {
      uint64_t took = s->now - r->came_ms;
      if (r->ours) {
        s->ours--;
        s->served++;
        auto_concurrency_answered(&s->l, &s->usual[r->topic], took, s->now);
      } else {
        uint64_t waited = took > s->web_ms ? took - s->web_ms : 0;
        s->web_n++;
        s->web_waits += waited;
        if (waited > s->web_worst) s->web_worst = waited;
      }
      continue;
    }
    s->at[kept++] = *r;
  }
  s->n = kept;
}

/* One millisecond: everything is served a little, web requests come, and as many of ours as the
 * limit allows, for there is no end of them. */
static void sim_tick(struct sim *s) {
  s->now++;
  sim_serve(s);
  for (s->web_due += s->web_per_s / 1000.0; s->web_due >= 1; s->web_due--)
    sim_add(s, false, 0, s->web_ms);
  while (s->ours < s->l.limit) {
    int topic = (int)(s->seed >> 60) % TOPICS;
    double spread = 0.5 + chance(s); /* jobs of one topic differ as well */
    if (sim_add(s, true, topic, (uint64_t)((double)s->run_ms[topic] * spread) + 1)) continue;
    auto_concurrency_refused(&s->l, s->ours, s->now);
    break;
  }
  auto_concurrency_want(&s->l);
  int idle = s->workers > s->n ? (int)(s->workers - s->n) : 0;
  int queued = s->n > s->workers ? (int)(s->n - s->workers) : 0;
  if (s->idle_every && s->now % s->idle_every == 0)
    auto_concurrency_load(&s->l, s->ours, idle, queued, s->now);
  else if (s->queue_every && s->now % s->queue_every == 0)
    auto_concurrency_load(&s->l, s->ours, -1, queued, s->now);
  s->ticks++;
  s->limits += s->l.limit;
}

static void sim_run(struct sim *s, uint64_t ms) {
  s->ticks = s->limits = s->served = s->web_waits = s->web_n = s->web_worst = 0;
  for (uint64_t end = s->now + ms; s->now < end;) sim_tick(s);
}

static double mean_limit(const struct sim *s) {
  return (double)s->limits / (double)s->ticks;
}

/* Five seconds to find it, then it must be there on average for the next five. */
static void finds(struct sim *s, double least, double most, const char *what) {
  sim_run(s, 5000);
  sim_run(s, 5000);
  double mean = mean_limit(s);
  ok(mean >= least && mean <= most, "%s: %.1f requests at a time (%g..%g)", what, mean, least,
     most);
}

static void halved_and_doubled(struct sim *s, double low, double high, const char *what) {
  char text[200];
  size_t n = s->workers;
  double d = (double)n;
  snprintf(text, sizeof text, "%s, %zu workers", what, n);
  finds(s, d * low, d * high, text);
  s->workers = 2 * n;
  snprintf(text, sizeof text, "%s, doubled", what);
  finds(s, 2 * d * low, 2 * d * high, text);
  s->workers = n;
  snprintf(text, sizeof text, "%s, halved", what);
  finds(s, d * low, d * high, text);
}

static void test_queue(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 0);
  s.queue_every = 50;
  halved_and_doubled(&s, 0.85, 1.15, "a queue is told");
  sim_init(&s, 2, 128, 0);
  s.queue_every = 50;
  finds(&s, 1, 3, "a queue is told, two workers");
  sim_init(&s, 16, 8, 0);
  s.queue_every = 50;
  finds(&s, 8, 8, "max_connections stays the bound");
}

static void test_reload(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 1);
  s.queue_every = 25;
  sim_run(&s, 5000);
  size_t before = s.l.limit;
  s.workers = 0; /* being restarted: all wait */
  sim_run(&s, 400);
  ok(s.l.limit >= before / 2, "a reload: %zu requests at a time, of %zu before", s.l.limit, before);
  s.workers = 16;
  finds(&s, 13, 18, "after a reload");
}

/* The workers end with what they do, for a while there is none, then as many as are wanted come up
 * one after the other. */
static void reload(struct sim *s, size_t workers) {
  while (s->workers) {
    uint64_t before = s->served + s->web_n;
    sim_tick(s);
    s->workers -= (size_t)(s->served + s->web_n - before);
  }
  sim_run(s, 120);
  for (; s->workers < workers; s->workers++) sim_run(s, 2);
}

static void test_reload_ends(void) {
  static const size_t workers[] = {8, 16, 8, 64, 128, 64};
  static struct sim s;
  for (int told = 0; told < 2; told++) {
    sim_init(&s, 4, 256, 1);
    s.run_ms[0] = s.run_ms[1] = 100;
    s.queue_every = 25;
    s.idle_every = told ? 1000 : 0;
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
      double n = (double)workers[i];
      sim_run(&s, 5000);
      reload(&s, workers[i]);
      sim_run(&s, 1100);
      ok((double)s.l.limit >= n * 0.8 - 1 && (double)s.l.limit <= n * 1.25 + 1,
         "%s, %zu workers from a reload on: %zu requests at a time a second later",
         told ? "idle ones are told" : "a queue is told", workers[i], s.l.limit);
    }
  }
}

static void test_idle(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 2);
  s.queue_every = 50;
  s.idle_every = 1000;
  halved_and_doubled(&s, 0.7, 1.0, "idle workers are told, reserve of 2");
}

static void test_web(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 2);
  s.queue_every = 50;
  s.idle_every = 1000;
  s.web_per_s = 100;
  s.web_ms = 40; /* four workers' worth */
  finds(&s, 7, 12, "web traffic for 4 of 16 workers beside it");
  double mean = (double)s.web_waits / (double)s.web_n;
  ok(mean < 5, "a web request waits %.1f ms for a worker on average, %llu at most", mean,
     (unsigned long long)s.web_worst);
  s.web_per_s = 600; /* more than all of them can do */
  finds(&s, 1, 2, "the web wants all: one request at a time is left, not none");
  s.web_per_s = 0;
  sim_run(&s, 30000); /* the queue of web requests is worked off */
  finds(&s, 12, 16, "the web is quiet again");
}

/* What waits after a burst of the web is no reload: who has slow jobs must not take all workers. */
static void test_bursts(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 2);
  s.run_ms[0] = s.run_ms[1] = 1000;
  s.queue_every = 25;
  s.web_per_s = 100;
  s.web_ms = 40;
  sim_run(&s, 5000);
  uint64_t waits = 0, n = 0;
  for (int i = 0; i < 20; i++) {
    for (int k = 0; k < 40; k++) sim_add(&s, false, 0, s.web_ms);
    sim_run(&s, 3000);
    waits += s.web_waits;
    n += s.web_n;
  }
  double mean = (double)waits / (double)n;
  ok(mean < 60, "bursts of the web beside jobs of a second: each waits %.1f ms on average", mean);
}

static void test_latency(void) {
  static struct sim s;
  sim_init(&s, 16, 128, 0);
  s.run_ms[0] = 10;
  s.run_ms[1] = 100;
  halved_and_doubled(&s, 0.75, 2.0, "nothing is told, only latency shows");
  s.run_ms[0] = s.run_ms[1] = 200;
  sim_run(&s, 15000); /* the usual time must be learnt again first */
  finds(&s, 12, 32, "and the jobs become slower themselves");
}

static void test_refused(void) {
  static struct sim s;
  sim_init(&s, 8, 128, 0);
  s.backlog_max = 2;
  finds(&s, 5, 10.5, "nothing is told, more than two waiting are refused");
}

static void test_edges(void) {
  struct auto_concurrency l;
  struct usual_time topic = {0};
  auto_concurrency_init(&l, 1, 5, 0);
  is_int(l.limit, 1, "at most one");
  auto_concurrency_load(&l, 1, 0, 100, 10);
  auto_concurrency_load(&l, 1, 0, 100, 20);
  is_int(l.limit, 1, "never none, whatever the reserve and the queue");
  auto_concurrency_init(&l, 64, 0, 0);
  for (uint64_t now = 100; now < 1000; now += 100) auto_concurrency_load(&l, 1, -1, 0, now);
  is_int(l.limit, 4, "not raised while nobody wants more");
  auto_concurrency_want(&l);
  auto_concurrency_load(&l, 4, -1, 2, 900);
  auto_concurrency_load(&l, 4, -1, 2, 950);
  is_int(l.limit, 4, "nor lowered while nothing is answered: they may be starting");
  auto_concurrency_answered(&l, &topic, 10, 960);
  auto_concurrency_load(&l, 4, -1, 1, 1000);
  is_int(l.limit, 4, "one look at a queue is no reason");
  auto_concurrency_load(&l, 4, -1, 3, 1050);
  is_int(l.limit, 3, "two in a row are: down by what waited in both");
  auto_concurrency_load(&l, 4, -1, 4, 1060);
  auto_concurrency_load(&l, 4, -1, 4, 1070);
  is_int(l.limit, 3, "once; then something must be answered");
  auto_concurrency_answered(&l, &topic, 10, 1080);
  auto_concurrency_load(&l, 4, -1, 4, 1090);
  auto_concurrency_load(&l, 4, -1, 4, 1095);
  is_int(l.limit, 1, "by half at most");
  for (uint64_t now = 1100; now < 3000; now += 50) {
    auto_concurrency_want(&l);
    auto_concurrency_load(&l, 1, -1, 0, now);
  }
  is_int(l.limit, 1, "what was too much is not tried again at once");
  auto_concurrency_want(&l);
  auto_concurrency_load(&l, 1, -1, 0, 3100);
  ok(l.limit > 1, "but after a while");
  auto_concurrency_init(&l, 64, 0, 0);
  l.limit = 32;
  auto_concurrency_gone(&l, 100);
  is_int(l.limit, 16, "workers that went away: half");
  auto_concurrency_want(&l);
  auto_concurrency_load(&l, 16, -1, 0, 300);
  is_int(l.limit, 25, "and raised by half as soon as they bear it");
  auto_concurrency_init(&l, 64, 2, 0);
  auto_concurrency_want(&l);
  auto_concurrency_load(&l, 4, 32, 3, 100);
  is_int(l.limit, 31, "idle ones: in one step, less the reserve and those that have work already");
}

int main(void) {
  test_edges();
  test_queue();
  test_reload();
  test_reload_ends();
  test_idle();
  test_web();
  test_bursts();
  test_latency();
  test_refused();
  return done_testing();
}
