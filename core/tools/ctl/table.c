/* Owns tables: cells are collected, then printed with columns as wide as their widest cell.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP       2
#define INDENT    4 /* of what stands below its row */
#define BELOW_MAX 6 /* lines */

struct cell {
  char *text;
  enum color color;
};

struct table {
  const struct ctl *x;
  const struct column *columns;
  size_t n_columns, n, cap;
  struct cell *cells;
};

struct table *table_new(const struct ctl *x, const struct column *columns, size_t n) {
  struct table *t = calloc(1, sizeof *t);
  if (!t) out_of_memory();
  t->x = x;
  t->columns = columns;
  t->n_columns = n;
  return t;
}

void table_add(struct table *t, enum color c, const char *text) {
  if (t->n == t->cap) {
    t->cap = t->cap ? 2 * t->cap : 64;
    t->cells = realloc(t->cells, t->cap * sizeof *t->cells);
    if (!t->cells) out_of_memory();
  }
  t->cells[t->n++] = (struct cell){.text = text_plain(text, false), .color = c};
}

void table_addf(struct table *t, enum color c, const char *fmt, ...) {
  char *text;
  va_list ap;
  va_start(ap, fmt);
  if (vasprintf(&text, fmt, ap) < 0) out_of_memory();
  va_end(ap);
  table_add(t, c, text);
  free(text);
}

void table_count(struct table *t, enum color c, uint64_t n) {
  char text[TEXT_MAX];
  table_add(t, n ? c : PLAIN, text_count(n, text));
}

static void pad(FILE *out, size_t n) {
  while (n--) fputc(' ', out);
}

static void print_cell(const struct table *t, FILE *out, size_t column, const struct cell *c,
                       size_t width, size_t room) {
  size_t len, got = text_cut(c->text, room ? room : SIZE_MAX, &len);
  bool last = column + 1 == t->n_columns, cut = c->text[len];
  if (cut && room > 1) got = text_cut(c->text, room - 1, &len);
  if (t->columns[column].right && got < width) pad(out, width - got);
  fprintf(out, "%s%.*s%s%s", color_on(t->x, c->color), (int)len, c->text, cut ? "~" : "",
          color_off(t->x, c->color));
  if (!last && !t->columns[column].right && got < width) pad(out, width - got);
}

/* `c` below its row, broken between words where it can be. */
static void print_below(const struct table *t, FILE *out, const struct cell *c, size_t screen) {
  const char *p = c->text;
  for (int line = 0; line < BELOW_MAX && *p; line++) {
    size_t len;
    text_cut(p, screen - INDENT - 1, &len);
    bool rest = p[len];
    for (size_t n = len; rest && line + 1 < BELOW_MAX && n > len / 2; n--)
      if (p[n] == ' ') {
        len = n;
        break;
      }
    pad(out, INDENT);
    fprintf(out, "%s%.*s%s%s\n", color_on(t->x, c->color), (int)len, p,
            rest && line + 1 == BELOW_MAX ? "~" : "", color_off(t->x, c->color));
    p += len;
    p += strspn(p, " ");
  }
}

void table_free(struct table *t) {
  for (size_t i = 0; i < t->n; i++) free(t->cells[i].text);
  free(t->cells);
  free(t);
}

void table_print(struct table *t, FILE *out, size_t screen, size_t max_rows) {
  size_t n = t->n_columns, rows = t->n / n, before = 0, len;
  size_t *width = calloc(n, sizeof *width);
  if (!width) out_of_memory();
  for (size_t i = 0; i < n; i++) width[i] = strlen(t->columns[i].title);
  for (size_t i = 0; i < rows * n; i++) {
    size_t w = text_cut(t->cells[i].text, SIZE_MAX, &len);
    if (w > width[i % n]) width[i % n] = w;
  }
  for (size_t i = 0; i + 1 < n; i++) before += width[i] + GAP;
  size_t room = !screen ? SIZE_MAX : screen > before ? screen - before : 0;
  bool text = !t->columns[n - 1].right; /* of numbers nothing is cut, and nothing goes below */
  for (size_t i = 0; i < n; i++) {
    struct cell title = {.text = (char *)t->columns[i].title, .color = BOLD};
    if (i + 1 == n && text && strlen(title.text) > room) continue;
    if (i) pad(out, GAP);
    print_cell(t, out, i, &title, width[i], 0);
  }
  fputc('\n', out);
  for (size_t r = 0; r < rows && (!max_rows || r < max_rows); r++) {
    const struct cell *last = &t->cells[r * n + n - 1];
    bool fits = !text || text_cut(last->text, SIZE_MAX, &len) <= room;
    for (size_t i = 0; i + 1 < n; i++) {
      if (i) pad(out, GAP);
      print_cell(t, out, i, &t->cells[r * n + i], width[i], 0);
    }
    if (*last->text && (fits || (max_rows && room > 1))) {
      if (n > 1) pad(out, GAP);
      print_cell(t, out, n - 1, last, text ? 0 : width[n - 1], fits ? 0 : room);
    }
    fputc('\n', out);
    if (!fits && !max_rows) print_below(t, out, last, screen);
  }
  free(width);
  table_free(t);
}

size_t terminal_width(void) {
  struct winsize w;
  if (!isatty(STDOUT_FILENO)) return 0;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col < 20) return 80;
  return w.ws_col;
}
