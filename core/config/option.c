/* Owns the forms of values: numbers, sizes, durations and so on. Calls arena and suggest.
 *
 * Must never happen: the broker reads a value differently from a person. So a duration needs its
 * unit, and nothing is rounded or cut.
 */
#include "config/option.h"

#include "base/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
  const char *name;
  uint64_t factor;
};

static const struct unit duration_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                             {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit size_units[] = {
    {"b", 1},         {"kb", 1u << 10},          {"mb", 1u << 20},
    {"gb", 1u << 30}, {"tb", UINT64_C(1) << 40}, {NULL, 0}};

static const char *const type_names[] = {
    [PB_OPT_STRING] = "text", [PB_OPT_BOOL] = "yes or no",          [PB_OPT_INT] = "number",
    [PB_OPT_SIZE] = "size",   [PB_OPT_DURATION] = "duration",       [PB_OPT_CHOICE] = "choice",
    [PB_OPT_LIST] = "list",   [PB_OPT_RANGE] = "range of durations"};
static const size_t type_sizes[] = {
    [PB_OPT_STRING] = sizeof(const char *), [PB_OPT_BOOL] = sizeof(int),
    [PB_OPT_INT] = sizeof(int64_t),         [PB_OPT_SIZE] = sizeof(uint64_t),
    [PB_OPT_DURATION] = sizeof(uint64_t),   [PB_OPT_CHOICE] = sizeof(int),
    [PB_OPT_LIST] = sizeof(const char **),  [PB_OPT_RANGE] = sizeof(struct pb_range)};

/* Where a sentence about a fault goes. */
struct why {
  char *text;
  size_t size;
};

static int refuse(struct why why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct why why, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  if (why.size) vsnprintf(why.text, why.size, fmt, ap);
  va_end(ap);
  return -EINVAL;
}

size_t option_size(const struct pb_option *o) {
  return o->type < sizeof type_sizes / sizeof *type_sizes ? type_sizes[o->type] : 0;
}

const char *option_type_name(const struct pb_option *o) {
  return option_size(o) ? type_names[o->type] : "";
}

const struct pb_option *option_next(struct options t, const struct pb_option *o) {
  if (!t.first) return NULL;
  o = o ? (const struct pb_option *)((const char *)o + t.stride) : t.first;
  return o->name ? o : NULL;
}

const struct pb_option *option_find(struct options t, const char *name) {
  for (const struct pb_option *o = NULL; (o = option_next(t, o));)
    if (strcmp(o->name, name) == 0) return o;
  return NULL;
}

static const void *member(const void *conf, const struct pb_option *o) {
  return (const char *)conf + o->offset;
}

/* Choices: "no,yes,auto". */

static size_t choice_len(const char *choices) {
  return strcspn(choices, ",");
}

static const char *choice_next(const char *choices) {
  choices += choice_len(choices);
  return *choices ? choices + 1 : NULL;
}

static int choice_index(const char *choices, const char *text) {
  int n = 0;
  for (const char *c = choices; c; c = choice_next(c), n++)
    if (strlen(text) == choice_len(c) && strncasecmp(c, text, choice_len(c)) == 0) return n;
  return -1;
}

static void choices_text(const char *choices, char *ret, size_t size) {
  size_t len = 0;
  *ret = 0;
  for (const char *c = choices, *next; c && len < size; c = next) {
    next = choice_next(c);
    const char *join = c == choices ? "" : next ? ", " : " or ";
    int n = snprintf(ret + len, size - len, "%s%.*s", join, (int)choice_len(c), c);
    len += n > 0 ? (size_t)n : 0;
  }
}

/* Numbers with units. */

static const struct unit *units_of(const struct pb_option *o) {
  return o->type == PB_OPT_SIZE ? size_units : o->type == PB_OPT_INT ? NULL : duration_units;
}

/* `n` in the largest unit that divides it: 60000 is "1m". */
static void number_text(const struct unit *units, int64_t n, char *ret, size_t size) {
  const struct unit *best = NULL;
  for (const struct unit *u = units; u && u->name && n > 0; u++)
    if ((uint64_t)n % u->factor == 0) best = u;
  if (best && best->factor == 1 && best == size_units) best = NULL;
  if (best)
    snprintf(ret, size, "%" PRIu64 "%s", (uint64_t)n / best->factor, best->name);
  else
    snprintf(ret, size, "%" PRId64, n);
}

void option_range_text(const struct pb_option *o, char *ret, size_t size) {
  char from[32], to[32];
  *ret = 0;
  if (o->type == PB_OPT_CHOICE) choices_text(o->choices, ret, size);
  if (o->type != PB_OPT_INT && o->type != PB_OPT_SIZE && o->type != PB_OPT_DURATION &&
      o->type != PB_OPT_RANGE)
    return;
  number_text(units_of(o), o->min, from, sizeof from);
  number_text(units_of(o), o->max, to, sizeof to);
  if (o->max)
    snprintf(ret, size, "%s to %s", from, to);
  else
    snprintf(ret, size, "%s or more", from);
}

/* Digits; false on overflow. `ret_rest` is where they end. */
static bool digits_read(const char *text, uint64_t *ret, const char **ret_rest) {
  uint64_t n = 0;
  for (; isdigit((unsigned char)*text); text++)
    if (__builtin_mul_overflow(n, 10u, &n) ||
        __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
      return false;
  *ret = n;
  *ret_rest = text;
  return true;
}

static int bounds_check(const struct pb_option *o, int64_t n, struct why why) {
  char range[96];
  if (n >= o->min && (!o->max || n <= o->max)) return 0;
  option_range_text(o, range, sizeof range);
  return refuse(why, "out of range; allowed is %s", range);
}

static int int_parse(const struct pb_option *o, const char *text, int64_t *ret, struct why why) {
  const char *rest;
  uint64_t n;
  bool minus = *text == '-';
  text += minus || *text == '+';
  if (!isdigit((unsigned char)*text)) return refuse(why, "a whole number is needed, as in 10");
  if (!digits_read(text, &n, &rest) || n > INT64_MAX)
    return bounds_check(o, INT64_MAX, why) < 0 ? -EINVAL : refuse(why, "too large");
  if (*rest) return refuse(why, "a whole number without '%.20s' is needed", rest);
  *ret = minus ? -(int64_t)n : (int64_t)n;
  return bounds_check(o, *ret, why);
}

static const struct unit *unit_named(const struct unit *units, const char *name) {
  for (const struct unit *u = units; u->name; u++)
    if (strcasecmp(u->name, name) == 0) return u;
  return NULL;
}

/* A duration or a size, bounds not looked at. */
static int amount_parse(const struct pb_option *o, const char *text, uint64_t *ret,
                        struct why why) {
  const struct unit *units = units_of(o);
  bool duration = units == duration_units;
  const char *rest,
      *how = duration ? "write 250ms, 30s, 5m, 1h or 7d" : "write 512, 64kb, 8mb or 1gb";
  uint64_t n;

  if (*text == '-') return refuse(why, "a %s cannot be negative", duration ? "duration" : "size");
  if (!isdigit((unsigned char)*text))
    return refuse(why, "this is no %s; %s", duration ? "duration" : "size", how);
  if (!digits_read(text, &n, &rest)) return refuse(why, "too large");
  if (*rest == '.' && isdigit((unsigned char)rest[1]))
    return refuse(why, "no fractions; %s",
                  duration ? "write 1500ms for 1.5s" : "write 1536kb for 1.5mb");
  while (*rest == ' ' || *rest == '\t') rest++;
  if (!*rest && duration && n)
    return refuse(why,
                  "a duration needs a unit; write %" PRIu64
                  "s, or a value such as 250ms, 5m, 1h or "
                  "7d",
                  n);
  const struct unit *u = *rest ? unit_named(units, rest) : units;
  if (!u)
    return refuse(why, "'%.20s' is no unit of a %s; %s", rest, duration ? "duration" : "size", how);
  if (__builtin_mul_overflow(n, u->factor, ret) || *ret > INT64_MAX)
    return refuse(why, "too large");
  return 0;
}

/* "1s..10m"; one duration is both ends. */
static int range_parse(const struct pb_option *o, const char *text, struct pb_range *ret,
                       struct arena *a, struct why why) {
  const char *dots = strstr(text, "..");
  if (!dots) {
    int rc = amount_parse(o, text, &ret->from_ms, why);
    ret->to_ms = ret->from_ms;
    return rc;
  }
  size_t len = (size_t)(dots - text);
  while (len && (text[len - 1] == ' ' || text[len - 1] == '\t')) len--;
  const char *to = dots + 2;
  while (*to == ' ' || *to == '\t') to++;
  if (!len || !*to) return refuse(why, "both ends are needed; write 1s..10m");
  int rc = amount_parse(o, arena_text(a, text, len), &ret->from_ms, why);
  if (!rc) rc = amount_parse(o, to, &ret->to_ms, why);
  if (!rc && ret->from_ms > ret->to_ms)
    rc = refuse(why, "the range runs backwards; write %s..%.*s", to, (int)len, text);
  return rc;
}

static int bool_parse(const char *text, int *ret, struct why why) {
  static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasecmp(words[i], text) == 0) {
      *ret = i & 1;
      return 0;
    }
  return refuse(why, "write yes or no");
}

static int choice_parse(const struct pb_option *o, const char *text, int *ret, struct arena *a,
                        struct why why) {
  char all[160];
  struct suggest near = {.want = text};
  int n = choice_index(o->choices, text);
  if (n >= 0) {
    *ret = n;
    return 0;
  }
  for (const char *c = o->choices; c; c = choice_next(c))
    suggest_offer(&near, arena_text(a, c, choice_len(c)));
  choices_text(o->choices, all, sizeof all);
  if (near.best) return refuse(why, "did you mean %s? It is one of %s", near.best, all);
  return refuse(why, "write %s", all);
}

static int list_parse(const char *text, const char *const **ret, struct arena *a, struct why why) {
  size_t n = 1;
  for (const char *p = text; *p; p++) n += *p == ',';
  const char **items = arena_alloc(a, (n + 1) * sizeof *items);
  *ret = items;
  if (!*text) return 0;
  for (size_t i = 0; i < n; i++) {
    size_t len = strcspn(text, ",");
    const char *item = text;
    text += len + (text[len] == ',');
    while (len && (*item == ' ' || *item == '\t')) item++, len--;
    while (len && (item[len - 1] == ' ' || item[len - 1] == '\t')) len--;
    if (!len) return refuse(why, "an item of the list is empty; write a, b, c");
    items[i] = arena_text(a, item, len);
  }
  return 0;
}

int option_set(const struct pb_option *o, void *conf, const char *text, struct arena *a,
               char *ret_why, size_t why_size) {
  struct why why = {ret_why, why_size};
  void *at = (char *)conf + o->offset;
  uint64_t amount = 0;
  int rc = -EINVAL;

  if (!*text && o->type != PB_OPT_STRING && o->type != PB_OPT_LIST)
    return o->def && *o->def
               ? refuse(why, "the value is missing; leave the line out for the default, %s", o->def)
               : refuse(why, "the value is missing");
  switch ((enum pb_option_type)o->type) {
  case PB_OPT_STRING:
    *(const char **)at = arena_text(a, text, strlen(text));
    return 0;
  case PB_OPT_BOOL:
    return bool_parse(text, at, why);
  case PB_OPT_INT: {
    int64_t n = 0;
    rc = int_parse(o, text, &n, why);
    if (!rc) *(int64_t *)at = n;
    return rc;
  }
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    rc = amount_parse(o, text, &amount, why);
    if (!rc) rc = bounds_check(o, (int64_t)amount, why);
    if (!rc) *(uint64_t *)at = amount;
    return rc;
  case PB_OPT_CHOICE:
    return choice_parse(o, text, at, a, why);
  case PB_OPT_LIST: {
    const char *const *items;
    rc = list_parse(text, &items, a, why);
    if (!rc) *(const char *const **)at = items;
    return rc;
  }
  case PB_OPT_RANGE: {
    struct pb_range r;
    rc = range_parse(o, text, &r, a, why);
    if (!rc) rc = bounds_check(o, (int64_t)r.from_ms, why);
    if (!rc) rc = bounds_check(o, (int64_t)r.to_ms, why);
    if (!rc) *(struct pb_range *)at = r;
    return rc;
  }
  }
  return refuse(why, "the type of this key (%" PRIu32 ") is unknown to this version", o->type);
}

void options_default(struct options t, void *conf, struct arena *a) {
  char why[OPTION_TEXT_MAX];
  for (const struct pb_option *o = NULL; (o = option_next(t, o));)
    if (o->def || o->type == PB_OPT_STRING || o->type == PB_OPT_LIST)
      option_set(o, conf, o->def ? o->def : "", a, why, sizeof why);
}

static int option_check(const struct pb_option *o, size_t conf_size, struct arena *a,
                        struct why why) {
  char inner[OPTION_TEXT_MAX];
  size_t size = option_size(o), align = o->type == PB_OPT_BOOL || o->type == PB_OPT_CHOICE
                                            ? _Alignof(int)
                                            : _Alignof(uint64_t);
  if (!*o->name || strlen(o->name) > OPTION_NAME_MAX ||
      o->name[strspn(o->name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
    return refuse(why, "the key '%.64s' is not of lower-case letters, digits and '_'", o->name);
  if (!size)
    return refuse(why, "%s: type %" PRIu32 " is unknown to this version", o->name, o->type);
  if (o->offset % align || o->offset > conf_size || conf_size - o->offset < size)
    return refuse(why, "%s: offset %zu is outside of the struct of %zu bytes, or not aligned",
                  o->name, o->offset, conf_size);
  if (o->type == PB_OPT_CHOICE && (!o->choices || !*o->choices))
    return refuse(why, "%s: a choice without choices", o->name);
  if (o->max && o->max < o->min) return refuse(why, "%s: max is below min", o->name);
  if (!o->def) return 0;
  void *conf = arena_alloc(a, conf_size);
  if (option_set(o, conf, o->def, a, inner, sizeof inner) < 0)
    return refuse(why, "%s: the default '%s': %s", o->name, o->def, inner);
  return 0;
}

int options_check(struct options t, size_t conf_size, char *ret_why, size_t why_size) {
  struct why why = {ret_why, why_size};
  struct arena *a = NULL;
  size_t n = 0;
  int rc = 0;

  if (!t.first) return 0;
  if (t.stride < sizeof(struct pb_option) || t.stride % _Alignof(struct pb_option))
    return refuse(why, "its options have %zu bytes, %zu are needed", t.stride,
                  sizeof(struct pb_option));
  a = arena_new();
  for (const struct pb_option *o = NULL; !rc && (o = option_next(t, o));) {
    if (++n > OPTIONS_MAX)
      rc = refuse(why, "more than %d options; does the table end with a NULL name?", OPTIONS_MAX);
    else
      rc = option_check(o, conf_size, a, why);
    if (!rc && option_find(t, o->name) != o) rc = refuse(why, "%s: twice in the table", o->name);
  }
  arena_free(a);
  return rc;
}

static bool list_equal(const char *const *a, const char *const *b) {
  for (; *a && *b; a++, b++)
    if (strcmp(*a, *b) != 0) return false;
  return !*a && !*b;
}

bool option_equal(const struct pb_option *o, const void *a, const void *b) {
  const void *x = member(a, o), *y = member(b, o);
  if (o->type == PB_OPT_STRING)
    return strcmp(*(const char *const *)x, *(const char *const *)y) == 0;
  if (o->type == PB_OPT_LIST)
    return list_equal(*(const char *const *const *)x, *(const char *const *const *)y);
  return memcmp(x, y, option_size(o)) == 0;
}

bool options_equal(struct options t, const void *a, const void *b, size_t size) {
  for (const struct pb_option *o = NULL; (o = option_next(t, o));)
    if (o->offset < size && !option_equal(o, a, b)) return false;
  return true;
}

/* What ini.c would not read back as it stands. */
static bool needs_quotes(const char *text) {
  size_t len = strlen(text);
  if (!len) return false;
  if (strchr(" \t\";#", text[0]) || strchr(" \t", text[len - 1])) return true;
  for (size_t i = 1; i < len; i++)
    if (strchr(";#", text[i]) && strchr(" \t", text[i - 1])) return true;
  return false;
}

void option_print_text(const char *text, FILE *out) {
  if (!needs_quotes(text)) {
    fputs(text, out);
    return;
  }
  putc('"', out);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putc('\\', out);
    putc(*text, out);
  }
  putc('"', out);
}

static void list_print(const char *const *items, FILE *out) {
  char *text = NULL;
  size_t len = 0;
  FILE *mem = open_memstream(&text, &len);
  if (!mem) return;
  for (const char *const *i = items; *i; i++) fprintf(mem, "%s%s", i == items ? "" : ", ", *i);
  fclose(mem);
  if (text) option_print_text(text, out);
  free(text);
}

void option_print(const struct pb_option *o, const void *conf, FILE *out) {
  const void *at = member(conf, o);
  char text[64], to[32];
  *text = 0;
  switch ((enum pb_option_type)o->type) {
  case PB_OPT_STRING:
    if (o->flags & PB_OPT_SECRET)
      fputs(**(const char *const *)at ? "********" : "", out);
    else
      option_print_text(*(const char *const *)at, out);
    return;
  case PB_OPT_LIST:
    if (!(o->flags & PB_OPT_SECRET))
      list_print(*(const char *const *const *)at, out);
    else
      fputs(**(const char *const *const *)at ? "********" : "", out);
    return;
  case PB_OPT_BOOL:
    fputs(*(const int *)at ? "yes" : "no", out);
    return;
  case PB_OPT_CHOICE: {
    const char *c = o->choices;
    for (int i = 0; c && i < *(const int *)at; i++) c = choice_next(c);
    if (c) fprintf(out, "%.*s", (int)choice_len(c), c);
    return;
  }
  case PB_OPT_RANGE:
    number_text(duration_units, (int64_t)((const struct pb_range *)at)->from_ms, text, sizeof text);
    number_text(duration_units, (int64_t)((const struct pb_range *)at)->to_ms, to, sizeof to);
    fprintf(out, "%s..%s", text, to);
    return;
  case PB_OPT_INT:
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    number_text(units_of(o), *(const int64_t *)at, text, sizeof text);
    fputs(text, out);
    return;
  }
}
