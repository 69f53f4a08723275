/* What is wrong, as the broker tells it: each problem in a sentence, since when, and what to do. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINES_OTHERS 21 /* of status, around the problems */
#define LINES_LEAST  3  /* for problems, however low the screen is */

int problems_get(struct ctl *x, json_t **ret) {
  struct answer a;
  *ret = NULL;
  int code = api_call(x, &(struct request){.method = "GET", .path = "/api/v1/problems"}, &a);
  if (code) return code;
  if (a.status == 200 && a.json)
    *ret = json_incref(a.json);
  else if (a.status != 404) /* an older broker has no such list */
    code = api_refused(x, &a);
  answer_done(&a);
  return code;
}

/* `text` in lines of `width` columns (0: in one line), broken between words; later lines stand two
 * columns further in. */
static void wrap(FILE *out, const char *text, size_t indent, size_t width) {
  for (bool first = true; *text; first = false) {
    size_t in = first ? indent : indent + 2, len, cut;
    text_cut(text, !width ? SIZE_MAX : width > in + 20 ? width - in : 20, &len);
    for (cut = len; text[len] && cut > len / 2; cut--)
      if (text[cut] == ' ') break;
    if (text[len] && cut > len / 2) len = cut;
    fprintf(out, "%*s%.*s\n", (int)in, "", (int)len, text);
    text += len;
    text += strspn(text, " ");
  }
}

/* What to do about it, but where the next problem says the same. */
static void todo_print(const struct ctl *x, json_t *p, json_t *next, FILE *out) {
  char *text;
  const char *chapter = get_text(p, "chapter");
  if (next && !strcmp(get_text(p, "todo"), get_text(next, "todo"))) return;
  if (asprintf(&text, "-> %s%s%s%s", get_text(p, "todo"), *chapter ? " (runbook: " : "", chapter,
               *chapter ? ")" : "") < 0)
    out_of_memory();
  char *plain = text_plain(text, false);
  fputs(color_on(x, DIM), out);
  wrap(out, plain, 4, terminal_width());
  fputs(color_off(x, DIM), out);
  free(plain);
  free(text);
}

static void problem_print(const struct ctl *x, json_t *p, json_t *next, FILE *out) {
  char since[2 * TEXT_MAX + 16] = "", a[TEXT_MAX], b[TEXT_MAX], *text;
  uint64_t at = get_u64(p, "since_ms"), now = wall_ms();
  if (at)
    snprintf(since, sizeof since, " Since %s (%s).", text_time(at, a),
             text_duration(now > at ? now - at : 0, b));
  if (asprintf(&text, "%s%s", get_text(p, "text"), since) < 0) out_of_memory();
  char *plain = text_plain(text, false);
  wrap(out, plain, 2, terminal_width());
  todo_print(x, p, next, out);
  free(plain);
  free(text);
}

/* Lines that leave room for the rest of status. */
static size_t lines_free(void) {
  struct winsize w;
  if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0) return SIZE_MAX;
  return w.ws_row > LINES_OTHERS + LINES_LEAST ? w.ws_row - LINES_OTHERS : LINES_LEAST;
}

/* As many as have room, and at least one. Returns their number. The last one that is shown says
 * what to do. */
static size_t list_print(const struct ctl *x, json_t *list) {
  size_t room = lines_free(), used = 0, i;
  json_t *p;
  json_array_foreach(list, i, p) {
    char *text = NULL;
    size_t len, lines = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) out_of_memory();
    problem_print(x, p, json_array_get(list, i + 1), out);
    fclose(out);
    for (const char *at = text; (at = strchr(at, '\n')); at++) lines++;
    bool fits = !i || used + lines <= room;
    if (fits) fputs(text, stdout);
    used += lines;
    free(text);
    if (!fits) break;
  }
  p = i ? json_array_get(list, i - 1) : NULL;
  if (p && i < json_array_size(list) &&
      !strcmp(get_text(p, "todo"), get_text(json_array_get(list, i), "todo")))
    todo_print(x, p, NULL, stdout);
  return i;
}

void problems_print(struct ctl *x, json_t *o) {
  char a[TEXT_MAX];
  uint64_t total = get_u64(o, "total");
  if (!total) total = json_array_size(get(o, "problems"));
  if (*get_text(o, "error")) {
    char *error = text_plain(get_text(o, "error"), false);
    printf("%sthere may be more problems: %s%s\n", color_on(x, YELLOW), error,
           color_off(x, YELLOW));
    free(error);
  }
  printf("%s%s%s\n", color_on(x, total ? RED : GREEN),
         total ? text_many(total, "problem", a) : "no problems", color_off(x, total ? RED : GREEN));
  size_t i = list_print(x, get(o, "problems"));
  if (total > i) printf("  and %s more: pepperbusctl status | less\n", text_count(total - i, a));
  putchar('\n');
}
