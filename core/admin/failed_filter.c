/* Owns the form of a filter of failed jobs in requests and answers.
 *
 * Must never happen: a member that is not understood and lets more jobs pass; a filter by contents
 * or messages for who may not see them.
 */
#include "admin/failed_filter.h"

#include "admin/private.h"
#include "config/shared_text.h"
#include "job/signature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX (UINT64_C(1) << 52)

static const struct {
  const char *name;
  enum store_set set;
} sets[] = {{"retry", STORE_SET_RETRY}, {"dead", STORE_SET_DEAD},
            {"both", STORE_SET_BOTH},   {"quarantine", STORE_SET_QUARANTINE},
            {"all", STORE_SET_ALL},     {"ready", STORE_SET_READY}};

const char *filter_set_name(enum store_set set) {
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    if (sets[i].set == set) return sets[i].name;
  return "both";
}

bool filter_set_named(const char *name, enum store_set *ret) {
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    if (strcmp(sets[i].name, name) != 0) continue;
    *ret = sets[i].set;
    return true;
  }
  return false;
}

/* --- one member --- */

struct member {
  struct call *c;
  const struct topic *t;
  const char *name, *text;
};

typedef bool (*member_fn)(const struct member *m, struct store_filter *f);

static bool refuse(const struct member *m, const char *what) {
  call_error(m->c, 400, "%s \"%.60s\" is not %s", m->name, m->text, what);
  return false;
}

static bool set_read(const struct member *m, struct store_filter *f) {
  if (filter_set_named(m->text, &f->set) && f->set != STORE_SET_READY) return true;
  return refuse(m, "retry, dead, quarantine, both or all");
}

/* Who does not see a text may not find out about it by asking. */
static bool text_read(const struct member *m, char *to) {
  if (!call_may(m->c, RIGHT_CONTENTS, admin_system_of(m->c->view, m->c->args[0]))) return false;
  size_t len = strlen(m->text);
  if (!len || len > STORE_FILTER_TEXT_MAX) return refuse(m, "a text of 1 to 256 bytes");
  memcpy(to, m->text, len + 1);
  return true;
}

static bool match_read(const struct member *m, struct store_filter *f) {
  return text_read(m, f->match);
}

static bool body_read(const struct member *m, struct store_filter *f) {
  return text_read(m, f->body);
}

static bool code_read(const struct member *m, struct store_filter *f) {
  char *end;
  errno = 0;
  long v = strtol(m->text, &end, 10);
  if (end == m->text || *end || errno || v < INT32_MIN || v > INT32_MAX)
    return refuse(m, "a code: a whole number");
  f->code = (int)v;
  f->has_code = true;
  return true;
}

static bool signature_read(const struct member *m, struct store_filter *f) {
  return signature_parse(m->text, &f->signature) || refuse(m, "a signature: 16 hex digits");
}

/* Unix ms, or how long ago: 10m. */
static bool time_read(const struct member *m, uint64_t *ret) {
  static const struct {
    const char *unit;
    uint64_t ms;
  } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  uint64_t now = store_clock_ms(m->t->store_entry->store), ago;
  char *end;
  errno = 0;
  unsigned long long v = strtoull(m->text, &end, 10);
  bool good = m->text[0] >= '0' && m->text[0] <= '9' && !errno && v < TIME_MAX;
  *ret = v;
  if (good && !*end) return true;
  for (size_t i = 0; good && i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].unit) || __builtin_mul_overflow(v, units[i].ms, &ago) || ago > now)
      continue;
    *ret = now - ago;
    return true;
  }
  return refuse(m, "a Unix time in ms, or a duration like 10m");
}

static bool since_read(const struct member *m, struct store_filter *f) {
  return time_read(m, &f->since_ms);
}

static bool until_read(const struct member *m, struct store_filter *f) {
  return time_read(m, &f->until_ms);
}

