/* core/config/option.c: each type of value, what it refuses and how it says so; back to text. */
#include "tap.h"
#include "config/option.h"

#include <errno.h>

struct conf {
  const char *text, *secret;
  int flag, choice;
  int64_t number, any;
  uint64_t size, time;
  const char *const *list;
  struct pb_range range;
};

#define OF(member) offsetof(struct conf, member)

static const struct pb_option table[] = {
    {"text", PB_OPT_STRING, 0, OF(text), 0, 0, NULL, "def", "A text."},
    {"secret", PB_OPT_STRING, PB_OPT_SECRET, OF(secret), 0, 0, NULL, NULL, NULL},
    {"flag", PB_OPT_BOOL, 0, OF(flag), 0, 0, NULL, "yes", NULL},
    {"choice", PB_OPT_CHOICE, 0, OF(choice), 0, 0, "red,green,blue", "green", NULL},
    {"number", PB_OPT_INT, 0, OF(number), -5, 1000, NULL, "7", NULL},
    {"any", PB_OPT_INT, 0, OF(any), 0, 0, NULL, NULL, NULL},
    {"size", PB_OPT_SIZE, 0, OF(size), 1024, INT64_C(1) << 30, NULL, "8mb", NULL},
    {"time", PB_OPT_DURATION, 0, OF(time), 0, 86400000, NULL, "90s", NULL},
    {"list", PB_OPT_LIST, 0, OF(list), 0, 0, NULL, "a, b", NULL},
    {"range", PB_OPT_RANGE, 0, OF(range), 100, 3600000, NULL, "1s..10m", NULL},
    {0}};
static const struct options options = {table, sizeof *table};

static struct arena *arena;
static struct conf conf;
static char why[OPTION_TEXT_MAX];

static int set(const char *name, const char *text) {
  why[0] = 0;
  return option_set(option_find(options, name), &conf, text, arena, why, sizeof why);
}

static void refused(const char *name, const char *text, const char *part) {
  struct conf before = conf;
  is_int(set(name, text), -EINVAL, "%s = %s is refused", name, text);
  like(why, part, "and the sentence says why");
  ok(!memcmp(&before, &conf, sizeof conf), "and nothing changed");
}

static const char *printed(const char *name) {
  static char text[1024];
  FILE *out = fmemopen(text, sizeof text, "w");
  memset(text, 0, sizeof text);
  option_print(option_find(options, name), &conf, out);
  fclose(out);
  return text;
}

/* Set and printed again. */
static void round_trip(const char *name, const char *text, const char *want) {
  is_int(set(name, text), 0, "%s = %s", name, text);
  is_str(printed(name), want, "prints");
}

static void test_defaults(void) {
  options_default(options, &conf, arena);
  is_str(conf.text, "def", "text");
  is_str(conf.secret, "", "a text without default is empty, not NULL");
  is_int(conf.flag, 1, "flag");
  is_int(conf.choice, 1, "choice");
  is_int(conf.number, 7, "number");
  is_int(conf.any, 0, "number without default");
  is_int(conf.size, 8 << 20, "size");
  is_int(conf.time, 90000, "duration");
  is_str(conf.list[1], "b", "list");
  ok(!conf.list[2], "its end");
  is_int(conf.range.from_ms, 1000, "range from");
  is_int(conf.range.to_ms, 600000, "range to");
}

static void test_numbers(void) {
  set("number", "1000");
  is_int(conf.number, 1000, "the largest");
  set("number", "-5");
  is_int(conf.number, -5, "the least");
  refused("number", "1001", "out of range; allowed is -5 to 1000");
  refused("number", "-6", "out of range");
  refused("number", "1.5", "whole number");
  refused("number", "ten", "whole number");
  refused("number", "0x10", "without 'x10'");
  refused("number", "", "the value is missing; leave the line out for the default, 7");
  refused("number", "-", "whole number");
  refused("number", "99999999999999999999", "out of range");
  refused("any", "-1", "allowed is 0 or more");
  refused("any", "9223372036854775808", "too large");
  is_int(set("any", "9223372036854775807"), 0, "the largest there is");
}

