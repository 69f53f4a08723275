/* Owns adding a job, and what an id says. */
#include "admin/private.h"

#include "intake/intake.h"
#include "job/id_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- adding a job --- */

static json_t *trace_json(uint64_t id, struct gateway g) {
  char text[ID_TRACE_MAX];
  size_t len = id_format_trace(id, g, text);
  return json_stringn(text, len);
}

static void on_added(void *arg, const struct intake_result *r) {
  static const int status[] = {
      [INTAKE_OK] = 200,        [INTAKE_NO_QUEUE] = 404, [INTAKE_EMPTY] = 400,
      [INTAKE_TOO_LARGE] = 413, [INTAKE_FULL] = 429,     [INTAKE_STORAGE] = 503,
  };
  struct call *c = arg;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (r->rc) {
    call_error(c, status[r->rc], "%s", r->error);
  } else {
    char disque[ID_DISQUE_LEN + 1];
    json_t *o = json_object();
    id_format_disque(r->ids[0], disque);
    json_object_set_new(o, "queue", json_cstr(c->args[0]));
    json_object_set_new(o, "id", json_id(r->ids[0]));
    json_object_set_new(o, "disque_id", json_string(disque));
    json_object_set_new(o, "trace", trace_json(r->trace, r->gateway));
    call_json(c, 200, o);
  }
  call_unref(c);
}

/* "90s", "250ms", "5m", "2h", "1d"; a bare number is seconds, as in ADDJOB. */
static bool delay_parse(const char *text, uint64_t *ret_ms) {
  static const struct {
    const char *unit;
    uint64_t ms;
  } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  char *end;
  errno = 0;
  unsigned long long v = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || errno) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].unit) != 0) continue;
    return !__builtin_mul_overflow(v, units[i].ms, ret_ms) && *ret_ms < UINT64_C(1) << 52;
  }
  return false;
}

void admin_post_job(struct call *c) {
  char delay[32];
  struct intake_options o = {0};
  struct intake_job job;
  struct queue *q = call_queue(c);
  if (!q) return;
  if (call_query(c, "delay", delay, sizeof delay) && !delay_parse(delay, &o.delay_ms)) {
    call_error(c, 400, "delay=%s is not a duration like 90s, 5m, 2h", delay);
    return;
  }
  job.content = call_body(c, &job.len);
  call_wait(c, ADMIN_WAIT_MS);
  intake_add(c->view->intake, q->name, strlen(q->name), &job, 1, &o, on_added, c);
}

/* --- ids --- */

void admin_get_id(struct call *c) {
  json_t *o = id_json(c->args[0]);
  if (o)
    call_json(c, 200, o);
  else
    call_error(c, 400,
               "\"%.60s\" is neither a job id (20 digits, or D-...) nor a trace id (ID-IPV4-PORT)",
               c->args[0]);
}
