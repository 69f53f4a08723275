/* Owns the picture of `top`: which columns fit, which topics match, in which order.
 *
 * Must never happen: a column or a topic that is left out without a word about it.
 */
#include "tools/ctl/top.h"

#include "base/out_of_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GAP       2
#define WHY_MIN   24 /* columns; with less room the reason stands below its topic */
#define INDENT    4
#define NAME_MIN  20
#define UNLIMITED 1e15 /* a backlog that does not drain, when sorting */

enum column_id { TOPIC, STATE, READY, RUNNING, RETRY, DEAD, DONE, FAILED, OLDEST, DRAIN, DELAYED };

/* `rank`: when room is short, the highest goes first; 0 always stays. The reason is no column of
 * this table: it has the rest of the row, or a line of its own. */
static const struct {
  const char *title;
  bool right;
  int rank;
} columns[] = {
    [TOPIC] = {"TOPIC", false, 0},    [STATE] = {"STATE", false, 0},
    [READY] = {"READY", true, 1},     [RUNNING] = {"RUNNING", true, 6},
    [RETRY] = {"RETRY", true, 8},     [DEAD] = {"DEAD", true, 3},
    [DONE] = {"DONE", true, 5},       [FAILED] = {"FAILED", true, 2},
    [OLDEST] = {"OLDEST", true, 4},   [DRAIN] = {"DRAIN", true, 7},
    [DELAYED] = {"DELAYED", true, 9},
};
#define N_COLUMNS (sizeof columns / sizeof *columns)

struct row {
  json_t *topic;
  const char *why;
  char *cells[N_COLUMNS];
  enum color colors[N_COLUMNS];
};

/* --- one topic --- */

/* Seconds until nothing is ready, by the rates of the node that is asked. 0: nothing is ready;
 * INFINITY: the backlog grows, or nothing runs. */
static double drain_s(json_t *o) {
  double ready = (double)topic_ready(o);
  double leave = get_real(o, "rates.done") + get_real(o, "rates.failed");
  double net = leave - get_real(o, "rates.accepted");
  if (ready < 1) return 0;
  return net > 0.01 ? ready / net : (double)INFINITY;
}

static uint64_t age_ms(json_t *o) {
  uint64_t oldest = get_u64(o, "counts.oldest_ms"), now = wall_ms();
  return oldest && oldest < now ? now - oldest : 0;
}

static const char *drain_text(json_t *o, char *ret) {
  double s = drain_s(o);
  if (s <= 0) return "-";
  if (isfinite(s)) return s < 1 ? "1 s" : text_duration((uint64_t)s * 1000, ret);
  return get_real(o, "rates.done") + get_real(o, "rates.failed") < 0.01 ? "stands" : "grows";
}

static const char *count_text(json_t *o, uint64_t n, char *ret) {
  return json_is_object(get(o, "counts")) ? text_count(n, ret) : "?";
}

static const char *cell_text(json_t *o, size_t column, char *ret) {
  switch (column) {
  case TOPIC:
    return get_text(o, "topic");
  case STATE:
    return get_text(o, "state");
  case READY:
    return count_text(o, topic_ready(o), ret);
  case RUNNING:
    return count_text(o, topic_running(o), ret);
  case RETRY:
    return count_text(o, get_u64(o, "counts.retry"), ret);
  case DEAD:
    return count_text(o, get_u64(o, "counts.dead"), ret);
  case DELAYED:
    return count_text(o, get_u64(o, "counts.delayed"), ret);
  case DONE:
    return text_rate(get_real(o, "rates.done"), ret);
  case FAILED:
    return text_rate(get_real(o, "rates.failed"), ret);
  case OLDEST:
    return age_ms(o) ? text_duration(age_ms(o), ret) : "-";
  default:
    return drain_text(o, ret);
  }
}

static enum color cell_color(json_t *o, size_t column) {
  switch (column) {
  case STATE:
    return state_color(get_text(o, "state"));
  case RETRY:
    return get_u64(o, "counts.retry") ? YELLOW : PLAIN;
  case DEAD:
    return get_u64(o, "counts.dead") ? RED : PLAIN;
  case FAILED:
    return get_real(o, "rates.failed") >= 0.005 ? RED : PLAIN;
  case DRAIN:
    return isfinite(drain_s(o)) ? PLAIN : YELLOW;
  default:
    return PLAIN;
  }
}

static void row_make(struct row *r, json_t *o) {
  char text[TEXT_MAX];
  r->topic = o;
  r->why = topic_why(o);
  for (size_t c = 0; c < N_COLUMNS; c++) {
    r->cells[c] = text_plain(cell_text(o, c, text), false);
    r->colors[c] = cell_color(o, c);
  }
}

/* --- order --- */