static void test_units(void) {
  static const struct {
    const char *name, *text;
    uint64_t want;
  } good[] = {{"time", "0", 0},         {"time", "250ms", 250},   {"time", "30s", 30000},
              {"time", "5m", 300000},   {"time", "1h", 3600000},  {"time", "1d", 86400000},
              {"time", "1 H", 3600000}, {"size", "1024", 1024},   {"size", "64kb", 65536},
              {"size", "8MB", 8 << 20}, {"size", "1gb", 1 << 30}, {"size", "2048 b", 2048}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    is_int(set(good[i].name, good[i].text), 0, "%s = %s", good[i].name, good[i].text);
    is_int(good[i].name[0] == 't' ? conf.time : conf.size, good[i].want, "its value");
  }
  refused("time", "60", "a duration needs a unit; write 60s");
  refused("time", "2d", "out of range; allowed is 0 to 1d");
  refused("time", "5min", "'min' is no unit of a duration; write 250ms, 30s, 5m, 1h or 7d");
  refused("time", "1.5s", "no fractions; write 1500ms");
  refused("time", "-1s", "cannot be negative");
  refused("time", "soon", "this is no duration");
  refused("time", "1h30m", "'h30m' is no unit");
  refused("time", "99999999999999999999s", "too large");
  refused("time", "9999999999999999999d", "too large");
  refused("size", "512", "out of range; allowed is 1kb to 1gb");
  refused("size", "8m", "'m' is no unit of a size; write 512, 64kb, 8mb or 1gb");
  refused("size", "1.5mb", "write 1536kb");
  refused("size", "9999999999tb", "too large");
}

static void test_others(void) {
  static const char *const yes[] = {"yes", "true", "on", "YES"}, *const no[] = {"no", "false",
                                                                                "off", "Off"};
  for (int i = 0; i < 4; i++) {
    ok(!set("flag", no[i]) && conf.flag == 0, "%s", no[i]);
    ok(!set("flag", yes[i]) && conf.flag == 1, "%s", yes[i]);
  }
  refused("flag", "1", "write yes or no");
  ok(!set("choice", "blue") && conf.choice == 2, "a choice");
  ok(!set("choice", "RED") && conf.choice == 0, "in capitals");
  refused("choice", "gren", "did you mean green? It is one of red, green or blue");
  refused("choice", "white", "write red, green or blue");
  refused("choice", "red,green", "red, green or blue");
  ok(!set("list", "") && !conf.list[0], "an empty list");
  ok(!set("list", " x ,y z,  w") && !strcmp(conf.list[1], "y z") && !conf.list[3], "a list");
  refused("list", "a,,b", "an item of the list is empty");
  refused("list", "a,", "an item of the list is empty");
  ok(!set("range", "2s") && conf.range.from_ms == 2000 && conf.range.to_ms == 2000,
     "one duration is both ends");
  ok(!set("range", "1s .. 2m") && conf.range.to_ms == 120000, "blanks in a range");
  refused("range", "10m..1s", "runs backwards; write 1s..10m");
  refused("range", "1..2", "needs a unit");
  refused("range", "..2s", "both ends");
  refused("range", "1s..", "both ends");
  refused("range", "1ms..1s", "out of range; allowed is 100ms to 1h");
  refused("range", "1s..2h", "out of range");
  ok(!set("text", "") && !*conf.text, "an empty text");
}

static void test_print(void) {
  round_trip("text", "plain", "plain");
  round_trip("text", "", "");
  round_trip("text", " a ", "\" a \"");
  round_trip("text", "a ; b", "\"a ; b\"");
  round_trip("text", "a;b", "a;b");
  round_trip("text", "#a", "\"#a\"");
  round_trip("text", "\"a\\", "\"\\\"a\\\\\"");
  round_trip("secret", "hush", "********");
  round_trip("secret", "", "");
  round_trip("flag", "off", "no");
  round_trip("choice", "Blue", "blue");
  round_trip("number", "-5", "-5");
  round_trip("size", "2048", "2kb");
  round_trip("size", "1025", "1025");
  round_trip("time", "90s", "90s");
  round_trip("time", "1500ms", "1500ms");
  round_trip("time", "0", "0");
  round_trip("time", "3600s", "1h");
  round_trip("list", "a ,b", "a, b");
  round_trip("range", "60s..3600s", "1m..1h");
}

