/* Log lines: as text and as JSON, whatever is in them, and what is held back. */
#include "log.h"

#include "../tap.h"

#include <fcntl.h>
#include <jansson.h>
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
  unsigned seconds = (unsigned)(second() - began) + 1; /* that it had a part of: five lines in each */
  ok(written >= 5 && written <= 5 * seconds, "one that is repeated 100 times is held back (%u written)",
     written);
  for (int i = 0; i < 2; i++) log_info(log, i ? "q/u" : "q/t", i ? "again %d" : "another %d", i);
  is_int(lines(said()), 2, "another text or another subject is not");
  const char *told = "";
  for (int i = 0; i < 400 && !strstr(told, "held back"); i++) {
    log_info(log, "q/t", "again %d", i);
    told = said();
    usleep(10000);
  }
  like(told, " more like this were held back)", "how many were is told with the next");
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
  return done_testing();
}
