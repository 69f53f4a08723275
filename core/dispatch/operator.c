/* Owns what operators ask of a topic: ping, test, pause. */
#include "dispatch/operator.h"

#include "dispatch/private.h"
#include "dispatch/request.h"
#include "dispatch/request_answer.h"
#include "dispatch/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *nobody_to_ask(const struct topic *t) {
  if (t->inst) return "out of memory";
  if (t->set->pulled && !*t->why) return "its workers come by themselves: there is nobody to ask";
  return t->why;
}

void operator_ping(struct topic *t, operator_answer_fn fn, void *arg) {
  struct request *r = t->inst ? request_new(t, REQUEST_PING) : NULL;
  if (!r) {
    const char *why = nobody_to_ask(t);
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->answer = fn;
  r->answer_arg = arg;
  request_wait(t, r);
}

void operator_test(struct topic *t, const void *content, size_t len, operator_answer_fn fn,
                   void *arg) {
  struct dispatcher *d = t->dispatcher;
  struct request *r = t->inst ? request_new(t, REQUEST_TEST) : NULL;
  struct job_head head = {0};
  unsigned char bytes[JOB_HEAD_MAX];
  char field[JOB_FIELD_MAX];
  head.id = head.trace = id_mint(&d->traces, loop_wall_ms(t->loop));
  size_t head_len = job_encode_head(&head, bytes);
  char *blob = r ? malloc(head_len + len + 1) : NULL;
  if (blob) {
    memcpy(blob, bytes, head_len);
    memcpy(blob + head_len, content, len);
    job_field(d->gateway, field);
    r->test_job = job_decode(field, strlen(field), blob, head_len + len);
    if (!r->test_job) free(blob);
  }
  if (!r || !r->test_job) {
    const char *why = nobody_to_ask(t);
    if (r) request_free(d, r);
    fn(arg, WORKER_FAILED, why, strlen(why), 0);
    return;
  }
  r->test_job->source = JOB_FROM_TEST;
  r->answer = fn;
  r->answer_arg = arg;
  batch_push(r->batch, r->test_job);
  request_wait(t, r);
}

struct pause_call {
  struct topic *t;
  bool paused;
  struct topic_pause pause;
  store_done_fn fn;
  void *arg;
};

static void on_paused(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct pause_call *c = arg;
  struct topic *t = c->t;
  if (!rc) {
    topic_set_paused(t, c->paused, &c->pause);
    topic_touch(t);
  }
  c->fn(c->arg, rc, count, why);
  free(c);
  topic_call_ended(t);
}

void operator_pause(struct topic *t, bool paused, const char *by, const char *reason,
                    store_done_fn fn, void *arg) {
  struct pause_call *c = malloc(sizeof *c);
  if (!c) {
    fn(arg, STORE_ERROR, 0, "out of memory");
    return;
  }
  *c = (struct pause_call){.t = t, .paused = paused, .fn = fn, .arg = arg};
  c->pause.since_ms = loop_wall_ms(t->loop);
  snprintf(c->pause.by, sizeof c->pause.by, "%s", by);
  snprintf(c->pause.reason, sizeof c->pause.reason, "%s", reason);
  topic_call_began(t);
  store_pause(t->store, paused, by, reason, on_paused, c);
}