static void test_equal(void) {
  struct conf a = {0}, b = {0};
  options_default(options, &a, arena);
  options_default(options, &b, arena);
  ok(options_equal(options, &a, &b, sizeof a), "equal, though in other memory");
  b.range.to_ms++;
  ok(!options_equal(options, &a, &b, sizeof a), "a range differs");
  ok(options_equal(options, &a, &b, OF(range)), "behind what is looked at");
  b = a;
  option_set(option_find(options, "list"), &b, "a, b, c", arena, why, sizeof why);
  ok(!options_equal(options, &a, &b, sizeof a), "a longer list");
  b = a;
  b.text = "other";
  ok(!options_equal(options, &a, &b, sizeof a), "another text");
}

/* A plugin of a later interface may have larger entries. */
static void test_stride(void) {
  struct wide {
    struct pb_option o;
    long more[3];
  } wide[3] = {{{"a", PB_OPT_INT, 0, 0, 0, 0, NULL, "1", NULL}, {0}},
               {{"b", PB_OPT_INT, 0, 8, 0, 0, NULL, "2", NULL}, {0}}};
  struct options t = {&wide[0].o, sizeof *wide};
  int64_t values[2] = {0};
  is_int(options_check(t, sizeof values, why, sizeof why), 0, "a table of larger entries");
  options_default(t, values, arena);
  is_int(values[1], 2, "is walked rightly");
  ok(option_find(t, "b") == &wide[1].o && !option_find(t, "c"), "and searched");
}

static void table_refused(struct pb_option first, size_t size, const char *part) {
  struct pb_option t[2] = {first, {0}};
  is_int(options_check((struct options){t, sizeof *t}, size, why, sizeof why), -EINVAL,
         "a table with %s", part);
  like(why, part, "says so");
}

static void test_tables(void) {
  is_int(options_check(options, sizeof(struct conf), why, sizeof why), 0, "a sound table");
  is_int(options_check((struct options){NULL, 1}, 0, why, sizeof why), 0, "none");
  is_int(options_check((struct options){table, 8}, 1000, why, sizeof why), -EINVAL,
         "short entries");
  table_refused((struct pb_option){.name = "a", .type = 99}, 8, "type 99");
  table_refused((struct pb_option){.name = "a", .type = 0}, 8, "type 0");
  table_refused((struct pb_option){.name = "A b", .type = PB_OPT_INT}, 8, "lower-case");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_INT, .offset = 8}, 8, "outside");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_INT, .offset = 4}, 80, "aligned");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_INT, .offset = SIZE_MAX - 7}, 8,
                "outside");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_CHOICE}, 8, "without choices");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_INT, .def = "x"}, 8, "default 'x'");
  table_refused((struct pb_option){.name = "a", .type = PB_OPT_INT, .min = 2, .max = 1}, 8,
                "below min");
  struct pb_option twice[3] = {{.name = "a", .type = PB_OPT_INT},
                               {.name = "a", .type = PB_OPT_INT}};
  is_int(options_check((struct options){twice, sizeof *twice}, 8, why, sizeof why), -EINVAL,
         "a key twice");
  struct pb_option *endless = calloc(OPTIONS_MAX + 2, sizeof *endless);
  char names[OPTIONS_MAX + 2][16];
  for (int i = 0; i < OPTIONS_MAX + 1; i++) {
    snprintf(names[i], sizeof names[i], "k%d", i);
    endless[i] = (struct pb_option){.name = names[i], .type = PB_OPT_INT};
  }
  is_int(options_check((struct options){endless, sizeof *endless}, 8, why, sizeof why), -EINVAL,
         "a table without end");
  free(endless);
}

int main(void) {
  arena = arena_new();
  test_defaults();
  test_numbers();
  test_units();
  test_others();
  test_print();
  test_equal();
  test_stride();
  test_tables();
  arena_free(arena);
  return done_testing();
}
