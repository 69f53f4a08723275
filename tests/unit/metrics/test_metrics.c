/* Counters, rates and run times count what their names say, and are shown as they are. */
#include "metrics/metrics.c"
#include "metrics/prometheus_topics.c"

#include "metrics/info.h"

#include "tap.h"

#include <unistd.h>

/* --- a registry of one queue and one topic --- */

struct registry {
  struct settings settings;
  struct queue_settings queue_settings;
  struct topic_settings topic_settings;
  struct queue queue, *queues[1];
  struct topic topic, *topics[1];
};

struct queue *const *registry_queues(struct registry *reg, size_t *ret_n) {
  *ret_n = 1;
  return reg->queues;
}
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n) {
  *ret_n = 1;
  return reg->topics;
}
struct store *const *registry_stores(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
const struct settings *registry_settings(const struct registry *reg) {
  return &reg->settings;
}
uint64_t registry_generation(const struct registry *reg) {
  (void)reg;
  return 1;
}
const char *const topic_state_names[TOPIC_STATES] = {"waiting"};
enum store_state store_state(const struct store *s) {
  (void)s;
  return STORE_READY;
}
const char *store_name(const struct store *s) {
  (void)s;
  return "main";
}
void store_stats(const struct store *s, struct store_stats *ret) {
  (void)s;
  (void)ret;
}
void store_ask_depths(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg) {
  (void)topics;
  (void)n;
  (void)fn;
  (void)arg;
}

static void registry_fill(struct registry *reg) {
  *reg = (struct registry){.queue_settings = {.name = "q"}, .topic_settings = {.name = "t"}};
  reg->topic_settings.path = "q/t";
  reg->topic_settings.queue = &reg->queue_settings;
  reg->queue.set = &reg->queue_settings;
  reg->topic.set = &reg->topic_settings;
  reg->topic.queue = &reg->queue;
  reg->queues[0] = &reg->queue;
  reg->topics[0] = &reg->topic;
  reg->settings.server.node = "n";
}

/* --- run times --- */

static void test_buckets(void) {
  struct topic_counters c = {0};
  uint64_t sum = 0;
  for (size_t i = 0; i < RUN_BUCKETS - 1; i++) { /* at each bound, and just over it */
    counters_run_time(&c, run_bucket_ms[i]);
    counters_run_time(&c, run_bucket_ms[i] + 1);
    sum += 2 * run_bucket_ms[i] + 1;
  }
  is_int(c.run_bucket[0], 1, "a bound belongs to its bucket");
  bool two = true;
  for (size_t i = 1; i < RUN_BUCKETS - 1; i++) two &= c.run_bucket[i] == 2;
  ok(two, "what is just over it to the next one");
  is_int(c.run_bucket[RUN_BUCKETS - 1], 1, "what is over the last to \"more\"");
  is_int(c.run_count, 2 * (RUN_BUCKETS - 1), "each is counted");
  is_int(c.run_ms_sum, sum, "and added up, the first and the longest too");
  counters_run_time(&c, 0);
  is_int(c.run_bucket[0], 2, "nothing at all is the first bucket");
  counters_run_time(&c, UINT32_MAX);
  is_int(c.run_bucket[RUN_BUCKETS - 1], 2, "a month is \"more\"");
}

static void quantiles(const char *name, const struct topic_counters *c, double a, double b,
                      double d) {
  is_int(quantile_ms(c, .5), a, "%s: half within %g ms", name, a);
  is_int(quantile_ms(c, .9), b, "%s: 90 %% within %g ms", name, b);
  is_int(quantile_ms(c, .99), d, "%s: 99 %% within %g ms", name, d);
}

static void test_quantiles(void) {
  struct topic_counters c = {0};
  quantiles("nothing", &c, 0, 0, 0);
  counters_run_time(&c, 7);
  quantiles("one", &c, 10, 10, 10);
  counters_run_time(&c, 400);
  quantiles("two", &c, 10, 500, 500);
  c = (struct topic_counters){0};
  for (int i = 0; i < 100; i++)
    counters_run_time(&c, i < 50 ? 3 : i < 90 ? 40 : i < 99 ? 200 : 20000);
  quantiles("a hundred", &c, 5, 50, 250);
  counters_run_time(&c, 20000);
  quantiles("and one slow one more", &c, 50, 250, 30000);
}

static const char *text_of(struct metrics *s, struct prometheus_form form, struct buf *b) {
  buf_free(b);
  *b = (struct buf){0};
  struct prometheus_text *st = prometheus_new(s, form);
  while (prometheus_more(st, b) > 0) {
  }
  prometheus_free(st);
  buf_add(b, "", 1);
  return b->data;
}

static void test_metrics(struct loop *loop, struct registry *reg) {
  struct buf b = {0};
  struct metrics *s = metrics_new(loop, reg);
  struct topic_counters *c = &reg->topic.counters;
  reg->queue.counters =
      (struct queue_counters){.accepted = 5, .accepted_bytes = 50, .refused = 2, .failed = 1};
  *c = (struct topic_counters){.attempts = 11,
                               .requests = 9,
                               .done = 6,
                               .failed = 5,
                               .lost = 1,
                               .timeout = 2,
                               .retried = 4,
                               .dead = 3};
  counters_run_time(c, 4);
  counters_run_time(c, 30);
  counters_run_time(c, 30);
  counters_run_time(c, 999999);
  histogram_add(&c->wait, 2);
  histogram_add(&c->wait, 4);
  histogram_add(&c->wait, 5);
  histogram_add(&c->wait, 4194304);
  histogram_add(&c->wait, 4194305);
  const struct prometheus_form each = {.topics = true, .legacy = true};
  const char *text = text_of(s, each, &b);
  static const char *const lines[] = {
      "pepperbus_jobs_accepted_total{queue=\"q\"} 5\n",
      "pepperbus_queue_add_count{queue=\"q\"} 5\n",
      "pepperbus_jobs_refused_total{queue=\"q\"} 2\n",
      "pepperbus_jobs_unstored_total{queue=\"q\"} 1\n",
      "pepperbus_jobs_attempts_total{queue=\"q\",topic=\"t\"} 11\n",
      "pepperbus_requests_total{queue=\"q\",topic=\"t\"} 9\n",
      "pepperbus_jobs_completed_total{queue=\"q\",topic=\"t\"} 6\n",
      "pepperbus_job_success_count{queue=\"q\",topic=\"t\"} 6\n",
      "pepperbus_jobs_failed_total{queue=\"q\",topic=\"t\"} 5\n",
      "pepperbus_job_fail_count{queue=\"q\",topic=\"t\"} 5\n",
      "pepperbus_jobs_doubtful_total{queue=\"q\",topic=\"t\",reason=\"lost\"} 1\n",
      "pepperbus_jobs_doubtful_total{queue=\"q\",topic=\"t\",reason=\"timeout\"} 2\n",
      "pepperbus_jobs_retried_total{queue=\"q\",topic=\"t\"} 4\n",
      "pepperbus_jobs_dead_total{queue=\"q\",topic=\"t\"} 3\n",
      "pepperbus_job_exec_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.005\"} 1\n",
      "pepperbus_job_exec_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.025\"} 1\n",
      "pepperbus_job_exec_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.05\"} 3\n",
      "pepperbus_job_exec_seconds_bucket{queue=\"q\",topic=\"t\",le=\"120\"} 3\n",
      "pepperbus_job_exec_seconds_bucket{queue=\"q\",topic=\"t\",le=\"+Inf\"} 4\n",
      "pepperbus_job_exec_seconds_sum{queue=\"q\",topic=\"t\"} 1000.063\n",
      "pepperbus_job_exec_seconds_count{queue=\"q\",topic=\"t\"} 4\n",
      "pepperbus_job_wait_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.001\"} 0\n",
      "pepperbus_job_wait_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.004\"} 2\n",
      "pepperbus_job_wait_seconds_bucket{queue=\"q\",topic=\"t\",le=\"0.016\"} 3\n",
      "pepperbus_job_wait_seconds_bucket{queue=\"q\",topic=\"t\",le=\"4194.304\"} 4\n",
      "pepperbus_job_wait_seconds_bucket{queue=\"q\",topic=\"t\",le=\"+Inf\"} 5\n",
      "pepperbus_job_wait_seconds_sum{queue=\"q\",topic=\"t\"} 8388.62\n",
      "pepperbus_job_wait_seconds_count{queue=\"q\",topic=\"t\"} 5\n",
      "pepperbus_job_consume_milliseconds{queue=\"q\",topic=\"t\",quantile=\"0.5\"} 50\n",
      "pepperbus_job_consume_milliseconds_count{queue=\"q\",topic=\"t\"} 4\n",
      "pepperbus_job_consume_milliseconds_sum{queue=\"q\",topic=\"t\"} 1000063\n",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    ok(text && strstr(text, lines[i]), "%.*s", (int)strcspn(lines[i], "\n"), lines[i]);
  c->run_ms_sum = 1234567890123;
  like(text_of(s, each, &b),
       "job_consume_milliseconds_sum{queue=\"q\",topic=\"t\"} 1234567890123\n",
       "large sums are not rounded");
  buf_free(&b);
  metrics_free(s);
}

/* --- rates --- */

/* @case V7: a rate is of the last seconds, however much there was before. */
static void test_rates(void) {
  double rate = 0;
  uint64_t last = 0, moved = 0, now = 0, at = 10000;
  for (int i = 0; i < 60; i++) sample(&rate, &last, &moved, now += 100, at += 1000, 1000);
  ok(rate > 99.9 && rate < 100.1, "100 a second for a minute: %.3f", rate);
  for (int i = 0; i < 4; i++) sample(&rate, &last, &moved, now, at += 1000, 1000);
  ok(rate > 40 && rate < 50, "4 s later it is less than half of that: %.3f", rate);
  sample(&rate, &last, &moved, now, at += 1000, 1000);
  ok(rate == 0, "and 5 s later nothing");
  sample(&rate, &last, &moved, now += 1000, at += 10000, 10000);
  ok(rate == 100, "a sample that comes late counts the time that it took, and nothing older");
  sample(&rate, &last, &moved, now, at += 10000, 10000);
  ok(rate == 0, "also when nothing happened in it");
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  struct loop *loop = loop_new(log);
  static struct registry reg;
  registry_fill(&reg);
  test_buckets();
  test_quantiles();
  test_metrics(loop, &reg);
  test_rates();
  loop_free(loop);
  log_free(log);
  return done_testing();
}