static double value_of(json_t *o, int column) {
  switch (column) {
  case READY:
    return (double)topic_ready(o);
  case RUNNING:
    return (double)topic_running(o);
  case RETRY:
    return get_real(o, "counts.retry");
  case DEAD:
    return get_real(o, "counts.dead");
  case DELAYED:
    return get_real(o, "counts.delayed");
  case DONE:
    return get_real(o, "rates.done");
  case FAILED:
    return get_real(o, "rates.failed");
  case OLDEST:
    return (double)age_ms(o);
  default:
    return fmin(drain_s(o), UNLIMITED);
  }
}

static double busyness(json_t *o) {
  return get_real(o, "counts.ready") + get_real(o, "counts.running") + get_real(o, "counts.retry") +
         get_real(o, "counts.dead");
}

/* What needs somebody stands first: by colour of the state. */
static int trouble(json_t *o) {
  enum color c = state_color(get_text(o, "state"));
  return c == RED ? 3 : c == YELLOW ? 2 : c == GREEN ? 1 : 0;
}

static int compare_doubles(double a, double b) {
  return a > b ? -1 : a < b;
}

/* First the topics that are running jobs, then those with waiting jobs. Rates that are nearly the
 * same count as the same, so that rows do not change places each second. */
static int by_business(json_t *a, json_t *b) {
  double ra = get_real(a, "rates.done") + get_real(a, "rates.failed");
  double rb = get_real(b, "rates.done") + get_real(b, "rates.failed");
  if (ra >= 0.05 || rb >= 0.05) {
    if (ra > rb * 1.2 + 0.1) return -1;
    if (rb > ra * 1.2 + 0.1) return 1;
  }
  return compare_doubles(busyness(a), busyness(b));
}

static int by_order(const void *pa, const void *pb, void *arg) {
  const struct top *v = arg;
  json_t *a = ((const struct row *)pa)->topic, *b = ((const struct row *)pb)->topic;
  int names = strcmp(get_text(a, "topic"), get_text(b, "topic")), c;
  if (v->sort == TOP_BUSIEST)
    c = by_business(a, b);
  else if (v->sort == TOPIC)
    c = names;
  else if (v->sort == STATE)
    c = trouble(b) - trouble(a);
  else
    c = compare_doubles(value_of(a, v->sort), value_of(b, v->sort));
  if (v->reverse) c = -c;
  return c ? c : names;
}

void top_sort_step(struct top *v, int step) {
  int n = (int)N_COLUMNS + 1; /* and "busiest" */
  v->sort = (v->sort + 1 + step + n) % n - 1;
  v->first = 0;
}

size_t top_figures(void) {
  return N_COLUMNS - STATE - 1;
}

bool top_column(const char *title, int *ret, char **ret_titles) {
  size_t len;
  *ret = TOP_BUSIEST;
  *ret_titles = NULL;
  if (!strcasecmp(title, "busiest")) return true;
  for (size_t c = 0; c < N_COLUMNS; c++)
    if (!strcasecmp(title, columns[c].title)) {
      *ret = (int)c;
      return true;
    }
  FILE *f = open_memstream(ret_titles, &len);
  if (!f) out_of_memory();
  fputs("busiest", f);
  for (size_t c = 0; c < N_COLUMNS; c++) {
    fputs(", ", f);
    for (const char *p = columns[c].title; *p; p++) fputc(*p | 0x20, f);
  }
  if (fclose(f)) out_of_memory();
  return false;
}

/* --- rows --- */

static bool row_matches(json_t *o, const char *filter) {
  return !*filter || strcasestr(get_text(o, "topic"), filter) ||
         strcasestr(get_text(o, "state"), filter) || strcasestr(topic_why(o), filter);
}

static struct row *rows_new(struct top *v, json_t *topics, size_t *ret_n) {
  size_t n = 0, i;
  json_t *o;
  struct row *rows = calloc(json_array_size(topics) + 1, sizeof *rows);
  if (!rows) out_of_memory();
  json_array_foreach(topics, i, o) if (row_matches(o, v->filter)) row_make(&rows[n++], o);
  qsort_r(rows, n, sizeof *rows, by_order, v);
  *ret_n = n;
  return rows;
}

static void rows_free(struct row *rows, size_t n) {
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < N_COLUMNS; c++) free(rows[i].cells[c]);
  free(rows);
}

/* --- columns that fit --- */

struct layout {
  size_t width[N_COLUMNS];
  bool used[N_COLUMNS];
  size_t why; /* columns for the reason; 0: it stands below */
  size_t n_hidden;
};

static size_t layout_total(const struct layout *l) {
  size_t total = 0;
  for (size_t c = 0; c < N_COLUMNS; c++)
    if (l->used[c]) total += l->width[c] + (total ? GAP : 0);
  return total;
}

