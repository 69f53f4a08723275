/* Owns how values look to people, and which characters of foreign text may reach a terminal. */
#include "base/out_of_memory.h"
#include "base/utf8.h"
#include "tools/ctl/ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

void ctl_error(const char *fmt, ...) {
  va_list ap;
  char *text;
  va_start(ap, fmt);
  if (vasprintf(&text, fmt, ap) < 0) out_of_memory();
  va_end(ap);
  fputs("pepperbusctl: ", stderr);
  text_print(text, stderr);
  fputc('\n', stderr);
  free(text);
}

int print_json(json_t *o, int code) {
  json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
  putchar('\n');
  json_decref(o);
  return code;
}

const char *text_count(uint64_t n, char *ret) {
  char digits[24], *p = ret;
  int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
  for (int i = 0; i < len; i++) {
    if (i && (len - i) % 3 == 0) *p++ = ',';
    *p++ = digits[i];
  }
  *p = 0;
  return ret;
}

const char *text_many(uint64_t n, const char *one, char *ret) {
  char count[TEXT_MAX];
  snprintf(ret, TEXT_MAX, "%s %.28s%s", text_count(n, count), one, n == 1 ? "" : "s");
  return ret;
}

const char *text_rate(double v, char *ret) {
  snprintf(ret, TEXT_MAX, v < 0.005 ? "0/s" : v < 100 ? "%.1f/s" : "%.0f/s", v);
  return ret;
}

const char *text_bytes(uint64_t n, char *ret) {
  static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
  double v = (double)n;
  size_t unit = 0;
  for (; v >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) v /= 1024;
  snprintf(ret, TEXT_MAX, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
  return ret;
}

const char *text_duration(uint64_t ms, char *ret) {
  unsigned long long s = ms / 1000;
  if (ms < 1000)
    snprintf(ret, TEXT_MAX, "%llu ms", (unsigned long long)ms);
  else if (s < 60)
    snprintf(ret, TEXT_MAX, ms % 1000 && s < 10 ? "%.1f s" : "%.0f s", (double)ms / 1000);
  else if (s < 3600)
    snprintf(ret, TEXT_MAX, "%llum %llus", s / 60, s % 60);
  else if (s < 86400)
    snprintf(ret, TEXT_MAX, "%lluh %llum", s / 3600, s / 60 % 60);
  else
    snprintf(ret, TEXT_MAX, "%llud %lluh", s / 86400, s / 3600 % 24);
  return ret;
}

const char *text_time(uint64_t unix_ms, char *ret) {
  struct tm tm;
  time_t s = (time_t)(unix_ms / 1000);
  if (!unix_ms || !localtime_r(&s, &tm) || !strftime(ret, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm))
    strcpy(ret, "-");
  return ret;
}

bool duration_read(const char *text, uint64_t *ret_ms) {
  static const struct {
    const char *name;
    uint64_t ms;
  } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  char *end;
  if (*text < '0' || *text > '9') return false;
  unsigned long long n = strtoull(text, &end, 10);
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (!strcmp(end, units[i].name) && n <= UINT64_C(1) << 40) {
      *ret_ms = n * units[i].ms;
      return true;
    }
  return false;
}

bool moment_read(const char *text, const char *option, uint64_t *ret_ms) {
  static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
                                      "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
  uint64_t ms;
  if (duration_read(text, &ms)) {
    *ret_ms = wall_ms() > ms ? wall_ms() - ms : 1;
    return true;
  }
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    struct tm tm = {.tm_isdst = -1};
    const char *end = strptime(text, forms[i], &tm);
    time_t s = end && !*end ? mktime(&tm) : (time_t)-1;
    if (s <= 0) continue;
    *ret_ms = (uint64_t)s * 1000;
    return true;
  }
  ctl_error("%s is a time such as 30m, 2d, 2026-11-30 or \"2026-11-30 18:00\", not \"%s\"", option,
            text);
  return false;
}

const char *text_when(uint64_t unix_ms, char *ret) {
  struct tm tm, today;
  time_t s = (time_t)(unix_ms / 1000), now = time(NULL);
  if (!unix_ms || !localtime_r(&s, &tm) || !localtime_r(&now, &today)) return strcpy(ret, "-");
  bool same = tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year;
  strftime(ret, TEXT_MAX, same ? "%H:%M:%S" : "%m-%d %H:%M", &tm);
  return ret;
}

uint64_t wall_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t mono_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

json_t *get(json_t *o, const char *path) {
  char key[40];
  while (o) {
    size_t len = strcspn(path, ".");
    if (len >= sizeof key) return NULL;
    memcpy(key, path, len);
    key[len] = 0;
    o = json_object_get(o, key);
    if (!path[len]) return o;
    path += len + 1;
  }
  return NULL;
}

uint64_t get_u64(json_t *o, const char *path) {
  json_int_t v = json_integer_value(get(o, path));
  return v > 0 ? (uint64_t)v : 0;
}

double get_real(json_t *o, const char *path) {
  return json_number_value(get(o, path));
}

