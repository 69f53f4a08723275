/* Verbs that write failed jobs to a file, and read them from one.
 *
 * Must never happen: a file that is not whole under the name that was asked for; an import that
 * ends without saying how far it came.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (1u << 20) /* of one request, but for a longer line */
#define PIECE_LINES 2000
#define FAULTS_TOLD 10

static bool is_standard(const char *name) {
  return !name || !strcmp(name, "-");
}

static void unreadable(const char *name) {
  ctl_error("cannot read %s: %s", is_standard(name) ? "standard input" : name, strerror(errno));
}

/* --- export --- */

struct file {
  const char *name; /* NULL: standard output */
  char *part;       /* where it is until it is whole */
  FILE *out;
  bool shows, failed, counts; /* counts: a line is a job */
  uint64_t lines, bytes, told;
};

static void export_progress(struct file *f) {
  char a[TEXT_MAX], b[TEXT_MAX];
  if (!f->shows || f->bytes - f->told < PIECE_BYTES) return;
  f->told = f->bytes;
  fprintf(stderr, "\r\033[K%s%s%s", f->counts ? text_many(f->lines, "job", a) : "",
          f->counts ? ", " : "", text_bytes(f->bytes, b));
}

static bool on_data(void *arg, const char *data, size_t len) {
  struct file *f = arg;
  if (fwrite(data, 1, len, f->out) != len) {
    f->failed = true;
    return false;
  }
  for (const char *p = data; (p = memchr(p, '\n', len - (size_t)(p - data))); p++) f->lines++;
  f->bytes += len;
  export_progress(f);
  return true;
}