static bool node_read(const struct member *m, struct store_filter *f) {
  size_t len = strlen(m->text);
  if (!len || len > NAME_LEN_MAX) return refuse(m, "the name of a node");
  memcpy(f->node, m->text, len + 1);
  return true;
}

static bool attempts_read(const struct member *m, uint32_t *ret) {
  char *end;
  unsigned long v = strtoul(m->text, &end, 10);
  if (m->text[0] < '0' || m->text[0] > '9' || *end || strlen(m->text) > 9)
    return refuse(m, "a number from 0 to 999999999");
  *ret = (uint32_t)v;
  return true;
}

static bool attempts_min_read(const struct member *m, struct store_filter *f) {
  return attempts_read(m, &f->attempts_min);
}

static bool attempts_max_read(const struct member *m, struct store_filter *f) {
  return attempts_read(m, &f->attempts_max);
}

static const struct {
  const char *name;
  member_fn read;
} members[] = {{"set", set_read},
               {"match", match_read},
               {"body", body_read},
               {"code", code_read},
               {"signature", signature_read},
               {"since", since_read},
               {"until", until_read},
               {"node", node_read},
               {"attempts_min", attempts_min_read},
               {"attempts_max", attempts_max_read}};
#define N_MEMBERS (sizeof members / sizeof *members)

/* --- all of them --- */

bool filter_of_query(struct call *c, const struct topic *t, enum store_set set,
                     struct store_filter *ret) {
  char text[STORE_FILTER_TEXT_MAX + 2];
  *ret = (struct store_filter){.set = set};
  for (size_t i = 0; i < N_MEMBERS; i++) {
    struct member m = {c, t, members[i].name, text};
    if (call_query(c, m.name, text, sizeof text) && !members[i].read(&m, ret)) return false;
  }
  return true;
}

static bool json_member(struct call *c, const struct topic *t, const char *name, json_t *value,
                        struct store_filter *ret) {
  char number[32];
  snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  struct member m = {c, t, name, json_is_integer(value) ? number : json_string_value(value)};
  for (size_t i = 0; i < N_MEMBERS; i++)
    if (m.text && !strcmp(name, members[i].name)) return members[i].read(&m, ret);
  call_error(c, 400, "\"%.60s\" is not known in a filter, or its value is wrong", name);
  return false;
}

bool filter_of_json(struct call *c, const struct topic *t, json_t *o, enum store_set set,
                    struct store_filter *ret) {
  const char *name;
  json_t *value;
  *ret = (struct store_filter){.set = set};
  if (!json_object_size(o)) {
    call_error(c, 400,
               "\"filter\" says which jobs: an object with one member at least; all of a "
               "set are {\"set\": \"dead\"}");
    return false;
  }
  json_object_foreach(o, name, value) if (!json_member(c, t, name, value, ret)) return false;
  return true;
}

static void text_put(json_t *o, const char *name, const char *text) {
  if (*text) json_object_set_new(o, name, json_cstr(text));
}

static void number_put(json_t *o, const char *name, uint64_t v) {
  if (v) json_object_set_new(o, name, json_u64(v));
}

json_t *filter_json(const struct store_filter *f) {
  json_t *o = json_object();
  char signature[SIGNATURE_ID_LEN + 1] = "";
  if (f->signature) signature_format(f->signature, signature);
  json_object_set_new(o, "set", json_string(filter_set_name(f->set)));
  text_put(o, "match", f->match);
  text_put(o, "body", *f->body ? SHARED_MASK : ""); /* of a content; acts are for all to see */
  if (f->has_code) json_object_set_new(o, "code", json_integer(f->code));
  text_put(o, "signature", signature);
  number_put(o, "since", f->since_ms);
  number_put(o, "until", f->until_ms);
  text_put(o, "node", f->node);
  number_put(o, "attempts_min", f->attempts_min);
  number_put(o, "attempts_max", f->attempts_max);
  return o;
}
