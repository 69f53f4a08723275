/* Test Anything Protocol for the C tests: header only, one test program per file.
 *
 *   #include "../tap.h"
 *   int main(void) {
 *     ok(1 + 1 == 2, "sums");
 *     is_int(parse("7"), 7, "parses %s", "7");
 *     return done_testing();
 *   }
 *
 * Works under automake's TAP driver and by plain exit status alike: 0 when every test passed,
 * 1 when one failed or when fewer ran than planned, 77 after skip_all(). Lines are flushed
 * one by one, so that what a crashing test said before is not lost, and forked children do
 * not print twice.
 */
#ifndef PB_TESTS_TAP_H
#define PB_TESTS_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAP_UNUSED            __attribute__((unused))
#define TAP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args), unused))

struct tap_state {
  unsigned run, failed, planned;
  bool plan_shown;
};

/* Weak, so that all files of one test program count together. */
__attribute__((weak)) struct tap_state tap_shared;

static TAP_UNUSED struct tap_state *tap_state(void) {
  return &tap_shared;
}

/* Says beforehand how many tests there are; without it done_testing() says so at the end. */
static TAP_UNUSED void plan(unsigned n) {
  tap_state()->planned = n;
  tap_state()->plan_shown = true;
  printf("1..%u\n", n);
  fflush(stdout);
}

/* A line for people. */
static TAP_PRINTF(1, 2) void diag(const char *fmt, ...) {
  char text[2048];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  printf("# ");
  for (const char *p = text; *p; p++) {
    putchar(*p);
    if (*p == '\n' && p[1]) printf("# ");
  }
  putchar('\n');
  fflush(stdout);
}

static TAP_UNUSED bool tap_vresult(bool pass, const char *file, int line, const char *fmt,
                                   va_list ap) {
  struct tap_state *t = tap_state();
  char name[512];

  vsnprintf(name, sizeof name, fmt, ap);
  for (char *p = name; *p; p++)
    if (*p == '#' || *p == '\n') *p = '.'; /* '#' would begin a directive */
  t->run++;
  if (!pass) t->failed++;
  printf("%s %u - %s\n", pass ? "ok" : "not ok", t->run, name);
  if (!pass) printf("#   failed at %s:%d\n", file, line);
  fflush(stdout);
  return pass;
}

static TAP_PRINTF(4, 5) bool tap_ok(bool pass, const char *file, int line, const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  tap_vresult(pass, file, line, fmt, ap);
  va_end(ap);
  return pass;
}

static TAP_PRINTF(5, 6) bool tap_is_int(intmax_t got, intmax_t want, const char *file, int line,
                                        const char *fmt, ...) {
  va_list ap;

  va_start(ap, fmt);
  tap_vresult(got == want, file, line, fmt, ap);
  va_end(ap);
  if (got != want) diag("  got %" PRIdMAX ", want %" PRIdMAX, got, want);
  return got == want;
}

static TAP_PRINTF(5, 6) bool tap_is_str(const char *got, const char *want, const char *file,
                                        int line, const char *fmt, ...) {
  bool pass = got && want ? strcmp(got, want) == 0 : got == want;
  va_list ap;

  va_start(ap, fmt);
  tap_vresult(pass, file, line, fmt, ap);
  va_end(ap);
  if (!pass) {
    diag("  got  %s%s%s", got ? "\"" : "", got ? got : "NULL", got ? "\"" : "");
    diag("  want %s%s%s", want ? "\"" : "", want ? want : "NULL", want ? "\"" : "");
  }
  return pass;
}

static TAP_PRINTF(6, 7) bool tap_like(const char *got, const char *part, bool want,
                                      const char *file, int line, const char *fmt, ...) {
  bool pass = (got && strstr(got, part) != NULL) == want;
  va_list ap;

  va_start(ap, fmt);
  tap_vresult(pass, file, line, fmt, ap);
  va_end(ap);
  if (!pass)
    diag("  got \"%s\", want %s \"%s\" in it", got ? got : "NULL", want ? "to find" : "no", part);
  return pass;
}

static TAP_UNUSED void tap_dump(const char *what, const void *data, size_t len) {
  const unsigned char *p = data;
  char line[4 * 32 + 1];
  size_t n = len < 32 ? len : 32, at = 0;

  for (size_t i = 0; i < n; i++)
    at += (size_t)snprintf(line + at, sizeof line - at,
                           p[i] >= ' ' && p[i] < 0x7f && p[i] != '\\' ? "%c" : "\\x%02x", p[i]);
  line[at] = 0;
  diag("  %s %zu bytes: %s%s", what, len, line, n < len ? "..." : "");
}

static TAP_PRINTF(7, 8) bool tap_is_mem(const void *got, size_t got_len, const void *want,
                                        size_t want_len, const char *file, int line,
                                        const char *fmt, ...) {
  bool pass = got_len == want_len && (!want_len || memcmp(got, want, want_len) == 0);
  va_list ap;

  va_start(ap, fmt);
  tap_vresult(pass, file, line, fmt, ap);
  va_end(ap);
  if (!pass) {
    size_t at = 0, least = got_len < want_len ? got_len : want_len;
    const unsigned char *g = got, *w = want;

    while (at < least && g[at] == w[at]) at++;
    diag("  differ at byte %zu", at);
    if (got) tap_dump("got ", g + at, got_len - at);
    if (want) tap_dump("want", w + at, want_len - at);
  }
  return pass;
}

/* Each takes a printf format and arguments as the test's name; each is true when it passed. */
#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...)                                                                     \
  tap_is_int((intmax_t)(got), (intmax_t)(want), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_mem(got, got_len, want, want_len, ...)                                                  \
  tap_is_mem((got), (got_len), (want), (want_len), __FILE__, __LINE__, __VA_ARGS__)
/* `part` stands (does not stand) somewhere in `got`. */
#define like(got, part, ...)   tap_like((got), (part), true, __FILE__, __LINE__, __VA_ARGS__)
#define unlike(got, part, ...) tap_like((got), (part), false, __FILE__, __LINE__, __VA_ARGS__)
#define pass(...)              tap_ok(true, __FILE__, __LINE__, __VA_ARGS__)
#define fail(...)              tap_ok(false, __FILE__, __LINE__, __VA_ARGS__)

/* Counts `n` tests that cannot run here as passed, and says why. */
static TAP_PRINTF(2, 3) void skip(unsigned n, const char *fmt, ...) {
  struct tap_state *t = tap_state();
  char text[256];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  while (n--) printf("ok %u # SKIP %s\n", ++t->run, text);
  fflush(stdout);
}

/* The whole program cannot run here: exits with 77. Before the first test only. */
static __attribute__((format(printf, 1, 2), unused, noreturn)) void skip_all(const char *fmt, ...) {
  char text[256];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  printf("1..0 # SKIP %s\n", text);
  fflush(stdout);
  exit(77);
}

/* The test program itself cannot go on (no memory, no socket...): exits with 1. */
static __attribute__((format(printf, 1, 2), unused, noreturn)) void bail_out(const char *fmt, ...) {
  char text[256];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  printf("Bail out! %s\n", text);
  fflush(stdout);
  exit(1);
}

/* What main() returns. */
static TAP_UNUSED int done_testing(void) {
  struct tap_state *t = tap_state();

  if (!t->plan_shown) printf("1..%u\n", t->run);
  if (t->plan_shown && t->run != t->planned)
    diag("planned %u tests but ran %u", t->planned, t->run);
  if (t->failed) diag("%u of %u tests failed", t->failed, t->run);
  fflush(stdout);
  return t->failed || (t->plan_shown && t->run != t->planned) ? 1 : 0;
}

#endif