/* Contents are nobody else's to read. False: told. */
static bool file_begin(struct file *f) {
  f->out = stdout;
  if (!f->name) return true;
  if (asprintf(&f->part, "%s.part", f->name) < 0) out_of_memory();
  int fd = open(f->part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  f->out = fd >= 0 ? fdopen(fd, "w") : NULL;
  if (f->out) return true;
  ctl_error("cannot write %s: %s", f->part, strerror(errno));
  free(f->part);
  return false;
}

/* The exit code. */
static int file_end(struct file *f, int code) {
  bool failed = fflush(f->out) != 0 || f->failed;
  if (f->name && fclose(f->out) != 0) failed = true;
  if (!code && f->name && !failed) failed = rename(f->part, f->name) != 0;
  if (failed) ctl_error("cannot write %s: %s", f->name ? f->name : "it", strerror(errno));
  if (f->name && (failed || code)) unlink(f->part);
  free(f->part);
  return code ? code : failed ? CTL_NO : CTL_OK;
}

static int export_call(struct ctl *x, const char *path, struct file *f) {
  struct answer a;
  int code = api_call(
      x, &(struct request){.method = "GET", .path = path, .sink = on_data, .sink_arg = f}, &a);
  if (f->shows) fputs("\r\033[K", stderr);
  if (code) {
    if (f->bytes && !f->failed) ctl_error("what was exported so far is not whole");
    return code;
  }
  if (a.status == 404 && strstr(get_text(a.json, "error"), "no such path")) {
    ctl_error("this broker is too old: it cannot export failed jobs");
    code = CTL_NO;
  } else if (a.status != 200) {
    code = api_refused(x, &a);
  }
  answer_done(&a);
  return code;
}

int verb_topic_export(struct ctl *x) {
  struct file f = {.name = is_standard(x->args.rest[1]) ? NULL : x->args.rest[1]};
  char a[TEXT_MAX], b[TEXT_MAX];
  json_t *filter = filter_json(x);
  if (!filter) return CTL_USAGE;
  char *path = filter_query(path_topic(x, "/failed/export"), filter);
  json_decref(filter);
  path = path_query(path, "format", x->args.format);
  path = path_query(path, "content", x->args.no_content ? "0" : NULL);
  f.counts = !x->args.format || !strcmp(x->args.format, "jsonl");
  f.shows = isatty(STDERR_FILENO) && (f.name || !isatty(STDOUT_FILENO));
  int code = path && file_begin(&f) ? CTL_OK : CTL_USAGE;
  if (!code) code = file_end(&f, export_call(x, path, &f));
  free(path);
  if (code || !f.name) return code;
  if (x->args.json)
    return print_json(json_pack("{ss sI}", "file", f.name, "bytes", (json_int_t)f.bytes), CTL_OK);
  printf("%s: %s%s%s\n", f.name, f.counts ? text_many(f.lines, "job", a) : "", f.counts ? ", " : "",
         text_bytes(f.bytes, b));
  return CTL_OK;
}

/* --- import --- */

struct import {
  struct ctl *x;
  FILE *in;
  char *path;
  char *piece, *line; /* line: read, and not in the piece yet */
  size_t len, cap, line_cap;
  ssize_t line_len; /* -1: no more */
  uint64_t lines;   /* of the pieces before */
  json_t *sum;
};

static void piece_add(struct import *m) {
  size_t n = (size_t)m->line_len;
  if (m->len + n > m->cap) {
    m->cap = 2 * (m->len + n);
    if (!(m->piece = realloc(m->piece, m->cap))) out_of_memory();
  }
  memcpy(m->piece + m->len, m->line, n);
  m->len += n;
}

/* The next lines. False: there are none, or they cannot be read. */
static bool piece_read(struct import *m) {
  m->len = 0;
  for (size_t n = 0; n < PIECE_LINES && m->line_len >= 0; n++) {
    if (m->len && m->len + (size_t)m->line_len > PIECE_BYTES) return true;
    piece_add(m);
    m->line_len = getline(&m->line, &m->line_cap, m->in);
  }
  return m->len > 0;
}

static void sum_add(struct import *m, json_t *o) {
  static const char *const numbers[] = {"lines", "imported", "there", "wrong"};
  json_t *fault;
  size_t i;
  for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
    json_object_set_new(
        m->sum, numbers[i],
        json_integer((json_int_t)(get_u64(m->sum, numbers[i]) + get_u64(o, numbers[i]))));
  json_array_foreach(get(o, "faults"), i, fault) {
    json_t *copy = json_pack("{sI sO}", "line", (json_int_t)(m->lines + get_u64(fault, "line")),
                             "why", get(fault, "why"));
    json_array_append_new(get(m->sum, "faults"), copy);
  }
  m->lines += get_u64(o, "lines");
}

static void import_progress(struct import *m, bool last) {
  char a[TEXT_MAX];
  if (m->x->args.json || !isatty(STDERR_FILENO)) return;
  fprintf(stderr, last ? "\r\033[K" : "\r\033[K%s", text_many(m->lines, "line", a));
}

static int piece_send(struct import *m) {
  struct answer a;
  struct request r = {.method = "POST", .path = m->path, .body = m->piece, .body_len = m->len};
  int code = api_call(m->x, &r, &a);
  if (code) return code;
  if (json_is_array(get(a.json, "faults"))) sum_add(m, a.json);
  if (a.status == 404 && strstr(get_text(a.json, "error"), "no such path")) {
    ctl_error("this broker is too old: it cannot import failed jobs");
    code = CTL_NO;
  } else if (a.status != 200 || !json_is_object(a.json)) {
    code = api_refused(m->x, &a);
  }
  answer_done(&a);
  import_progress(m, false);
  return code;
}

static int import_told(struct import *m, int code) {
  char a[TEXT_MAX], b[TEXT_MAX];
  size_t i;
  json_t *v, *o = m->sum;
  bool broke = code != CTL_OK;
  if (!code && get_u64(o, "wrong")) code = CTL_NO;
  if (m->x->args.json && !broke) return print_json(json_incref(o), code);
  json_array_foreach(get(o, "faults"), i, v) {
    if (i == FAULTS_TOLD) break;
    fprintf(stderr, "line %llu: %s\n", (unsigned long long)get_u64(v, "line"), get_text(v, "why"));
  }
  printf("%s: %s imported", m->x->args.rest[0], text_many(get_u64(o, "imported"), "job", a));
  if (get_u64(o, "there")) printf(", %s there already", text_count(get_u64(o, "there"), b));
  if (get_u64(o, "wrong")) printf(", %s wrong", text_many(get_u64(o, "wrong"), "line", b));
  puts(broke ? "; it broke off, run it again: jobs that came are there already" : "");
  return code;
}

int verb_topic_import(struct ctl *x) {
  const char *name = x->args.rest[1];
  struct import m = {.x = x};
  int code = CTL_OK;
  m.path = path_query(path_topic(x, "/failed/import"), "state", x->args.dead ? "dead" : NULL);
  if (!m.path) return CTL_USAGE;
  m.in = is_standard(name) ? stdin : fopen(name, "re");
  if (!m.in) {
    unreadable(name);
    free(m.path);
    return CTL_USAGE;
  }
  m.sum = json_pack("{ss si si si si s[]}", "topic", x->args.rest[0], "lines", 0, "imported", 0,
                    "there", 0, "wrong", 0, "faults");
  errno = 0;
  m.line_len = getline(&m.line, &m.line_cap, m.in);
  while (!code && piece_read(&m)) code = piece_send(&m);
  if (!code && ferror(m.in)) {
    unreadable(name);
    code = CTL_USAGE;
  }
  import_progress(&m, true);
  code = import_told(&m, code);
  if (m.in != stdin) fclose(m.in);
  json_decref(m.sum);
  free(m.piece);
  free(m.line);
  free(m.path);
  return code;
}
