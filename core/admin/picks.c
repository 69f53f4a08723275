/* Owns which things a page by ?offset= has, and in which order. */
#include "admin/picks.h"

#include "admin/names.h"
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LIMIT_DEFAULT 50
#define LIMIT_MAX     1000

bool picking_asked(const struct call *c) {
  static const char *const asking[] = {"q", "state", "storage", "sort", "offset"};
  char text[2];
  for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
    if (call_query(c, asking[i], text, sizeof text)) return true;
  return false;
}

static void sorts_tell(struct call *c, const char *const *sorts) {
  char text[400] = "";
  for (size_t i = 0; sorts[i]; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? ", " : "", sorts[i]);
  call_error(c, 400, "sort is one of %s; with - before it, the largest comes first", text);
}

bool picking_get(struct call *c, struct picking *ret, const char *const *sorts) {
  char sort[41] = "";
  const char *word = sort;
  size_t i = 0;
  *ret = (struct picking){.down = false};
  call_query(c, "q", ret->q, sizeof ret->q);
  call_query(c, "state", ret->state, sizeof ret->state);
  call_query(c, "storage", ret->storage, sizeof ret->storage);
  ret->by_system = call_query(c, "system", ret->system, sizeof ret->system);
  call_query(c, "sort", sort, sizeof sort);
  if (*word == '-') {
    ret->down = true;
    word++;
  }
  while (*word && sorts[i] && strcmp(sorts[i], word) != 0) i++;
  if (!sorts[i]) {
    sorts_tell(c, sorts);
    return false;
  }
  snprintf(ret->sort, sizeof ret->sort, "%s", sorts[i]);
  return true;
}

static bool text_has(const char *text, const char *part) {
  size_t len = strlen(part);
  for (; text && *text; text++)
    if (!strncasecmp(text, part, len)) return true;
  return false;
}

bool picking_has(const struct picking *p, const char *name, const char *title) {
  return !*p->q || text_has(name, p->q) || text_has(title, p->q);
}

bool picking_state(const struct picking *p, const char *state) {
  size_t len = strlen(state), n;
  if (!*p->state) return true;
  for (const char *at = p->state; *at; at += n + (at[n] == ',')) {
    n = strcspn(at, ",");
    if (n == len && !memcmp(at, state, n)) return true;
  }
  return false;
}

bool picking_system(const struct picking *p, const struct system_settings *system) {
  return !p->by_system || !strcmp(system ? system->name : "", p->system);
}

bool picking_storage(const struct picking *p, const struct topic_settings *topic) {
  return !*p->storage || (topic->storage && !strcmp(topic->storage->name, p->storage));
}

bool picking_queue_storage(const struct picking *p, const struct queue_settings *queue) {
  size_t i = 0;
  while (i < queue->n_topics && !picking_storage(p, queue->topics[i])) i++;
  return !*p->storage || i < queue->n_topics;
}

static int up(const void *x, const void *y) {
  const struct pick *a = x, *b = y;
  int by = a->text && b->text ? strcmp(a->text, b->text) : (a->key > b->key) - (a->key < b->key);
  return by ? by : strcmp(a->name, b->name);
}

static int down(const void *x, const void *y) {
  const struct pick *a = x, *b = y;
  int by = a->text && b->text ? strcmp(b->text, a->text) : (a->key < b->key) - (a->key > b->key);
  return by ? by : strcmp(a->name, b->name);
}

static int by_name_down(const void *x, const void *y) {
  const struct pick *a = x, *b = y;
  return strcmp(b->name, a->name);
}

bool picks_add(struct call *c, const struct picking *p, struct pick *all, size_t n,
               struct names *ret) {
  uint64_t offset, limit;
  char cursor[2];
  bool by_name = n && all[0].text == all[0].name;
  if (!call_query_u64(c, "offset", 0, INT32_MAX, &offset) ||
      !call_query_u64(c, "limit", LIMIT_DEFAULT, LIMIT_MAX, &limit))
    return false;
  if (call_query(c, "cursor", cursor, sizeof cursor)) {
    call_error(c, 400, "cursor is of pages without q, state, sort and offset");
    return false;
  }
  qsort(all, n, sizeof *all, !p->down ? up : by_name ? by_name_down : down);
  for (size_t i = offset; i < n && i - offset < limit; i++) names_add(ret, all[i].name);
  ret->by_offset = true;
  ret->offset = offset;
  ret->total = n;
  return true;
}
