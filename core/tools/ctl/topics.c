/* Verbs about topics: what they do now, their worker, what they left behind.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define EACH(table) (sizeof(table) / sizeof *(table))

/* --- ls, show --- */

struct table *topics_table(struct ctl *x, json_t *topics) {
  static const struct column columns[] = {
      {"TOPIC", false}, {"STATE", false},  {"READY", true}, {"RUNNING", true}, {"RETRY", true},
      {"DEAD", true},   {"DELAYED", true}, {"DONE", true},  {"FAILED", true},  {"WHY", false}};
  struct table *t = table_new(x, columns, EACH(columns));
  char a[TEXT_MAX];
  size_t i;
  json_t *o;
  json_array_foreach(topics, i, o) {
    const char *state = get_text(o, "state");
    bool known = json_is_object(get(o, "counts"));
    const struct {
      uint64_t n;
      enum color color;
    } counts[] = {{topic_ready(o), PLAIN},
                  {topic_running(o), PLAIN},
                  {get_u64(o, "counts.retry"), YELLOW},
                  {get_u64(o, "counts.dead"), RED},
                  {get_u64(o, "counts.delayed"), PLAIN}};
    table_add(t, PLAIN, get_text(o, "topic"));
    table_add(t, state_color(state), state);
    for (size_t k = 0; k < EACH(counts); k++)
      if (known)
        table_count(t, counts[k].color, counts[k].n);
      else
        table_add(t, PLAIN, "?");
    double failed = get_real(o, "rates.failed");
    table_add(t, PLAIN, text_rate(get_real(o, "rates.done"), a));
    table_add(t, failed >= 0.005 ? RED : PLAIN, text_rate(failed, a));
    table_add(t, PLAIN, topic_why(o));
  }
  return t;
}

/* Of 10,000 topics, three quarters of the time went into members that no column shows. */
static char *topics_path(struct ctl *x) {
  char *path = strdup(x->args.json ? "/api/v1/topics" : "/api/v1/topics?brief=yes");
  path = path_query(path, "queue", x->args.queue);
  return path_query(path, "system", x->args.system);
}

int verb_topic_ls(struct ctl *x) {
  json_t *o;
  char *path = topics_path(x);
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  table_print(topics_table(x, get(o, "topics")), stdout, terminal_width(), 0);
  json_decref(o);
  return CTL_OK;
}

static void print_options(const char *head, json_t *o) {
  const char *key;
  json_t *value;
  json_object_foreach(o, key, value) {
    char *text = text_value(value);
    if (*text) {
      printf("  %-14s %s = %s\n", head, key, text);
      head = "";
    }
    free(text);
  }
}