/* The column that goes first; N_COLUMNS: none may go. */
static size_t layout_least(const struct layout *l) {
  size_t least = N_COLUMNS;
  for (size_t c = 0; c < N_COLUMNS; c++)
    if (l->used[c] && columns[c].rank &&
        (least == N_COLUMNS || columns[c].rank > columns[least].rank))
      least = c;
  return least;
}

/* Widths are those of all rows that match, so that nothing jumps when the page is turned. */
static struct layout layout_make(const struct top *v, const struct row *rows, size_t n) {
  struct layout l = {.n_hidden = v->skip};
  size_t most = v->width / 2 > NAME_MIN ? v->width / 2 : NAME_MIN;
  for (size_t c = 0; c < N_COLUMNS; c++) {
    l.width[c] = strlen(columns[c].title);
    for (size_t i = 0; i < n; i++) {
      size_t w = text_width(rows[i].cells[c]);
      if (w > l.width[c]) l.width[c] = w;
    }
    l.used[c] = c <= STATE || c > STATE + v->skip;
  }
  if (!v->width) {
    l.why = SIZE_MAX;
    return l;
  }
  if (l.width[TOPIC] > most) l.width[TOPIC] = most;
  for (size_t c; layout_total(&l) > v->width && (c = layout_least(&l)) < N_COLUMNS; l.n_hidden++)
    l.used[c] = false;
  size_t total = layout_total(&l) + GAP;
  if (v->width >= total + WHY_MIN) l.why = v->width - total;
  return l;
}

/* --- drawing --- */

static void cell_put(const struct top *v, FILE *out, const char *text, enum color color,
                     size_t width, bool right, bool last) {
  size_t len, got = text_cut(text, width, &len);
  bool cut = text[len];
  if (cut) got = text_cut(text, width - 1, &len) + 1;
  if (right) fprintf(out, "%*s", (int)(width - got), "");
  fprintf(out, "%s%.*s%s%s", color_on(v->x, color), (int)len, text, cut ? "~" : "",
          color_off(v->x, color));
  if (!right && !last) fprintf(out, "%*s", (int)(width - got), "");
}

static void titles_put(const struct top *v, FILE *out, const struct layout *l) {
  for (size_t c = 0; c < N_COLUMNS; c++) {
    if (!l->used[c]) continue;
    if (c) fprintf(out, "%*s", GAP, "");
    cell_put(v, out, columns[c].title, BOLD, l->width[c], columns[c].right, false);
  }
  if (l->why) fprintf(out, "%*s%sWHY%s", GAP, "", color_on(v->x, BOLD), color_off(v->x, BOLD));
  fputc('\n', out);
}

static void row_put(const struct top *v, FILE *out, const struct layout *l, const struct row *r) {
  char *why = text_plain(r->why, false);
  for (size_t c = 0; c < N_COLUMNS; c++) {
    if (!l->used[c]) continue;
    if (c) fprintf(out, "%*s", GAP, "");
    cell_put(v, out, r->cells[c], r->colors[c], l->width[c], columns[c].right, false);
  }
  if (*why && l->why) {
    fprintf(out, "%*s", GAP, "");
    cell_put(v, out, why, PLAIN, l->why, false, true);
  } else if (*why) {
    fprintf(out, "\n%*s", INDENT, "");
    cell_put(v, out, why, DIM, v->width - INDENT, false, true);
  }
  fputc('\n', out);
  free(why);
}

static size_t row_lines(const struct layout *l, const struct row *r) {
  return !l->why && *r->why ? 2 : 1;
}

void top_move(struct top *v, long by) {
  if (by < 0)
    v->first = v->first > (size_t)-by ? v->first - (size_t)-by : 0;
  else if (v->first + v->shown < v->matching)
    v->first += (size_t)by;
}

/* Moves the page back where it would end with empty lines. */
static void page_fit(struct top *v, const struct layout *l, const struct row *rows, size_t n,
                     size_t room) {
  size_t lines = 0, last = n;
  while (last && lines + row_lines(l, &rows[last - 1]) <= room)
    lines += row_lines(l, &rows[--last]);
  if (v->first > last) v->first = last;
}

/* A text that is cut at the edge of the screen. */
static void line_put(const struct top *v, FILE *out, enum color color, const char *text) {
  cell_put(v, out, text, color, v->width ? v->width : SIZE_MAX / 2, false, true);
}

