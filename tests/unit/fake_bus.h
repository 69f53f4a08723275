/* What the tests of connections have around them: an intake that answers when the test says so,
 * and a registry of the queues "msg" (password "secret") and "a:b" ("p:q") and the topic
 * "msg/reply" ("own").
 */
#ifndef PB_TESTS_FAKE_BUS_H
#define PB_TESTS_FAKE_BUS_H

#include "intake/client.h"
#include "intake/intake.h"
#include "base/log.h"
#include "event/loop.h"
#include "config/settings.h"
#include "metrics/metrics.h"
#include "registry/registry.h"
#include "tap.h"

#include <fcntl.h>
#include <unistd.h>

#define PENDING_MAX 4096

struct pending {
  intake_fn add;
  intake_pop_fn pop;
  void *arg;
  size_t n;
};

struct intake {
  struct pending pending[PENDING_MAX];
  size_t n;
  uint64_t next_id;
  struct intake_options options; /* of the last */
  char token[80];
  char content[32];
  size_t jobs;
};

struct registry {
  struct queue_settings queue_settings[2];
  struct topic_settings topic_settings;
  struct queue queues[2];
  struct topic topic;
  struct settings settings;
};

void intake_add(struct intake *in, const char *name, size_t len, const struct intake_job *jobs,
                size_t n, const struct intake_options *o, intake_fn fn, void *arg) {
  struct intake_result r = {.trace = 42, .gateway = {.ipv4 = 2130706433, .port = 12017}};
  char error[200];
  if (len != 3 || memcmp(name, "msg", 3)) {
    snprintf(error, sizeof error, "queue or Topic not exist %.*s", (int)len, name);
    r.rc = INTAKE_NO_QUEUE;
    r.error = error;
    fn(arg, &r);
    return;
  }
  if (!n) {
    r.rc = INTAKE_EMPTY;
    r.error = "empty jobs";
    fn(arg, &r);
    return;
  }
  in->options = *o;
  if (o->token) snprintf(in->token, sizeof in->token, "%.*s", (int)o->token_len, o->token);
  snprintf(in->content, sizeof in->content, "%.*s", (int)jobs[0].len,
           (const char *)jobs[0].content);
  in->jobs += n;
  if (in->n == PENDING_MAX) bail_out("too many pending");
  in->pending[in->n++] = (struct pending){.add = fn, .arg = arg, .n = n};
}

void intake_pop(struct intake *in, struct topic *t, intake_pop_fn fn, void *arg) {
  (void)t;
  in->pending[in->n++] = (struct pending){.pop = fn, .arg = arg};
}

/* The storage answers the k-th that waits. */
static void answer(struct intake *in, size_t k, enum intake_rc rc, const char *text) {
  struct pending p = in->pending[k];
  uint64_t ids[64];
  struct intake_result r = {.rc = rc,
                            .trace = 42,
                            .error = text ? text : "",
                            .n = p.n,
                            .ids = ids,
                            .gateway = {.ipv4 = 2130706433, .port = 12017}};
  memmove(in->pending + k, in->pending + k + 1, (--in->n - k) * sizeof *in->pending);
  for (size_t i = 0; i < p.n && i < 64; i++) ids[i] = ++in->next_id;
  if (p.add)
    p.add(p.arg, &r);
  else
    p.pop(p.arg, rc, rc ? NULL : text, text ? strlen(text) : 0, text ? text : "");
}

struct queue *registry_queue(struct registry *reg, const char *name, size_t len) {
  for (int i = 0; i < 2; i++)
    if (strlen(reg->queue_settings[i].name) == len &&
        !memcmp(reg->queue_settings[i].name, name, len))
      return &reg->queues[i];
  return NULL;
}
struct topic *registry_topic(struct registry *reg, const char *path, size_t len) {
  return len == 9 && !memcmp(path, "msg/reply", 9) ? &reg->topic : NULL;
}
struct queue *const *registry_queues(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
struct topic *const *registry_topics(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
struct store *const *registry_stores(struct registry *reg, size_t *ret_n) {
  (void)reg;
  *ret_n = 0;
  return NULL;
}
uint64_t registry_generation(const struct registry *reg) {
  (void)reg;
  return 1;
}
void store_ask_depths(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg) {
  (void)topics;
  (void)n;
  (void)fn;
  (void)arg;
}
const struct settings *registry_settings(const struct registry *reg) {
  return &reg->settings;
}
const char *const topic_state_names[TOPIC_STATES] = {"waiting"};
enum store_state store_state(const struct store *s) {
  (void)s;
  return STORE_READY;
}
const struct store_stray *store_strays(const struct store *s, size_t *ret_n) {
  (void)s;
  *ret_n = 0;
  return NULL;
}
const char *store_name(const struct store *s) {
  (void)s;
  return "main";
}
void store_stats(const struct store *s, struct store_stats *ret) {
  (void)s;
  *ret = (struct store_stats){0};
}

/* --- the test bench --- */

struct bench {
  struct log *log;
  struct loop *loop;
  struct intake *intake;
  struct registry *reg;
  struct metrics *metrics;
  struct clients *clients;
  struct server_settings *set;
};

static struct bench *bench_new(void) {
  struct bench *b = calloc(1, sizeof *b);
  int null = open("/dev/null", O_WRONLY);
  b->log = log_new(null);
  b->loop = loop_new(b->log);
  b->intake = calloc(1, sizeof *b->intake);
  struct registry *reg = b->reg = calloc(1, sizeof *reg);
  reg->queue_settings[0] = (struct queue_settings){.name = "msg", .password = "secret"};
  reg->queue_settings[1] = (struct queue_settings){.name = "a:b", .password = "p:q"};
  for (int i = 0; i < 2; i++) reg->queues[i].set = &reg->queue_settings[i];
  reg->topic_settings = (struct topic_settings){
      .name = "reply", .path = "msg/reply", .queue = &reg->queue_settings[0], .password = "own"};
  reg->topic.set = &reg->topic_settings;
  b->set = &reg->settings.server;
  *b->set = (struct server_settings){.node = "n1",
                                     .max_clients = 3,
                                     .max_job_size = 1000,
                                     .max_arguments = 100,
                                     .max_output = 100000,
                                     .max_inflight = 50,
                                     .auth_timeout_ms = 60000,
                                     .auth_attempts = 5};
  b->metrics = metrics_new(b->loop, reg);
  struct service sv = {.loop = b->loop,
                       .set = b->set,
                       .registry = reg,
                       .intake = b->intake,
                       .metrics = b->metrics,
                       .count = metrics_clients(b->metrics),
                       .gateway = {.ipv4 = 2130706433, .port = 12017}};
  b->clients = clients_new(&sv);
  return b;
}

static void bench_free(struct bench *b) {
  clients_free(b->clients);
  while (b->intake->n) answer(b->intake, 0, INTAKE_STORAGE, "stopping");
  metrics_free(b->metrics);
  loop_free(b->loop);
  log_free(b->log);
  free(b->intake);
  free(b->reg);
  free(b);
}

#endif
