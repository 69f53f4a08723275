/* Owns the failures of a topic between two looks of history/. */
#include "dispatch/failures.h"

#include <stdlib.h>

/* A signature that another one took the place of counts as news again: that costs one write. */
static bool is_news(struct failures *f, uint64_t id) {
  uint64_t *seen = &f->seen[id % FAILURES_SEEN];
  if (*seen == id) return false;
  *seen = id;
  return true;
}

static struct failure *failure_new(struct failures *f) {
  if (f->n == FAILURES_MAX) return NULL;
  if (f->n == f->room) {
    size_t room = f->room ? 2 * f->room : 4;
    struct failure *list = realloc(f->list, room * sizeof *list);
    if (!list) return NULL;
    f->list = list;
    f->room = room;
  }
  f->list[f->n] = (struct failure){.count = 0};
  return &f->list[f->n++];
}

void failures_add(struct failures **at, uint64_t now_ms, uint64_t job, int code,
                  const char *message, size_t len) {
  struct failures *f = *at ? *at : (*at = calloc(1, sizeof *f));
  struct signature s;
  struct failure *found = NULL;
  if (!f) return;
  signature_of(code, message ? message : "", message ? len : 0, &s);
  for (size_t i = 0; i < f->n && !found; i++)
    if (f->list[i].signature.id == s.id) found = &f->list[i];
  if (!found && !(found = failure_new(f))) {
    f->other++;
    return;
  }
  if (!found->count) {
    found->signature = s;
    found->first_ms = now_ms;
    f->news |= is_news(f, s.id);
  }
  found->count++;
  found->job = job;
  found->last_ms = now_ms;
}

void failures_clear(struct failures *f) {
  f->n = 0;
  f->other = 0;
  f->news = false;
}

void failures_free(struct failures *f) {
  if (!f) return;
  free(f->list);
  free(f);
}
