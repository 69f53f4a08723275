/* Owns the formatting of log lines and the holding back of repeats. Of the core it calls
 * utf8_unshown() and utf8_sequence() alone. A line is one write(2), so that lines of several
 * processes on one pipe stay whole.
 *
 * Must never happen: a write that waits for who reads the log.
 */
#include "base/log.h"

#include "base/hash.h"
#include "base/out_of_memory.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096
#define LOG_SLOTS    64 /* remembered (subject, format) pairs; a collision only forgets */
#define LOG_BURST    5  /* lines a second for one pair */

struct slot {
  uint64_t key;
  time_t second;
  unsigned written, held;
};

struct line {
  char text[LOG_LINE_MAX];
  size_t len;
};

struct log {
  int fd;
  bool socket, polled; /* how a write does not wait: see log_never_wait() */
  struct line rest;    /* its last `begun` bytes are still to be written */
  size_t begun;
  uint64_t dropped; /* lines since one was taken */
  uint64_t dropped_ever;
  enum pb_log_level level;
  bool json;
  struct slot slots[LOG_SLOTS];
  uint64_t tail_end; /* bytes of all lines so far; the last ones are in `tail` */
  char tail[LOG_TAIL_MAX];
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct log *log_new(int fd) {
  struct log *log = calloc(1, sizeof *log);
  if (!log) out_of_memory();
  log->fd = fd;
  log->level = PB_LOG_INFO;
  return log;
}

void log_free(struct log *log) {
  if (log) log_flush(log);
  free(log);
}

void log_configure(struct log *log, enum pb_log_level level, bool json) {
  log->level = level;
  log->json = json;
}

bool log_enabled(const struct log *log, enum pb_log_level level) {
  return level <= log->level;
}

static uint64_t key_add(uint64_t h, const char *text) {
  return text ? hash_bytes(h, text, strlen(text)) : h;
}

/* The key of a format that says nothing by itself (such as "%s") is its text: two faults of a
 * configuration are two messages. */
static uint64_t pair_key(const char *subject, const char *fmt, const char *text) {
  bool bare = !strcmp(fmt, "%s");
  uint64_t h = key_add(HASH_BEGIN ^ (bare ? 0 : (uint64_t)(uintptr_t)fmt), subject);
  return key_add(h, bare ? text : "") * 1099511628211u | 1;
}

/* How many lines of this pair were held back before this one, or -1: hold this one too. */
static int repeat_check(struct log *log, uint64_t key, time_t now) {
  struct slot *s = &log->slots[key % LOG_SLOTS];
  if (s->key != key) *s = (struct slot){.key = key, .second = now};
  if (s->second != now) {
    int held = (int)s->held;
    s->second = now;
    s->written = 1;
    s->held = 0;
    return held;
  }
  if (s->written >= LOG_BURST) {
    s->held++;
    return -1;
  }
  s->written++;
  return 0;
}

static void line_raw(struct line *l, const char *s) {
  for (; *s && l->len < LOG_LINE_MAX - 8; s++) l->text[l->len++] = *s;
}

/* Writes the escape of a character that is not shown. In JSON: the character itself, escaped. */
static size_t escape(char *to, size_t room, uint32_t code, bool json) {
  if (code == '\n' || code == '\r' || code == '\t')
    return (size_t)snprintf(to, room, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
  if (code & UTF8_BYTE && json) return (size_t)snprintf(to, room, "\xef\xbf\xbd");
  if (code & UTF8_BYTE) return (size_t)snprintf(to, room, "\\x%02x", code & 0xff);
  if (code < 0x80 && !json) return (size_t)snprintf(to, room, "\\x%02x", code);
  if (code < 0x10000) return (size_t)snprintf(to, room, "\\u%04x", code);
  if (!json) return (size_t)snprintf(to, room, "\\u{%x}", code);
  code -= 0x10000;
  return (size_t)snprintf(to, room, "\\u%04x\\u%04x", 0xd800 + (code >> 10),
                          0xdc00 + (code & 0x3ff));
}

/* Log text comes from workers and producers too: nothing in it may forge a line, move a cursor,
 * turn the text around it, or spoil JSON. */
static void line_escaped(struct line *l, const char *s, bool json) {
  uint32_t code;
  for (size_t n; *s && l->len < LOG_LINE_MAX - 16; s += n) {
    const unsigned char *p = (const unsigned char *)s;
    size_t left = strnlen(s, 4);
    if ((n = utf8_unshown(p, left, &code))) {
      l->len += escape(l->text + l->len, LOG_LINE_MAX - l->len, code, json);
      continue;
    }
    n = utf8_sequence(p, left);
    if (json && (*s == '"' || *s == '\\')) l->text[l->len++] = '\\';
    memcpy(l->text + l->len, s, n);
    l->len += n;
  }
}

/* --- writing --- */

/* Our standard error may be a pipe that nobody reads, or a terminal that Ctrl-S has stopped. A
 * write to it would block the broker. O_NONBLOCK belongs to the file description, which other
 * processes share, so we open a description of our own. A socket gets the flag at each send. */
void log_never_wait(struct log *log) {
  char path[32];
  struct stat st;
  if (fstat(log->fd, &st)) return;
  log->socket = S_ISSOCK(st.st_mode);
  if (!S_ISFIFO(st.st_mode) && !isatty(log->fd)) return;
  snprintf(path, sizeof path, "/proc/self/fd/%d", log->fd);
  int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own < 0) {
    log->polled = true; /* without /proc, or not allowed to */
    return;
  }
  /* The C library writes its last words at the end of a process there too. */
  dup2(own, log->fd);
  close(own);
}

static ssize_t write_some(struct log *log, const char *p, size_t n) {
  if (log->socket) return send(log->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
  struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
  if (log->polled && poll(&ready, 1, 0) != 1) {
    errno = EAGAIN;
    return -1;
  }
  return write(log->fd, p, n);
}

/* Writes the whole line, or returns false. The rest of a line that was begun is written first, on a
 * line by itself. */
static bool write_line(struct log *log, const char *p, size_t len) {
  while (len) {
    ssize_t n = write_some(log, p, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    p += n;
    len -= (size_t)n;
    log->begun = len;
  }
  return !len;
}

static bool write_rest(struct log *log) {
  size_t from = log->rest.len - log->begun;
  if (log->begun && !write_line(log, log->rest.text + from, log->begun)) return false;
  log->begun = 0;
  return true;
}

static void say_when(const struct timespec *ts, char *ret, size_t size) {
  struct tm tm;
  gmtime_r(&ts->tv_sec, &tm);
  size_t n = strftime(ret, size, "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(ret + n, size - n, ".%03ldZ", ts->tv_nsec / 1000000);
}

/* Writes the number of dropped lines once a line can be written again. */
static bool write_dropped(struct log *log) {
  char when[64];
  struct line l;
  struct timespec ts;
  if (!log->dropped) return true;
  clock_gettime(CLOCK_REALTIME, &ts);
  say_when(&ts, when, sizeof when);
  int n = snprintf(l.text, sizeof l.text,
                   log->json ? "{\"time\":\"%s\",\"level\":\"warning\",\"message\":\"%llu line%s "
                               "dropped: the log could not be written\"}\n"
                             : "%s warning: %llu line%s dropped: the log could not be written\n",
                   when, (unsigned long long)log->dropped, log->dropped == 1 ? " was" : "s were");
  l.len = (size_t)n;
  if (!write_line(log, l.text, l.len)) {
    if (!log->begun) return false;
    log->rest = l;
  }
  log->dropped_ever += log->dropped;
  log->dropped = 0;
  return !log->begun;
}

void log_flush(struct log *log) {
  if (write_rest(log)) (void)write_dropped(log);
}

static void tail_add(struct log *log, const char *p, size_t len) {
  size_t at = log->tail_end % LOG_TAIL_MAX, first = LOG_TAIL_MAX - at;
  if (first > len) first = len;
  memcpy(log->tail + at, p, first);
  memcpy(log->tail, p + first, len - first);
  log->tail_end += len;
}

char *log_tail(const struct log *log, size_t lines) {
  uint64_t end = log->tail_end, from = end > LOG_TAIL_MAX ? end - LOG_TAIL_MAX : 0, at = end;
  bool whole = !from; /* else its first line may have lost its beginning */
  for (size_t n = 0; at > from; at--)
    if (log->tail[(at - 1) % LOG_TAIL_MAX] == '\n' && n++ == lines) break;
  if (at == from && !whole)
    while (at < end && log->tail[at++ % LOG_TAIL_MAX] != '\n') {
    }
  char *ret = malloc((size_t)(end - at) + 1), *p = ret;
  for (; ret && at < end; at++) *p++ = log->tail[at % LOG_TAIL_MAX];
  if (ret) *p = 0;
  return ret;
}

static void line_write(struct log *log, struct line *l) {
  l->text[l->len++] = '\n';
  tail_add(log, l->text, l->len);
  log_flush(log);
  if (log->begun || log->dropped) {
    log->dropped++;
    return;
  }
  if (write_line(log, l->text, l->len)) return;
  if (log->begun)
    log->rest = *l; /* the rest of it goes before anything else */
  else
    log->dropped++;
}

uint64_t log_dropped(const struct log *log) {
  return log->dropped_ever + log->dropped;
}

void log_raw(struct log *log, const char *text) {
  while (*text) {
    struct line l = {.len = strcspn(text, "\n")};
    const char *next = text + l.len + (text[l.len] == '\n');
    if (l.len > LOG_LINE_MAX - 1) l.len = LOG_LINE_MAX - 1;
    memcpy(l.text, text, l.len);
    line_write(log, &l);
    text = next;
  }
}

void log_vwrite(struct log *log, enum pb_log_level level, const char *subject, const char *fmt,
                va_list ap) {
  if (!log_enabled(log, level)) return;
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  char text[LOG_LINE_MAX], when[64], extra[64] = "";
  vsnprintf(text, sizeof text, fmt, ap);
  int held = repeat_check(log, pair_key(subject, fmt, text), ts.tv_sec);
  if (held < 0) return;
  say_when(&ts, when, sizeof when);
  if (held > 0) snprintf(extra, sizeof extra, " (%d more like this were held back)", held);

  struct line l = {.len = 0};
  if (log->json) {
    line_raw(&l, "{\"time\":\"");
    line_raw(&l, when);
    line_raw(&l, "\",\"level\":\"");
    line_raw(&l, level_names[level]);
    if (subject) {
      line_raw(&l, "\",\"subject\":\"");
      line_escaped(&l, subject, true);
    }
    line_raw(&l, "\",\"message\":\"");
    line_escaped(&l, text, true);
    line_escaped(&l, extra, true);
    line_raw(&l, "\"}");
  } else {
    line_raw(&l, when);
    line_raw(&l, " ");
    line_raw(&l, level_names[level]);
    line_raw(&l, ": ");
    if (subject) {
      line_escaped(&l, subject, false);
      line_raw(&l, ": ");
    }
    line_escaped(&l, text, false);
    line_escaped(&l, extra, false);
  }
  line_write(log, &l);
}

void log_write(struct log *log, enum pb_log_level level, const char *subject, const char *fmt,
               ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(log, level, subject, fmt, ap);
  va_end(ap);
}
