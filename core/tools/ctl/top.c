/* The live view: status and topics, once a second, until q or Ctrl-C.
 *
 * Plain ANSI on the alternate screen. Signals come through a descriptor, so that the terminal is
 * always given back as it was.
 */
#include "tools/ctl/top.h"

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
/* A list that takes long is asked for less often, so that looking costs the broker little. */
#define REST_FACTOR 4

/* What was seen last. */
struct seen {
  json_t *status, *topics;
};

static void seen_done(struct seen *s) {
  json_decref(s->status);
  json_decref(s->topics);
  *s = (struct seen){NULL, NULL};
}

static int look(struct ctl *x, struct seen *ret) {
  struct seen s = {NULL, NULL};
  char *path = path_query(strdup("/api/v1/topics"), "queue", x->args.queue);
  path = path_query(path, "system", x->args.system);
  int code = api_get(x, "/api/v1/status", &s.status);
  if (!code) code = api_get(x, path, &s.topics);
  free(path);
  if (code) {
    seen_done(&s);
    return code;
  }
  seen_done(ret);
  *ret = s;
  return CTL_OK;
}

static int print_once(struct ctl *x, struct top *v) {
  struct seen s = {NULL, NULL};
  int code = look(x, &s);
  if (code) return code;
  if (x->args.json) {
    json_object_set(s.status, "topic_list", get(s.topics, "topics"));
    print_json(json_incref(s.status), CTL_OK);
  } else {
    top_draw(v, s.status, get(s.topics, "topics"), stdout);
  }
  seen_done(&s);
  return CTL_OK;
}

/* The picture is drawn into memory first. Then it is written at once, line by line over the old
 * one. */
static void draw(struct top *v, const struct seen *s) {
  struct winsize w = {.ws_row = 24, .ws_col = 80};
  char *text = NULL, *line, *end;
  size_t len = 0;
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
  v->width = w.ws_col >= 20 ? w.ws_col : 20;
  v->height = w.ws_row;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  top_draw(v, s->status, get(s->topics, "topics"), out);
  fclose(out);
  /* A line is emptied before it is written: behind it, the last column of a full line would go. */
  fputs("\033[H", stdout);
  for (line = text; (end = strchr(line, '\n')); line = end + 1)
    printf("\033[K%.*s\n", (int)(end - line), line);
  printf("\033[K%s", line);
  fflush(stdout);
  free(text);
}

/* Asks and draws. A broker that restarts is asked again; meanwhile the words of api.c about it
 * stay on the screen. */
static int refresh(struct ctl *x, struct top *v, struct seen *s, int before) {
  if (before) {
    api_free(x->api); /* its token may be a new one */
    x->api = NULL;
    fputs("\033[H\033[2J", stdout);
    fflush(stdout);
  }
  int code = look(x, s);
  if (!code) draw(v, s);
  return code;
}

/* --- keys --- */

#define ESCAPE    '\033'
#define BACKSPACE 0x7f

static void filter_key(struct top *v, unsigned char key) {
  size_t len = strlen(v->filter);
  v->first = 0;
  if (key == ESCAPE) {
    v->typing = false;
    v->filter[0] = 0;
  } else if (key == '\r' || key == '\n') {
    v->typing = false;
  } else if (key == BACKSPACE || key == '\b') {
    while (len && ((unsigned char)v->filter[len - 1] & 0xc0) == 0x80) len--; /* of UTF-8 */
    v->filter[len ? len - 1 : 0] = 0;
  } else if (key >= ' ' && len + 1 < sizeof v->filter) {
    v->filter[len] = (char)key;
    v->filter[len + 1] = 0;
  }
}

static void columns_move(struct top *v, int step) {
  if (step < 0 && v->skip) v->skip--;
  if (step > 0 && v->skip + 1 < top_figures()) v->skip++;
}

/* The next key of what was read. What terminals send as several bytes is one key: the letter that
 * does the same, 0 for one that does nothing. */
