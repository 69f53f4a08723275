/* Owns the formatting of log lines and the holding back of repeats. Of the core it calls
 * utf8_sequence() alone. A line is one write(2), so that lines of several processes on one pipe
 * stay whole.
 */
#include "log.h"

#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 4096
#define LOG_SLOTS 64 /* remembered (subject, format) pairs; a collision only forgets */
#define LOG_BURST 5  /* lines a second for one pair */

struct slot {
  uint64_t key;
  time_t second;
  unsigned written, held;
};

struct log {
  int fd;
  enum pb_log_level level;
  bool json;
  struct slot slots[LOG_SLOTS];
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

struct log *log_new(int fd) {
  struct log *log = calloc(1, sizeof *log);
  if (!log) abort();
  log->fd = fd;
  log->level = PB_LOG_INFO;
  return log;
}

void log_free(struct log *log) { free(log); }

void log_configure(struct log *log, enum pb_log_level level, bool json) {
  log->level = level;
  log->json = json;
}

bool log_enabled(const struct log *log, enum pb_log_level level) { return level <= log->level; }

static uint64_t pair_key(const char *subject, const char *fmt) {
  uint64_t h = 1469598103934665603u ^ (uint64_t)(uintptr_t)fmt;
  for (; subject && *subject; subject++) h = (h ^ (unsigned char)*subject) * 1099511628211u;
  return h * 1099511628211u | 1;
}

/* How many lines of this pair were held back before this one, or -1: hold this one too. */
static int repeat_check(struct log *log, const char *subject, const char *fmt, time_t now) {
  uint64_t key = pair_key(subject, fmt);
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

struct line {
  char text[LOG_LINE_MAX];
  size_t len;
};

static void line_raw(struct line *l, const char *s) {
  for (; *s && l->len < LOG_LINE_MAX - 8; s++) l->text[l->len++] = *s;
}

/* Log text comes from workers and producers too: a newline in it must not forge a line, and bytes
 * that are no text must not spoil JSON. */
static void line_escaped(struct line *l, const char *s, bool json) {
  for (; *s && l->len < LOG_LINE_MAX - 16; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '\n' || c == '\r' || c == '\t') {
      l->text[l->len++] = '\\';
      l->text[l->len++] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    } else if (c < 0x20 || c == 0x7f) {
      l->len += (size_t)snprintf(l->text + l->len, 8, json ? "\\u%04x" : "\\x%02x", c);
    } else if (json && (c == '"' || c == '\\')) {
      l->text[l->len++] = '\\';
      l->text[l->len++] = (char)c;
    } else if (json && c >= 0x80) {
      size_t n = utf8_sequence((const unsigned char *)s, strnlen(s, 4));
      memcpy(l->text + l->len, n ? s : "\xef\xbf\xbd", n ? n : 3);
      l->len += n ? n : 3;
      s += n ? n - 1 : 0;
    } else {
      l->text[l->len++] = (char)c;
    }
  }
}

static void line_write(int fd, struct line *l) {
  size_t off = 0;
  l->text[l->len++] = '\n';
  while (off < l->len) {
    ssize_t n = write(fd, l->text + off, l->len - off);
    if (n > 0)
      off += (size_t)n;
    else if (n < 0 && errno == EINTR)
      continue;
    else
      return; /* nobody reads the log: there is nowhere to say so */
  }
}

void log_vwrite(struct log *log, enum pb_log_level level, const char *subject, const char *fmt,
                va_list ap) {
  if (!log_enabled(log, level)) return;
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  int held = repeat_check(log, subject, fmt, ts.tv_sec);
  if (held < 0) return;

  char text[LOG_LINE_MAX], when[64], extra[64] = "";
  vsnprintf(text, sizeof text, fmt, ap);
  struct tm tm;
  gmtime_r(&ts.tv_sec, &tm);
  size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
  snprintf(when + n, sizeof when - n, ".%03ldZ", ts.tv_nsec / 1000000);
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
  line_write(log->fd, &l);
}

void log_write(struct log *log, enum pb_log_level level, const char *subject, const char *fmt,
               ...) {
  va_list ap;
  va_start(ap, fmt);
  log_vwrite(log, level, subject, fmt, ap);
  va_end(ap);
}
