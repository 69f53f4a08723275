/* The live view: status and topics, once a second, until q or Ctrl-C.
 *
 * Plain ANSI on the alternate screen. Signals come through a descriptor, so that the terminal is
 * always given back as it was.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define REFRESH_MS 1000
#define HEAD_LINES 4 /* above the table, its title included */

static uint64_t busyness(json_t *o) {
  return get_u64(o, "counts.ready") + get_u64(o, "counts.running") + get_u64(o, "counts.retry") +
         get_u64(o, "counts.dead");
}

/* First the topics that are running jobs, then those with waiting jobs, then by name. */
static int by_business(const void *pa, const void *pb) {
  json_t *a = *(json_t *const *)pa, *b = *(json_t *const *)pb;
  double ra = get_real(a, "rates.done") + get_real(a, "rates.failed");
  double rb = get_real(b, "rates.done") + get_real(b, "rates.failed");
  if (ra >= 0.05 || rb >= 0.05) {
    if (ra > rb * 1.2 + 0.1) return -1;
    if (rb > ra * 1.2 + 0.1) return 1;
  }
  uint64_t na = busyness(a), nb = busyness(b);
  if (na != nb) return na > nb ? -1 : 1;
  return strcmp(get_text(a, "topic"), get_text(b, "topic"));
}

static json_t *sorted(json_t *topics) {
  size_t n = json_array_size(topics);
  json_t **list = calloc(n + 1, sizeof *list), *ret = json_array();
  if (!list) out_of_memory();
  for (size_t i = 0; i < n; i++) list[i] = json_array_get(topics, i);
  qsort(list, n, sizeof *list, by_business);
  for (size_t i = 0; i < n; i++) json_array_append(ret, list[i]);
  free(list);
  return ret;
}

/* `rows` 0: all. */
static int print_once(struct ctl *x, FILE *out, size_t width, size_t rows) {
  json_t *status = NULL, *topics = NULL;
  char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX], d[TEXT_MAX];
  char *path = path_query(strdup("/api/v1/topics"), "queue", x->args.queue);
  path = path_query(path, "system", x->args.system);
  int code = api_get(x, "/api/v1/status", &status);
  if (!code) code = api_get(x, path, &topics);
  free(path);
  if (code) {
    json_decref(status);
    return code;
  }
  if (x->args.json) {
    json_object_set_new(status, "topic_list", json_incref(get(topics, "topics")));
    json_decref(topics);
    return print_json(status, CTL_OK);
  }
  bool ready = get_bool(status, "ready");
  enum color color = ready ? GREEN : RED;
  fprintf(out, "%s %s%s%s, up %s, %s\n", get_text(status, "node"), color_on(x, color),
          ready ? "ready" : "not ready", color_off(x, color),
          text_duration(get_u64(status, "uptime_ms"), a),
          text_many(get_u64(status, "clients.open"), "client", b));
  fprintf(out, "%s added, %s done, %s failed; %s dead since start\n\n",
          text_rate(get_real(status, "totals.rates.accepted"), a),
          text_rate(get_real(status, "totals.rates.done"), b),
          text_rate(get_real(status, "totals.rates.failed"), c),
          text_count(get_u64(status, "totals.dispatch.dead"), d));
  json_t *list = sorted(get(topics, "topics"));
  table_print(topics_table(x, list), out, width, rows);
  json_decref(list);
  json_decref(status);
  json_decref(topics);
  return CTL_OK;
}

/* The picture is drawn into memory first. Then it is written at once, line by line over the old
 * one. A broker that restarts is asked again; meanwhile the words of api.c about it stay on the
 * screen. */
static int draw(struct ctl *x, int before) {
  struct winsize w = {.ws_row = 24, .ws_col = 80};
  char *text = NULL;
  size_t len = 0;
  if (before) {
    api_free(x->api); /* its token may be a new one */
    x->api = NULL;
    fputs("\033[H\033[2J", stdout);
    fflush(stdout);
  }
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  size_t rows = w.ws_row > HEAD_LINES + 2 ? w.ws_row - HEAD_LINES - 1u : 1;
  int code = print_once(x, out, w.ws_col, rows);
  fclose(out);
  if (!code) {
    fputs("\033[H", stdout);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
      printf("%.*s\033[K\n", (int)(end - line), line);
    fputs("\033[J\033[2mq ends\033[0m", stdout);
    fflush(stdout);
  }
  free(text);
  return code;
}

/* Until something is to be drawn again (true) or it is the end. */
static bool wait_next(int signals) {
  struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  int n = poll(fds, 2, REFRESH_MS);
  if (n == 0) return true;
  if (fds[1].revents) {
    struct signalfd_siginfo si;
    return read(signals, &si, sizeof si) == sizeof si && si.ssi_signo == SIGWINCH;
  }
  if (fds[0].revents) {
    char key = 'q';
    ssize_t got = read(STDIN_FILENO, &key, 1);
    return got == 1 && key != 'q' && key != 'Q';
  }
  return true;
}

int verb_top(struct ctl *x) {
  struct termios before, raw;
  sigset_t set, old;
  if (!x->tty || x->args.json || tcgetattr(STDIN_FILENO, &before) < 0)
    return print_once(x, stdout, terminal_width(), 0);
  json_t *first;
  int code = api_get(x, "/api/v1/status", &first); /* a fault is printed on the plain screen */
  if (code) return code;
  json_decref(first);
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGWINCH);
  sigprocmask(SIG_BLOCK, &set, &old);
  int signals = signalfd(-1, &set, SFD_CLOEXEC);
  if (signals < 0) abort();
  raw = before;
  raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
  fputs("\033[?1049h\033[?25l\033[?7l\033[2J", stdout);
  do code = draw(x, code);
  while (wait_next(signals));
  fputs("\033[?7h\033[?25h\033[?1049l", stdout);
  fflush(stdout);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  close(signals);
  sigprocmask(SIG_SETMASK, &old, NULL);
  return code;
}