static void print_topic(struct ctl *x, json_t *o) {
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX], e[TEXT_MAX];
  const char *state = get_text(o, "state");
  char *why = text_plain(get_text(o, "why"), false);
  printf("%s: %s%s%s since %s%s%s\n", get_text(o, "topic"), color_on(x, state_color(state)), state,
         color_off(x, state_color(state)), text_time(get_u64(o, "since_ms"), a), *why ? ": " : "",
         why);
  free(why);
  if (json_is_object(get(o, "counts"))) {
    printf("  jobs           %s ready, %s running, %s to retry, %s dead, %s delayed\n",
           text_count(topic_ready(o), a), text_count(topic_running(o), b),
           text_count(get_u64(o, "counts.retry"), c), text_count(get_u64(o, "counts.dead"), d),
           text_count(get_u64(o, "counts.delayed"), e));
    if (get_u64(o, "counts.oldest_ms"))
      printf("  oldest         added %s\n", text_time(get_u64(o, "counts.oldest_ms"), a));
    if (get_u64(o, "counts.next_due_ms"))
      printf("  next due       %s\n", text_time(get_u64(o, "counts.next_due_ms"), a));
  } else {
    printf("  jobs           not known: %s\n", get_text(o, "counts_error"));
  }
  printf("  now            %s done, %s failed\n", text_rate(get_real(o, "rates.done"), a),
         text_rate(get_real(o, "rates.failed"), b));
  printf("  since start    %s: %s done, %s failed (%s without an answer), %s dead\n",
         text_many(get_u64(o, "counters.attempts"), "attempt", a),
         text_count(get_u64(o, "counters.done"), b), text_count(get_u64(o, "counters.failed"), c),
         text_count(get_u64(o, "counters.lost") + get_u64(o, "counters.timeout"), d),
         text_count(get_u64(o, "counters.dead"), e));
  uint64_t runs = get_u64(o, "counters.run_count");
  if (runs)
    printf("  run time       %s on average of %s\n",
           text_duration(get_u64(o, "counters.run_ms_sum") / runs, a),
           text_many(runs, "request", b));
  char *health = text_plain(get_text(o, "health_text"), false);
  if (*health) printf("  health         %s\n", health);
  free(health);
  printf("  worker         run_type %s, pool %s, storage %s\n", get_text(o, "run_type"),
         *get_text(o, "pool") ? get_text(o, "pool") : "(its own)", get_text(o, "storage"));
  print_options("", get(o, "options_text"));
  printf("  limits         %llu at a time, %llu in a request",
         (unsigned long long)get_u64(o, "workers"), (unsigned long long)get_u64(o, "chunk"));
  if (get_u64(o, "chunk_wait_ms"))
    printf(" (waits %s to fill it)", text_duration(get_u64(o, "chunk_wait_ms"), a));
  printf(", %s each\n", text_duration(get_u64(o, "timeout_ms"), a));
  printf("  retries        %s, backoff %s", text_many(get_u64(o, "attempts"), "attempt", c),
         text_duration((uint64_t)json_integer_value(json_array_get(get(o, "backoff_ms"), 0)), b));
  printf(" to %s\n",
         text_duration((uint64_t)json_integer_value(json_array_get(get(o, "backoff_ms"), 1)), a));
  printf("  configured at  %s\n", get_text(o, "configured_at"));
}

int verb_topic_show(struct ctl *x) {
  json_t *o;
  char *path = path_topic(x, "");
  if (!path) return CTL_USAGE;
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  print_topic(x, o);
  json_decref(o);
  return CTL_OK;
}

/* --- ping, test --- */

/* What to do about a code, as far as the code alone tells. */
static const char *advice_of(int code) {
  static const struct {
    int code;
    const char *advice;
  } advice[] = {
      {404,
       "the file answers, but does not register this topic: look at register(queue, topic, ...)"},
      {502, "the worker cannot be reached: does it run, and is its address (or command) right?"},
  };
  for (size_t i = 0; i < EACH(advice); i++)
    if (advice[i].code == code) return advice[i].advice;
  return NULL;
}

static int print_answer(struct ctl *x, json_t *o) {
  char a[TEXT_MAX];
  int verdict = (int)json_integer_value(get(o, "code"));
  int code = verdict == 200 ? CTL_OK : CTL_NO;
  if (x->args.json) return print_json(o, code);
  char *message = text_plain(get_text(o, "message"), true);
  enum color color = code ? RED : GREEN;
  printf("%s: %s%d%s in %s%s%s\n", get_text(o, "topic"), color_on(x, color), verdict,
         color_off(x, color), text_duration(get_u64(o, "took_ms"), a), *message ? ": " : "",
         message);
  fflush(stdout);
  if (advice_of(verdict)) fprintf(stderr, "  %s\n", advice_of(verdict));
  free(message);
  json_decref(o);
  return code;
}

int verb_topic_ping(struct ctl *x) {
  json_t *o;
  char *path = path_topic(x, "/ping");
  if (!path) return CTL_USAGE;
  int code = api_ask(x, &(struct request){.method = "POST", .path = path, .patient = true}, &o);
  free(path);
  return code ? code : print_answer(x, o);
}

int verb_topic_test(struct ctl *x) {
  json_t *o;
  size_t len;
  char *path = path_topic(x, "/test");
  char *body = path ? content_read(x->args.rest[1], &len) : NULL;
  int code = CTL_USAGE;
  if (body)
    code =
        api_ask(x,
                &(struct request){
                    .method = "POST", .path = path, .body = body, .body_len = len, .patient = true},
                &o);
  free(path);
  free(body);
  return code ? code : print_answer(x, o);
}

/* --- pause --- */