static char key_next(const char *keys, size_t n, size_t *at, bool *ret_special) {
  static const struct {
    const char *bytes;
    char key;
  } known[] = {{"[A", 'k'},  {"OA", 'k'}, {"[B", 'j'},  {"OB", 'j'},  {"[C", 'l'}, {"OC", 'l'},
               {"[D", 'h'},  {"OD", 'h'}, {"[5~", '-'}, {"[6~", ' '}, {"[H", 'g'}, {"OH", 'g'},
               {"[1~", 'g'}, {"[F", 'G'}, {"OF", 'G'},  {"[4~", 'G'}};
  char key = keys[(*at)++];
  *ret_special = key == ESCAPE && *at + 1 < n && strchr("[O", keys[*at]);
  if (!*ret_special) return key;
  size_t begin = *at, end = begin + 1;
  while (end + 1 < n && (unsigned char)keys[end] < '@') end++; /* a letter or ~ ends it */
  *at = end + 1;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strlen(known[i].bytes) == *at - begin &&
        !strncmp(keys + begin, known[i].bytes, *at - begin))
      return known[i].key;
  return 0;
}

/* False: it is the end. */
static bool key_do(struct top *v, char key) {
  switch (key) {
  case 'q':
  case 'Q':
    return false;
  case '/':
    v->typing = true;
    break;
  case '<':
  case ',':
    top_sort_step(v, -1);
    break;
  case '>':
  case '.':
    top_sort_step(v, 1);
    break;
  case 'b':
    v->sort = TOP_BUSIEST;
    v->reverse = false;
    v->first = 0;
    break;
  case 'r':
    v->reverse = !v->reverse;
    break;
  case 'j':
    top_move(v, 1);
    break;
  case 'k':
    top_move(v, -1);
    break;
  case ' ':
    top_move(v, (long)v->shown);
    break;
  case '-':
    top_move(v, -(long)v->shown);
    break;
  case 'g':
    v->first = 0;
    break;
  case 'G':
    v->first = TOP_LAST;
    break;
  case 'h':
    columns_move(v, -1);
    break;
  case 'l':
    columns_move(v, 1);
    break;
  }
  return true;
}

static bool keys_do(struct top *v) {
  char keys[64];
  bool special;
  ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
  if (n <= 0) return false;
  for (size_t at = 0; at < (size_t)n;) {
    char key = key_next(keys, (size_t)n, &at, &special);
    if (v->typing && !special)
      filter_key(v, (unsigned char)key);
    else if (!v->typing && !key_do(v, key))
      return false;
  }
  return true;
}

/* --- the loop --- */

enum next { NEXT_END, NEXT_DRAW, NEXT_LOOK };

static enum next wait_next(struct top *v, int signals, int ms) {
  struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  if (poll(fds, 2, ms) == 0) return NEXT_LOOK;
  if (fds[1].revents) {
    struct signalfd_siginfo si;
    bool resized = read(signals, &si, sizeof si) == sizeof si && si.ssi_signo == SIGWINCH;
    return resized ? NEXT_DRAW : NEXT_END;
  }
  if (fds[0].revents) return keys_do(v) ? NEXT_DRAW : NEXT_END;
  return NEXT_LOOK;
}

static int watch(struct ctl *x, struct top *v, int signals) {
  struct seen s = {NULL, NULL};
  enum next next = NEXT_LOOK;
  int code = CTL_OK;
  uint64_t due = 0;
  while (next != NEXT_END) {
    uint64_t before = mono_ms();
    if (next == NEXT_LOOK || before >= due) {
      code = refresh(x, v, &s, code);
      uint64_t took = mono_ms() - before;
      due = mono_ms() + (took * REST_FACTOR > REFRESH_MS ? took * REST_FACTOR : REFRESH_MS);
    } else if (!code) {
      draw(v, &s);
    }
    uint64_t now = mono_ms();
    next = wait_next(v, signals, due > now ? (int)(due - now) : 0);
  }
  seen_done(&s);
  return code;
}

int verb_top(struct ctl *x) {
  struct top v = {.x = x, .sort = TOP_BUSIEST};
  struct termios before, raw;
  sigset_t set, old;
  json_t *first;
  char *titles;
  if (x->args.sort && !top_column(x->args.sort, &v.sort, &titles)) {
    ctl_error("--sort %s is none of %s", x->args.sort, titles);
    free(titles);
    return CTL_USAGE;
  }
  if (!x->tty || x->args.json || tcgetattr(STDIN_FILENO, &before) < 0) return print_once(x, &v);
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
  code = watch(x, &v, signals);
  fputs("\033[?7h\033[?25h\033[?1049l", stdout);
  fflush(stdout);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  close(signals);
  sigprocmask(SIG_SETMASK, &old, NULL);
  return code;
}
