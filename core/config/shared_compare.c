/* Owns the differences between two shared configurations: by section and key, never by value. */
#include "config/private.h"
#include "config/shared_private.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

const char *const shared_what_names[] = {"added", "changed", "removed"};

struct shared_changes {
  struct arena *arena;
  struct shared_change *list;
  size_t n, cap;
};

/* One side of the comparison: what can be asked of it as a whole. */
struct side {
  const struct shared_sections *all;
  const char *only_system; /* the only one of the text, which queues need not name; or "" */
};

static struct side side_of(const struct shared_sections *all) {
  struct side s = {all, ""};
  size_t n = 0;
  for (size_t i = 0; i < all->n; i++)
    if (!strcmp(all->list[i].s.kind, "system") && !n++) s.only_system = all->list[i].s.name;
  if (n != 1) s.only_system = "";
  return s;
}

static const char *text_or_empty(const char *text) {
  return text ? text : "";
}

static const char *queue_system(const struct side *side, const struct shared_section *queue) {
  const char *own = shared_value(queue, "system");
  return !queue ? "" : own && *own ? own : side->only_system;
}

/* What an alert watches decides; what watches all is the admins'. */
static const char *alert_system(const struct side *side, const struct shared_section *alert) {
  char queue[NAME_LEN_MAX + 1];
  const char *system = shared_value(alert, "system"), *name = shared_value(alert, "topic");
  if (system && *system) return system;
  if (!name || !*name) name = text_or_empty(shared_value(alert, "queue"));
  size_t len = strcspn(name, "/");
  if (!len || len >= sizeof queue) return "";
  memcpy(queue, name, len);
  queue[len] = 0;
  return queue_system(side, shared_find(side->all, "queue", queue));
}

/* Whose rights a change of the section needs; "": only admins'. */
static const char *system_of(const struct side *side, const struct shared_section *s) {
  char queue[NAME_LEN_MAX + 1];
  if (!s) return "";
  if (!strcmp(s->kind, "queue")) return queue_system(side, s);
  if (!strcmp(s->kind, "storage")) return text_or_empty(shared_value(s, "system"));
  if (!strcmp(s->kind, "alert")) return alert_system(side, s);
  size_t len = strcspn(s->name, "/");
  if (strcmp(s->kind, "topic") || len >= sizeof queue) return "";
  memcpy(queue, s->name, len);
  queue[len] = 0;
  return queue_system(side, shared_find(side->all, "queue", queue));
}

/* The run type that a topic has, or NULL where another file decides it. */
static const char *run_type_of(const struct side *side, const struct shared_section *topic) {
  const char *own = shared_value(topic, "run_type"), *pool = shared_value(topic, "pool");
  if (own && *own) return own;
  return pool ? shared_value(shared_find(side->all, "pool", pool), "run_type") : NULL;
}

/* Has the list of a change this key? */
static bool has_key(const struct shared_change *c, const char *key) {
  for (size_t i = 0; i < c->n_keys; i++)
    if (strcmp(c->keys[i], key) == 0) return true;
  return false;
}

static bool entry_changes(const struct shared_change *c, const struct side *from,
                          const struct side *to, const struct shared_section *a,
                          const struct shared_section *b) {
  if (strcmp(c->kind, "topic") && strcmp(c->kind, "pool")) return false;
  if (c->what == SHARED_REMOVED) return false;
  if (has_key(c, "entry") || has_key(c, "run_type")) return true;
  if (!has_key(c, "pool")) return false;
  const char *was = a ? run_type_of(from, a) : NULL, *is = run_type_of(to, b);
  return !was || !is || strcmp(was, is) != 0;
}

static bool is_url(const char *value) {
  return value && strstr(value, "://");
}

/* Of a topic, where and how its requests go; of others, where they connect to. */
static bool key_is_address(const char *kind, const char *key) {
  static const struct {
    const char *kind, *key;
  } all[] = {{"storage", "address"}, {"storage", "managed"},   {"storage", "sentinels"},
             {"storage", "master"},  {"storage", "cluster"},   {"storage", "username"},
             {"pool", "address"},    {"pool", "status"},       {"pool", "run_type"},
             {"topic", "entry"},     {"topic", "host"},        {"topic", "connect"},
             {"topic", "pool"},      {"topic", "run_type"},    {"topic", "verify"},
             {"topic", "ca_file"},   {"topic", "http_version"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i].kind, kind) && !strcmp(all[i].key, key)) return true;
  return !strncmp(key, "tls", 3) || !strcmp(key, "webhook");
}

static bool value_is(const char *a, const char *b) {
  return strcmp(text_or_empty(a), text_or_empty(b)) == 0;
}