static int pause_to(struct ctl *x, const char *tail) {
  json_t *o, *body = NULL;
  char *path = path_topic(x, tail);
  if (!path) return CTL_USAGE;
  if (x->args.reason && !(body = json_pack("{s:s}", "reason", x->args.reason))) {
    ctl_error("--reason is not UTF-8 text");
    free(path);
    return CTL_USAGE;
  }
  int code = api_post(x, path, body, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("%s %s\n", get_text(o, "topic"),
         get_bool(o, "paused") ? "is paused on all nodes; running jobs go on" : "goes on");
  json_decref(o);
  return CTL_OK;
}

int verb_topic_pause(struct ctl *x) {
  return pause_to(x, "/pause");
}

int verb_topic_resume(struct ctl *x) {
  return pause_to(x, "/resume");
}

/* --- topics left behind --- */

int verb_topic_stray(struct ctl *x) {
  static const struct column columns[] = {{"TOPIC", false},  {"STORAGE", false}, {"READY", true},
                                          {"RUNNING", true}, {"RETRY", true},    {"DEAD", true},
                                          {"DELAYED", true}};
  static const char *const counts[] = {"ready", "running", "retry", "dead", "delayed"};
  json_t *o, *s;
  size_t i;
  char *path = path_queue(x->args.rest[0], "/stray");
  int code = api_get(x, path, &o);
  free(path);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  struct table *t = table_new(x, columns, EACH(columns));
  json_array_foreach(get(o, "stray"), i, s) {
    table_addf(t, PLAIN, "%s/%s", get_text(o, "queue"), get_text(s, "topic"));
    table_add(t, PLAIN, get_text(s, "storage"));
    for (size_t k = 0; k < EACH(counts); k++) table_count(t, PLAIN, get_u64(s, counts[k]));
  }
  table_print(t, stdout, terminal_width(), 0);
  if (!i) puts("there is nothing of topics that are not configured");
  if (i)
    puts("pepperbusctl topic move QUEUE/TOPIC moves what a topic has in another "
         "storage,\npepperbusctl topic rename OLD NEW moves what it has under another "
         "name,\npepperbusctl topic drop QUEUE/TOPIC deletes what a topic has that is not "
         "configured");
  json_decref(o);
  return CTL_OK;
}

/* `path` is taken over. */
static int move_to(struct ctl *x, char *path, json_t *body) {
  json_t *o;
  if (x->args.from) json_object_set_new(body, "from", json_string(x->args.from));
  if (x->args.to) json_object_set_new(body, "to", json_string(x->args.to));
  int code = api_post(x, path, body, &o);
  free(path);
  if (!code) code = many_follow(x, &o, "moved");
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("%s: %s\n", get_text(o, "topic"), get_text(o, "act.result"));
  json_decref(o);
  return CTL_OK;
}

int verb_topic_move(struct ctl *x) {
  char *path = path_topic(x, "/move");
  return path ? move_to(x, path, json_object()) : CTL_USAGE;
}

int verb_topic_rename(struct ctl *x) {
  const char *old = x->args.rest[0], *slash = strchr(old, '/');
  if (!slash || slash == old || !slash[1] || strchr(slash + 1, '/')) {
    ctl_error("topic rename needs QUEUE/TOPIC twice, not \"%s\"", old);
    return CTL_USAGE;
  }
  x->args.rest[0] = x->args.rest[1];
  char *path = path_topic(x, "/move");
  return path ? move_to(x, path, json_pack("{s:s}", "topic", old)) : CTL_USAGE;
}

int verb_topic_drop(struct ctl *x) {
  json_t *o;
  char what[400], *queue, *path = path_topic(x, "");
  if (!path) return CTL_USAGE;
  free(path);
  const char *slash = strchr(x->args.rest[0], '/');
  snprintf(what, sizeof what, "Delete everything that %s left in the storages, jobs included",
           x->args.rest[0]);
  int code = confirm(x, what);
  if (code) return code;
  if (asprintf(&queue, "%.*s", (int)(slash - x->args.rest[0]), x->args.rest[0]) < 0)
    out_of_memory();
  path = path_queue(queue, "/drop");
  code = api_post(x, path, json_pack("{s:s}", "topic", slash + 1), &o);
  free(path);
  free(queue);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("%s is gone from the storages\n", get_text(o, "topic"));
  json_decref(o);
  return CTL_OK;
}