/* ": 38 open, 1 disabled" of the node's topics, as far as `room` columns reach. */
static void states_put(struct top *v, json_t *status, size_t room, FILE *out) {
  const char *state;
  json_t *n;
  char text[2 * TEXT_MAX];
  bool first = true;
  json_object_foreach(get(status, "topic_states"), state, n) {
    if (!json_integer_value(n)) continue;
    int len = snprintf(text, sizeof text, "%lld %.40s", (long long)json_integer_value(n), state);
    if (v->width && (size_t)len + 3 > room) {
      fputs("~", out);
      break;
    }
    enum color color = state_color(state);
    fprintf(out, "%s%s%s%s", first ? ": " : ", ", color_on(v->x, color), text,
            color_off(v->x, color));
    room -= (size_t)len + 2;
    first = false;
  }
  fputc('\n', out);
}

static void head_put(struct top *v, json_t *status, FILE *out) {
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX], text[400];
  bool ready = get_bool(status, "ready");
  const char *word = ready ? "ready" : "not ready";
  enum color color = ready ? GREEN : RED;
  char *node = text_plain(get_text(status, "node"), false);
  snprintf(text, sizeof text, ", up %s, %s; %s", text_duration(get_u64(status, "uptime_ms"), a),
           text_many(get_u64(status, "clients.open"), "client", b),
           text_many(get_u64(status, "topics"), "topic", c));
  fprintf(out, "%s %s%s%s%s", node, color_on(v->x, color), word, color_off(v->x, color), text);
  size_t used = text_width(node) + 1 + strlen(word) + strlen(text);
  states_put(v, status, v->width > used ? v->width - used : 0, out);
  free(node);
  snprintf(text, sizeof text, "%s added, %s done, %s failed; %s dead since start",
           text_rate(get_real(status, "totals.rates.accepted"), a),
           text_rate(get_real(status, "totals.rates.done"), b),
           text_rate(get_real(status, "totals.rates.failed"), c),
           text_count(get_u64(status, "totals.dispatch.dead"), d));
  line_put(v, out, PLAIN, text);
  fputc('\n', out);
}

/* "topics 1 to 17 of 40, by READY; filter "mail": 3 of 40 topics match" */
static void page_put(struct top *v, size_t all, FILE *out) {
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], text[320];
  const char *order = v->sort == TOP_BUSIEST ? "busiest first" : columns[v->sort].title;
  int at = 0;
  if (v->typing || *v->filter)
    at = snprintf(text, sizeof text, "filter: %s%s (%s of %s match); ", v->filter,
                  v->typing ? "_" : "", text_count(v->matching, a), text_many(all, "topic", b));
  snprintf(text + at, sizeof text - (size_t)at, "topics %s to %s of %s, %s%s%s",
           text_count(v->matching ? v->first + 1 : 0, a), text_count(v->first + v->shown, b),
           text_count(v->matching, c), v->sort == TOP_BUSIEST ? "" : "sorted by ", order,
           v->reverse ? ", reversed" : "");
  line_put(v, out, v->typing ? BOLD : PLAIN, text);
  fputc('\n', out);
}

static void foot_put(struct top *v, const struct layout *l, FILE *out) {
  char text[400];
  int at = 0;
  if (v->typing) {
    line_put(v, out, DIM, "type a part of a name, state or reason; Enter keeps it, Esc drops it");
    return;
  }
  if (l->n_hidden) {
    at = snprintf(text, sizeof text, "hidden:");
    for (size_t c = 0; c < N_COLUMNS; c++)
      if (!l->used[c]) at += snprintf(text + at, sizeof text - (size_t)at, " %s", columns[c].title);
    snprintf(text + at, sizeof text - (size_t)at, "; the arrows left and right move the columns");
    line_put(v, out, YELLOW, text);
  }
  fputc('\n', out);
  line_put(v, out, DIM, "q end  / filter  < > sort  b busiest  r reverse  space - page  g G ends");
}

/* Head: two lines, the page, a blank one, titles. Foot: two lines. */
#define OTHER_LINES 7

void top_draw(struct top *v, json_t *status, json_t *topics, FILE *out) {
  size_t n, lines = 0;
  struct row *rows = rows_new(v, topics, &n);
  struct layout l = layout_make(v, rows, n);
  size_t room = !v->height ? SIZE_MAX : v->height > OTHER_LINES ? v->height - OTHER_LINES : 1;
  v->matching = n;
  page_fit(v, &l, rows, n, room);
  size_t end = v->first;
  while (end < n && lines + row_lines(&l, &rows[end]) <= room) lines += row_lines(&l, &rows[end++]);
  v->shown = end - v->first;
  head_put(v, status, out);
  if (v->height) page_put(v, json_array_size(topics), out);
  fputc('\n', out);
  titles_put(v, out, &l);
  for (size_t i = v->first; i < end; i++) row_put(v, out, &l, &rows[i]);
  if (v->height) {
    for (; lines < room; lines++) fputc('\n', out);
    foot_put(v, &l, out);
  }
  rows_free(rows, n);
}
