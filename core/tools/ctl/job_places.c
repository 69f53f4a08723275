/* Verbs about one job wherever it is, and about the jobs of a topic by their state. */
#include "tools/ctl/ctl.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define EACH(table) (sizeof(table) / sizeof *(table))

static const char *or_dash(const char *text) {
  return *text ? text : "-";
}

static enum color job_color(const char *state) {
  if (!strcmp(state, "dead") || !strcmp(state, "quarantine")) return RED;
  return !strcmp(state, "retry") ? YELLOW : PLAIN;
}

/* "retry at 18:05:00", "running since 18:00:01": the time that matters most in this state. */
static const char *when_text(json_t *o, char ret[TEXT_MAX]) {
  bool due = !strcmp(get_text(o, "state"), "retry") || !strcmp(get_text(o, "state"), "delayed");
  uint64_t ms = get_u64(o, due ? "due_ms" : "since_ms");
  if (!ms) ms = get_u64(o, due ? "since_ms" : "due_ms");
  return ms ? text_when(ms, ret) : "-";
}

/* --- ls --- */

int verb_job_ls(struct ctl *x) {
  static const struct column columns[] = {{"JOB", false},    {"STATE", false}, {"WHEN", false},
                                          {"TIMES", true},   {"NODE", false},  {"SIZE", true},
                                          {"MESSAGE", false}};
  json_t *o, *k;
  size_t i;
  char a[TEXT_MAX];
  char *path = path_query(path_topic(x, "/jobs"), "state", x->args.state);
  path = path ? path_query(path, "limit", x->args.limit) : NULL;
  if (!path) return CTL_USAGE;
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "jobs"), i, k) {
    table_add(t, PLAIN, or_dash(get_text(k, "id")));
    table_add(t, job_color(get_text(k, "state")), get_text(k, "state"));
    table_add(t, PLAIN, when_text(k, a));
    table_count(t, PLAIN, get_u64(k, "times"));
    table_add(t, PLAIN, or_dash(get_text(k, "node")));
    table_add(t, PLAIN, text_bytes(get_u64(k, "size"), a));
    table_add(t, PLAIN, get_text(k, "message"));
  }
  table_print(t, stdout, terminal_width(), 0);
  printf("%s %s%s\n", text_many(i, "job", a), get_text(o, "state"),
         *get_text(o, "cursor") ? "; there are more, --limit N shows up to 250" : "");
  json_decref(o);
  return CTL_OK;
}

/* --- one job --- */

static int places_get(struct ctl *x, json_t **ret) {
  char *path = path_named("jobs", x->args.rest[0], "");
  int code = api_get(x, path, ret);
  free(path);
  return code;
}

static void place_name(json_t *place, char *ret, size_t size) {
  const char *topic = get_text(place, "topic");
  snprintf(ret, size, "%s%s%s", get_text(place, "queue"), *topic ? "/" : "", topic);
}

int verb_job_show(struct ctl *x) {
  static const struct column columns[] = {{"TOPIC", false},  {"STATE", false}, {"WHEN", false},
                                          {"TIMES", true},   {"NODE", false},  {"STORAGE", false},
                                          {"MESSAGE", false}};
  json_t *o, *k;
  size_t i;
  char a[TEXT_MAX], name[600];
  int code = places_get(x, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "places"), i, k) {
    place_name(k, name, sizeof name);
    table_add(t, PLAIN, name);
    table_add(t, job_color(get_text(k, "state")), get_text(k, "state"));
    table_add(t, PLAIN, when_text(k, a));
    table_count(t, PLAIN, get_u64(k, "times"));
    table_add(t, PLAIN, or_dash(get_text(k, "node")));
    table_add(t, PLAIN, get_text(k, "storage"));
    table_add(t, PLAIN, get_text(k, "message"));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!get_bool(o, "complete")) printf("not looked through: %s\n", get_text(o, "why"));
  json_decref(o);
  return CTL_OK;
}

/* The body {queue, topic} that names the job: --topic QUEUE/TOPIC, else the queue that has it. */
static int place_body(struct ctl *x, json_t **ret) {
  const char *topic = x->args.topic;
  if (topic) {
    const char *slash = strchr(topic, '/');
    if (!slash || slash == topic || !slash[1]) {
      ctl_error("--topic %s is not of the form QUEUE/TOPIC", topic);
      return CTL_USAGE;
    }
    *ret = json_pack("{s:s%, s:s}", "queue", topic, (size_t)(slash - topic), "topic", slash + 1);
    if (*ret) return CTL_OK;
    ctl_error("--topic is not UTF-8");
    return CTL_USAGE;
  }
  json_t *o;
  int code = places_get(x, &o);
  if (code) return code;
  *ret = json_pack("{s:s}", "queue", get_text(json_array_get(get(o, "places"), 0), "queue"));
  json_decref(o);
  if (!*ret) out_of_memory();
  return CTL_OK;
}

static int job_send(struct ctl *x, const char *tail, json_t **ret) {
  json_t *body;
  int code = place_body(x, &body);
  if (code) return code;
  char *path = path_named("jobs", x->args.rest[0], tail);
  code = api_send(x, "POST", path, body, ret);
  free(path);
  return code;
}

int verb_job_cancel(struct ctl *x) {
  json_t *o, *k;
  size_t i;
  int code = job_send(x, "/cancel", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  json_array_foreach(get(o, "cancelled"), i, k)
      printf("job %s of %s is cancelled; it was %s\n", get_text(o, "id"), get_text(o, "queue"),
             get_text(k, "was"));
  if (*get_text(o, "why")) printf("not everywhere: %s\n", get_text(o, "why"));
  json_decref(o);
  return CTL_OK;
}

/* Bytes that are no UTF-8 go as base64. */
static json_t *content_json(const char *text, size_t len) {
  json_t *body = json_object(), *plain = json_stringn(text, len);
  if (plain) {
    json_object_set_new(body, "content", plain);
    return body;
  }
  struct buf coded = {0};
  base64_add(&coded, text, len);
  json_object_set_new(body, "content", json_string(buf_text(&coded)));
  json_object_set_new(body, "encoding", json_string("base64"));
  buf_free(&coded);
  return body;
}

/* Another content: a copy of the job with a new id runs, in one topic. */
static int job_edit(struct ctl *x) {
  const char *id = x->args.rest[0];
  json_t *o;
  size_t len;
  char tail[200];
  if (!x->args.topic) {
    ctl_error("--content changes the job of one topic: say which by --topic QUEUE/TOPIC");
    return CTL_USAGE;
  }
  char *text = content_read(x->args.content, &len);
  if (!text) return CTL_USAGE;
  json_t *body = content_json(text, len);
  free(text);
  snprintf(tail, sizeof tail, "/failed/%.60s/replay", id);
  x->args.rest[0] = x->args.topic;
  char *path = path_topic(x, tail);
  if (!path) {
    json_decref(body);
    return CTL_USAGE;
  }
  int code = api_send(x, "POST", path, body, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("job %s runs again with this content, as job %s\n", id, get_text(o, "id"));
  json_decref(o);
  return CTL_OK;
}

int verb_job_replay(struct ctl *x) {
  json_t *o;
  char a[TEXT_MAX];
  if (x->args.content) return job_edit(x);
  int code = job_send(x, "/replay", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("job %s runs again in %s of %s\n", get_text(o, "id"),
         text_many(get_u64(o, "replayed"), "topic", a), get_text(o, "queue"));
  if (*get_text(o, "why")) printf("not everywhere: %s\n", get_text(o, "why"));
  json_decref(o);
  return CTL_OK;
}