const char *get_text(json_t *o, const char *path) {
  const char *text = json_string_value(get(o, path));
  return text ? text : "";
}

bool get_bool(json_t *o, const char *path) {
  return json_is_true(get(o, path));
}

static bool ascii_shown(const char *text) {
  while (*text >= ' ' && *text < 0x7f) text++;
  return !*text;
}

/* An ASCII control character becomes a blank. Any other character that is not for a terminal
 * becomes an escape. */
char *text_plain(const char *text, bool multi) {
  char *out = NULL;
  size_t size, left = strlen(text);
  uint32_t code;
  if (ascii_shown(text)) { /* as nearly all are: a stream for each of 100,000 cells took its time */
    out = strdup(text);
    if (!out) out_of_memory();
    return out;
  }
  FILE *f = open_memstream(&out, &size);
  if (!f) out_of_memory();
  for (size_t n; left; text += n, left -= n) {
    n = utf8_unshown((const unsigned char *)text, left, &code);
    if (!n) {
      n = utf8_sequence((const unsigned char *)text, left);
      fwrite(text, 1, n, f);
    } else if (multi && code == '\n') {
      fputc('\n', f);
    } else if (code < 0x80) {
      fputc(' ', f);
    } else if (code & UTF8_BYTE) {
      fprintf(f, "\\x%02x", code & 0xff);
    } else {
      fprintf(f, code < 0x10000 ? "\\u%04x" : "\\u{%x}", code);
    }
  }
  if (fclose(f)) out_of_memory();
  return out;
}

size_t text_cut(const char *text, size_t max, size_t *ret_len) {
  mbstate_t state = {0};
  size_t width = 0;
  const char *p = text;
  while (*p) {
    wchar_t wc;
    if (*p >= ' ' && *p < 0x7f) {
      if (width == max) break;
      width++;
      p++;
      continue;
    }
    size_t n = mbrtowc(&wc, p, strlen(p), &state);
    int w = 1;
    if (n == (size_t)-1 || n == (size_t)-2) {
      n = 1;
      state = (mbstate_t){0};
    } else {
      w = wcwidth(wc);
      if (w < 0) w = 1;
    }
    if (width + (size_t)w > max) break;
    width += (size_t)w;
    p += n;
  }
  *ret_len = (size_t)(p - text);
  return width;
}

size_t text_width(const char *text) {
  size_t len;
  return text_cut(text, SIZE_MAX, &len);
}

void text_print(const char *text, FILE *out) {
  char *plain = text_plain(text, true);
  fputs(plain, out);
  free(plain);
}

/* Makes every text in the broker's answer plain. Line ends stay. */
void json_plain(json_t *o) {
  const char *key;
  size_t i;
  void *next;
  json_t *v;
  if (json_is_string(o)) {
    char *plain = text_plain(json_string_value(o), true);
    if (strcmp(plain, json_string_value(o))) json_string_set_nocheck(o, plain);
    free(plain);
  }
  if (json_is_array(o)) json_array_foreach(o, i, v) json_plain(v);
  if (json_is_object(o)) json_object_foreach_safe(o, next, key, v) json_plain(v);
}

char *text_value(json_t *value) {
  char *out = NULL, *text;
  size_t size, i;
  json_t *one;
  if (json_is_string(value)) return text_plain(json_string_value(value), false);
  FILE *f = open_memstream(&out, &size);
  if (!f) out_of_memory();
  if (json_is_array(value)) {
    json_array_foreach(value, i, one) {
      text = text_value(one);
      fprintf(f, "%s%s", i ? ", " : "", text);
      free(text);
    }
  } else if (json_is_boolean(value)) {
    fputs(json_is_true(value) ? "yes" : "no", f);
  } else if (json_is_real(value)) {
    fprintf(f, "%.15g", json_real_value(value));
  } else if ((text = json_dumps(value, JSON_ENCODE_ANY))) {
    fputs(text, f);
    free(text);
  }
  if (fclose(f)) out_of_memory();
  return out;
}

static const char *const escapes[] = {"", "\033[32m", "\033[33m", "\033[31m", "\033[1m", "\033[2m"};

const char *color_on(const struct ctl *x, enum color c) {
  return x->color ? escapes[c] : "";
}

const char *color_off(const struct ctl *x, enum color c) {
  return x->color && c != PLAIN ? "\033[0m" : "";
}

enum color state_color(const char *state) {
  static const struct {
    const char *state;
    enum color color;
  } colors[] = {
      {"open", GREEN},       {"ready", GREEN},       {"paused", YELLOW},  {"waiting", YELLOW},
      {"pinging", YELLOW},   {"connecting", YELLOW}, {"loading", YELLOW}, {"draining", YELLOW},
      {"unregistered", RED}, {"unreachable", RED},   {"broken", RED},     {"refused", RED},
      {"dead", RED},         {"quarantine", RED},    {"retry", YELLOW},   {"disabled", DIM}};
  for (size_t i = 0; i < sizeof colors / sizeof *colors; i++)
    if (strcmp(colors[i].state, state) == 0) return colors[i].color;
  return PLAIN;
}
