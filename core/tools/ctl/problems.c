/* What is wrong, as the broker tells it: each problem in a sentence, since when, and what to do. */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINES_EACH   3
#define LINES_OTHERS 20 /* of status, below the problems */
#define SHOWN_LEAST  3

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

/* `text` in lines of `width` columns (0: in one line), broken between words. */
static void wrap(const char *text, size_t indent, size_t width) {
  size_t room = !width ? SIZE_MAX : width > indent + 20 ? width - indent : 20;
  while (*text) {
    size_t len, cut;
    text_cut(text, room, &len);
    for (cut = len; text[len] && cut > len / 2; cut--)
      if (text[cut] == ' ') break;
    if (text[len] && cut > len / 2) len = cut;
    printf("%*s%.*s\n", (int)indent, "", (int)len, text);
    text += len;
    text += strspn(text, " ");
  }
}

static void problem_print(struct ctl *x, json_t *p) {
  char since[2 * TEXT_MAX] = "", a[TEXT_MAX], b[TEXT_MAX], *text, *todo;
  uint64_t at = get_u64(p, "since_ms"), now = wall_ms();
  if (at)
    snprintf(since, sizeof since, " Since %s (%s).", text_time(at, a),
             text_duration(now > at ? now - at : 0, b));
  if (asprintf(&text, "%s%s", get_text(p, "text"), since) < 0) out_of_memory();
  if (asprintf(&todo, "-> %s%s%s%s", get_text(p, "todo"),
               *get_text(p, "chapter") ? " (runbook: " : "", get_text(p, "chapter"),
               *get_text(p, "chapter") ? ")" : "") < 0)
    out_of_memory();
  char *plain = text_plain(text, false), *plain_todo = text_plain(todo, false);
  wrap(plain, 2, terminal_width());
  fputs(color_on(x, DIM), stdout);
  wrap(plain_todo, 4, terminal_width());
  fputs(color_off(x, DIM), stdout);
  free(plain);
  free(plain_todo);
  free(text);
  free(todo);
}

/* How many leave room for what stands below them. */
static size_t fitting(void) {
  struct winsize w;
  if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0) return SIZE_MAX;
  size_t n = w.ws_row > LINES_OTHERS ? (w.ws_row - LINES_OTHERS) / LINES_EACH : 0;
  return n > SHOWN_LEAST ? n : SHOWN_LEAST;
}

void problems_print(struct ctl *x, json_t *o) {
  size_t i, shown = fitting();
  json_t *p;
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
  json_array_foreach(get(o, "problems"), i, p) {
    if (i == shown) break;
    problem_print(x, p);
  }
  if (total > i) printf("  and %s more: pepperbusctl status | less\n", text_count(total - i, a));
  putchar('\n');
}
