/* Owns the reading of rows: hours, and minutes that no hour has yet, put together into steps. */
#include "history/private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

struct reading {
  struct history_ask ask;
  char queue[NAME_LEN_MAX + 1], topic[NAME_LEN_MAX + 1], node[NAME_LEN_MAX + 1];
  bool hours;       /* these are read, then the minutes */
  uint64_t from_ms; /* of the page that is read */
  struct history_point *points;
  size_t n, room;
  history_points_fn fn;
  void *arg;
};

static void reading_end(struct reading *r, enum store_rc rc, const char *why) {
  r->fn(r->arg, rc, r->points, rc ? 0 : r->n, why);
  free(r->points);
  free(r);
}

/* Rows come in the order of time. */
static struct history_point *point_at(struct reading *r, uint64_t at_ms) {
  uint64_t step_ms = r->ask.step_s * UINT64_C(1000), begins = at_ms - at_ms % step_ms;
  if (r->n && r->points[r->n - 1].at_ms == begins) return &r->points[r->n - 1];
  if (r->n == r->room) {
    r->room = r->room ? 2 * r->room : 64;
    r->points = realloc(r->points, r->room * sizeof *r->points);
    if (!r->points) out_of_memory();
  }
  r->points[r->n] = (struct history_point){.at_ms = begins};
  return &r->points[r->n++];
}

static void page_ask(struct reading *r);

static void on_page(void *arg, enum store_rc rc, const struct store_history_row *rows, size_t n,
                    const char *why) {
  struct reading *r = arg;
  struct history_row row;
  struct history_gauges gauges;
  if (rc) {
    reading_end(r, rc, why);
    return;
  }
  for (size_t i = 0; i < n; i++) {
    if (!history_row_decode(rows[i].row, rows[i].row_len, &row)) continue;
    struct history_point *p = point_at(r, rows[i].at_ms);
    history_gauges_parse(rows[i].gauges, &gauges);
    history_gauges_merge(&p->gauges, &gauges);
    history_row_merge(&p->row, &row);
    if (r->hours) r->from_ms = rows[i].at_ms + STORE_HOUR_MS;
  }
  if (n == STORE_HISTORY_PAGE && !r->hours) {
    /* Rows of one millisecond do not fall between two pages, where there are fewer than a page. */
    r->from_ms = rows[n - 1].at_ms + 1;
    page_ask(r);
    return;
  }
  if (!r->hours) {
    reading_end(r, STORE_OK, "");
    return;
  }
  r->hours = false;
  page_ask(r);
}

static void page_ask(struct reading *r) {
  store_history_read(r->ask.store, &r->ask.of, r->hours, r->from_ms, r->ask.to_ms, on_page, r);
}

static void name_keep(const char **name, char keep[NAME_LEN_MAX + 1]) {
  if (!*name) return;
  size_t len = strnlen(*name, NAME_LEN_MAX);
  memcpy(keep, *name, len);
  *name = keep;
}

void history_read(const struct history_ask *ask, history_points_fn fn, void *arg) {
  struct reading *r = calloc(1, sizeof *r);
  if (!r) out_of_memory();
  r->ask = *ask;
  name_keep(&r->ask.of.queue, r->queue);
  name_keep(&r->ask.of.topic, r->topic);
  name_keep(&r->ask.of.node, r->node);
  r->from_ms = ask->from_ms;
  r->hours = ask->step_s * UINT64_C(1000) >= STORE_HOUR_MS;
  if (r->hours) r->from_ms -= r->from_ms % STORE_HOUR_MS;
  r->fn = fn;
  r->arg = arg;
  page_ask(r);
}