static bool address_lacks(const struct shared_section *a, const struct shared_section *b) {
  for (size_t i = 0; i < a->n_entries; i++) {
    const struct shared_entry *e = &a->entries[i];
    const char *other = shared_value(b, e->key);
    if (!key_is_address(a->kind, e->key) || value_is(e->value, other)) continue;
    /* A PHP file or a command is no address. */
    if (strcmp(e->key, "entry") || is_url(e->value) || is_url(other)) return true;
  }
  return false;
}

bool shared_address_differs(const struct shared_section *a, const struct shared_section *b) {
  return (a && address_lacks(a, b)) || (b && address_lacks(b, a));
}

/* The values of one key on both sides; a mask on the new one is the secret that was there. Only a
 * secret: a mask as the value of another key would be a change that no difference shows. */
static bool value_same(const char *key, const char *was, const char *is) {
  if (!was || !is) return was == is;
  if (strcmp(was, is) == 0) return true;
  bool secret = shared_is_sealed(was) || (*was && !strcmp(key, "password"));
  return secret && strcmp(is, SHARED_MASK) == 0;
}

static void keys_differ(struct shared_changes *c, struct shared_change *change,
                        const struct shared_section *a, const struct shared_section *b) {
  size_t n = (a ? a->n_entries : 0) + (b ? b->n_entries : 0);
  const char **keys = arena_alloc(c->arena, (n + 1) * sizeof *keys);
  change->keys = keys;
  for (size_t i = 0; b && i < b->n_entries; i++)
    if (!value_same(b->entries[i].key, shared_value(a, b->entries[i].key), b->entries[i].value))
      keys[change->n_keys++] = arena_text(c->arena, b->entries[i].key, strlen(b->entries[i].key));
  for (size_t i = 0; a && i < a->n_entries; i++)
    if (!shared_value(b, a->entries[i].key))
      keys[change->n_keys++] = arena_text(c->arena, a->entries[i].key, strlen(a->entries[i].key));
}

static void change_add(struct shared_changes *c, const struct side *from, const struct side *to,
                       const struct shared_section *a, const struct shared_section *b) {
  const struct shared_section *named = b ? b : a;
  struct shared_change change = {.what = !a ? SHARED_ADDED : !b ? SHARED_REMOVED : SHARED_CHANGED};
  keys_differ(c, &change, a, b);
  if (a && b && !change.n_keys) return;
  const char *before = system_of(from, a), *after = system_of(to, b);
  change.kind = arena_text(c->arena, named->kind, strlen(named->kind));
  change.name = arena_text(c->arena, named->name, strlen(named->name));
  change.system_before = arena_text(c->arena, before, strlen(before));
  change.system_after = arena_text(c->arena, after, strlen(after));
  change.entry = entry_changes(&change, from, to, a, b);
  change.address = shared_address_differs(a, b);
  if (c->n == c->cap) {
    c->cap = c->cap ? 2 * c->cap : 64;
    struct shared_change *more = realloc(c->list, c->cap * sizeof *more);
    if (!more) out_of_memory();
    c->list = more;
  }
  c->list[c->n++] = change;
}

struct shared_changes *shared_compare(const struct shared_sections *from,
                                      const struct shared_sections *to) {
  struct shared_changes *c = calloc(1, sizeof *c);
  if (!c) out_of_memory();
  c->arena = arena_new();
  struct side before = side_of(from), after = side_of(to);
  for (size_t i = 0; i < to->n; i++) {
    const struct shared_section *b = &to->list[i].s;
    change_add(c, &before, &after, shared_find(from, b->kind, b->name), b);
  }
  for (size_t i = 0; i < from->n; i++) {
    const struct shared_section *a = &from->list[i].s;
    if (!shared_find(to, a->kind, a->name)) change_add(c, &before, &after, a, NULL);
  }
  return c;
}

void shared_changes_free(struct shared_changes *c) {
  if (!c) return;
  arena_free(c->arena);
  free(c->list);
  free(c);
}

size_t shared_changes_n(const struct shared_changes *c) {
  return c->n;
}

const struct shared_change *shared_changes_at(const struct shared_changes *c, size_t i) {
  return &c->list[i];
}

void shared_changes_print(const struct shared_changes *c, FILE *out) {
  for (size_t i = 0; i < c->n; i++) {
    const struct shared_change *change = &c->list[i];
    fprintf(out, "%s: %s%s%s", shared_what_names[change->what], change->kind,
            *change->name ? " " : "", change->name);
    for (size_t k = 0; change->what == SHARED_CHANGED && k < change->n_keys; k++)
      fprintf(out, "%s%s", k ? ", " : " (", change->keys[k]);
    fputs(change->what == SHARED_CHANGED ? ")\n" : "\n", out);
  }
}
