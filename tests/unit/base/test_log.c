/* Log lines: as text and as JSON, whatever is in them, and what is held back. */
#include "base/log.h"

#include "tap.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static int pipe_fd[2];

/* What was written since the last call. */
static const char *said(void) {
  static char text[65536];
  ssize_t n = read(pipe_fd[0], text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  return text;
}

static unsigned lines(const char *text) {
  unsigned n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

static void test_text(struct log *log) {
  log_info(log, "msg/reply", "%d jobs", 3);
  like(said(), "Z info: msg/reply: 3 jobs\n", "level, subject, text");
  log_warning(log, NULL, "alone");
  like(said(), "Z warning: alone\n", "without a subject");
  log_error(log, "s", "two\nlines\r\t\033[31m\177");
  like(said(), "s: two\\nlines\\r\\t\\x1b[31m\\x7f\n",
       "nothing in it makes a line, or moves a cursor");
  /* @case X5: C1 controls, line breaks of Unicode, marks that turn or hide text, bytes of no text
   */
  log_error(log, "s2\xc2\x9b",
            "a\xc2\x9b"
            "2J \xe2\x80\xa8 \xe2\x80\xae \xef\xbb\xbf \xe2\x81\xa6 \x9b \xf3\xa0\x81\x81 "
            "\xc3\xa4\xe4\xb8\xad\xf0\x9f\x9a\x8c");
  like(said(),
       "s2\\u009b: a\\u009b2J \\u2028 \\u202e \\ufeff \\u2066 \\x9b \\u{e0041} "
       "\xc3\xa4\xe4\xb8\xad\xf0\x9f\x9a\x8c\n",
       "nor do those that are no ASCII");
  log_debug(log, NULL, "not shown");
  is_str(said(), "", "below the level");
  log_configure(log, PB_LOG_ERROR, false);
  log_warning(log, NULL, "not shown either");
  is_str(said(), "", "another level");
  log_error(log, NULL, "shown");
  like(said(), "error: shown\n", "and what is graver");
  log_configure(log, PB_LOG_DEBUG, false);
  log_debug(log, NULL, "now it is");
  like(said(), "debug: now it is\n", "debug");
}

/* A line of `text` is sound JSON with this message. */
static void json_case(struct log *log, const char *name, const char *text, const char *want) {
  static unsigned n; /* each its own subject: five a second are not held back */
  json_error_t at;
  char subject[80];
  snprintf(subject, sizeof subject, "msg/%u \"x\\", n++);
  log_warning(log, subject, "%s%s", name, text);
  const char *line = said();
  is_int(lines(line), 1, "%s: one line", name);
  json_t *o = json_loads(line, 0, &at);
  ok(o != NULL, "%s: is JSON", name);
  if (!o) {
    diag("%s: %s", at.text, line);
    return;
  }
  is_str(json_string_value(json_object_get(o, "level")), "warning", "%s: level", name);
  is_str(json_string_value(json_object_get(o, "subject")), subject, "%s: subject", name);
  like(json_string_value(json_object_get(o, "time")), "T", "%s: time", name);
  const char *message = json_string_value(json_object_get(o, "message"));
  ok(!strncmp(message, name, strlen(name)), "%s: message", name);
  if (want) is_str(message + strlen(name), want, "%s: its text", name);
  json_decref(o);
}

static void test_json(struct log *log) {
  char text[9000];
  log_configure(log, PB_LOG_INFO, true);
  json_case(log, "plain", " words", " words");
  json_case(log, "quotes", "\"a\\b\"", "\"a\\b\"");
  json_case(log, "control characters", "a\nb\r\t\001\033\177", "a\nb\r\t\001\033\177");
  static const char utf8[] = "\xc3\xa4 \xe4\xb8\xad \xf0\x9f\x9a\x8c";
  json_case(log, "UTF-8", utf8, utf8);
  static const char odd[] = "\xc2\x9b \xe2\x80\xa8 \xe2\x80\xae \xef\xbb\xbf \xf3\xa0\x81\x81";
  json_case(log, "controls of Unicode", odd, odd);
  log_warning(log, "raw", "%s", odd);
  like(said(), "\\u009b \\u2028 \\u202e \\ufeff \\udb40\\udc41", "they stand there as escapes");
  json_case(log, "Latin-1", "gr\xfc\xdf", "gr\xef\xbf\xbd\xef\xbf\xbd");
  json_case(log, "a cut sequence", "x\xe4\xb8", "x\xef\xbf\xbd\xef\xbf\xbd");
  json_case(log, "a surrogate", "\xed\xa0\x80.", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.");
  for (size_t i = 0; i < 5; i++) { /* cut wherever it may be */
    memset(text, 'x', i);
    for (size_t k = i; k + 3 < sizeof text; k += 3) memcpy(text + k, "\xe4\xb8\xad", 4);
    json_case(log, "too long", text, NULL);
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = 0;
    json_case(log, "too long, to be escaped", text + i, NULL);
  }
  log_info(log, NULL, "no subject");
  unlike(said(), "\"subject\":", "without a subject there is none");
  log_configure(log, PB_LOG_INFO, false);
}

/* By the clock that the log goes by: time(2) is behind it after a second's beginning. */
static time_t second(void) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return ts.tv_sec;
}

static void test_repeats(struct log *log) {
  unsigned written = 0;
  const char *first;
  time_t began = second();
  for (int i = 0; i < 100; i++) log_info(log, "q/t", "again %d", i);
  first = said();
  written = lines(first);
  unsigned seconds =
      (unsigned)(second() - began) + 1; /* that it had a part of: five lines in each */
  ok(written >= 5 && written <= 5 * seconds,
     "one that is repeated 100 times is held back (%u written)", written);
  for (int i = 0; i < 2; i++) log_info(log, i ? "q/u" : "q/t", i ? "again %d" : "another %d", i);
  is_int(lines(said()), 2, "another text or another subject is not");
  const char *told = "";
  for (int i = 0; i < 400 && !strstr(told, "held back"); i++) {
    log_info(log, "q/t", "again %d", i);
    told = said();
    usleep(10000);
  }
  like(told, " more like this were held back)", "how many were is told with the next");

  /* All faults of a configuration are told, however many there are in a second. */
  for (int i = 0; i < 40; i++) {
    char fault[32];
    snprintf(fault, sizeof fault, "fault number %d", i);
    log_error(log, NULL, "%s", fault);
  }
  is_int(lines(said()), 40, "lines whose texts differ are no repeats");
}

/* @case S2: nobody reads the log: no line waits, they are counted, and the count is said later */
static void test_unread(void) {
  int fd[2], n = 0;
  static char text[200000];
  if (pipe(fd)) bail_out("pipe");
  struct log *log = log_new(fd[1]);
  log_never_wait(log);
  is_int(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0, "the reader's end is as it was");
  char subject[20];
  for (; n < 5000; n++) {
    snprintf(subject, sizeof subject, "s%d", n);
    log_info(log, subject, "%0100d", n);
  }
  uint64_t dropped = log_dropped(log);
  ok(dropped > 0 && dropped < 5000, "%d of 5000 lines were dropped", (int)dropped);
  fcntl(fd[0], F_SETFL, O_NONBLOCK);
  ssize_t got = 0, k;
  while ((k = read(fd[0], text + got, sizeof text - (size_t)got - 1)) > 0) got += k;
  text[got] = 0;
  log_flush(log);
  log_info(log, "later", "again");
  while ((k = read(fd[0], text + got, sizeof text - (size_t)got - 1)) > 0) got += k;
  text[got] = 0;
  uint64_t said_of = 0;
  unsigned told = 0;
  for (const char *p = text; (p = strstr(p, " warning: ")); told++) /* a short line may still fit */
    said_of += strtoull(p += 10, NULL, 10);
  is_int((int)said_of, (int)dropped, "the count is said");
  is_int((int)(lines(text) - told + dropped), 5001, "none is unaccounted for");
  is_int((int)log_dropped(log), (int)dropped, "counted ever");
  close(fd[0]);
  log_info(log, "closed", "nobody is there any more");
  is_int((int)(log_dropped(log) - dropped), 1, "a reader that has gone");
  log_free(log);
  close(fd[1]);
}

/* @case S2: a disk that is full */
static void test_full_disk(void) {
  int fd = open("/dev/full", O_WRONLY);
  if (fd < 0) return;
  struct log *log = log_new(fd);
  log_info(log, NULL, "one");
  log_info(log, NULL, "two");
  is_int((int)log_dropped(log), 2, "lines that a full disk did not take are counted");
  log_free(log);
  close(fd);
}

static void tail_is(const struct log *log, size_t lines, size_t n, const char *first,
                    const char *name) {
  char *text = log_tail(log, lines);
  size_t got = 0;
  for (const char *p = text; (p = strchr(p, '\n')); p++) got++;
  is_int(got, n, "%s: number of lines", name);
  ok(!strncmp(text, first, strlen(first)), "%s: begins with %s", name, first);
  free(text);
}

static void test_tail(void) {
  char line[64];
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  struct log *log = log_new(fd);
  tail_is(log, 10, 0, "", "nothing was logged");
  log_raw(log, "one\ntwo\nthree\n");
  tail_is(log, 10, 3, "one\n", "fewer than asked for");
  tail_is(log, 2, 2, "two\n", "the last ones");
  tail_is(log, 0, 0, "", "none");
  for (int i = 0; i < 20000; i++) {
    snprintf(line, sizeof line, "line %05d\n", i);
    log_raw(log, line);
  }
  tail_is(log, 3, 3, "line 19997\n", "when the oldest are gone");
  tail_is(log, 100000, LOG_TAIL_MAX / 11, "line ", "as many whole lines as there is room for");
  log_free(log);
  close(fd);
}

int main(void) {
  struct log *log;
  if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK)) bail_out("pipe2");
  fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20);
  log = log_new(pipe_fd[1]);
  test_text(log);
  test_json(log);
  test_repeats(log);
  log_free(log);
  signal(SIGPIPE, SIG_IGN);
  test_unread();
  test_full_disk();
  test_tail();
  return done_testing();
}
