/* Owns the lines that a list of topics has beside them: what each of some topics did in the last
 * hour, minute by minute.
 *
 * Must never happen: a line of a topic that who asks may not see; more than 8 questions of one call
 * at a time to the storages.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "history/history.h"

#include <stdlib.h>
#include <string.h>

#define TOPICS_MAX   100
#define READ_AT_ONCE 8
#define MINUTES      60
#define MINUTE_MS    UINT64_C(60000)
#define NAMES_MAX    4096 /* bytes; a longer query is refused before */

/* One question; `names` are cut into its topics. */
struct asked_lines {
  struct call *c;
  char names[NAMES_MAX], *rest;
  uint64_t from_ms;
  size_t pending, n;
  bool exact;
  json_t *lines;
};

/* One of its topics, which is being read. */
struct line {
  struct asked_lines *asked;
  char path[2 * NAME_LEN_MAX + 2];
};

static void next_lines(struct asked_lines *a);

static void asked_end(struct asked_lines *a) {
  struct call *c = a->c;
  if (call_answered(c))
    json_decref(a->lines);
  else
    call_json(c, 200,
              json_pack("{sI si sb so}", "from_ms", (json_int_t)a->from_ms, "step_s",
                        (int)(MINUTE_MS / 1000), "exact", a->exact, "lines", a->lines));
  free(a);
  call_unref(c);
}

static json_t *minutes_json(const struct asked_lines *a, const struct history_point *points,
                            size_t n) {
  uint64_t done[MINUTES] = {0};
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) {
    uint64_t at = (points[i].at_ms - a->from_ms) / MINUTE_MS;
    if (points[i].at_ms >= a->from_ms && at < MINUTES) done[at] += points[i].row.done;
  }
  for (size_t i = 0; i < MINUTES; i++) json_array_append_new(list, json_u64(done[i]));
  return list;
}

static void on_line(void *arg, enum store_rc rc, const struct history_point *points, size_t n,
                    const char *why) {
  struct line *line = arg;
  struct asked_lines *a = line->asked;
  (void)why; /* the other lines are shown rather than none */
  a->pending--;
  if (rc)
    a->exact = false;
  else if (n)
    json_array_append_new(
        a->lines, json_pack("{ss so}", "topic", line->path, "done", minutes_json(a, points, n)));
  free(line);
  next_lines(a);
}

static void line_read(struct asked_lines *a, const struct topic *t) {
  struct line *line = calloc(1, sizeof *line);
  if (!line) out_of_memory();
  line->asked = a;
  snprintf(line->path, sizeof line->path, "%s", t->set->path);
  a->pending++;
  history_read(
      &(struct history_ask){
          .store = t->store_entry->store,
          .of = {.queue = t->set->queue->name, .topic = t->set->name},
          .from_ms = a->from_ms,
          .to_ms = a->from_ms + MINUTES * MINUTE_MS,
          .step_s = MINUTE_MS / 1000,
      },
      on_line, line);
}

static void next_lines(struct asked_lines *a) {
  while (a->pending < READ_AT_ONCE && a->rest && !call_answered(a->c)) {
    const char *path = strsep(&a->rest, ",");
    const struct topic *t = registry_topic(a->c->view->registry, path, strlen(path));
    if (!t || !call_sees_topic(a->c, t)) continue;
    if (t->store)
      line_read(a, t);
    else
      a->exact = false;
  }
  if (!a->pending) asked_end(a);
}

void admin_get_topic_lines(struct call *c) {
  static const char *const known[] = {"topics", NULL};
  uint64_t now = loop_wall_ms(c->view->loop);
  size_t commas = 0;
  if (!call_query_known(c, known)) return;
  struct asked_lines *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  if (!call_query(c, "topics", a->names, sizeof a->names) || !*a->names) {
    call_error(c, 400, "\"topics\" is missing: QUEUE/TOPIC, several with commas between them");
    free(a);
    return;
  }
  for (const char *p = a->names; (p = strchr(p, ',')); p++) commas++;
  if (commas >= TOPICS_MAX) {
    call_error(c, 400, "\"topics\" has %zu topics, and the most is %d", commas + 1, TOPICS_MAX);
    free(a);
    return;
  }
  a->c = c;
  a->rest = a->names;
  a->exact = true;
  a->lines = json_array();
  a->from_ms = now - now % MINUTE_MS - MINUTES * MINUTE_MS;
  call_wait(c, ADMIN_WAIT_MS);
  next_lines(a);
}
