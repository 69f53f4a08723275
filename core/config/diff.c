/* Owns the text of a reload's changes: sections by name, never their values. */
#include "config/private.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 50 /* of each kind are named, the others counted */

struct dumped {
  const char *head; /* "queue msg", up to the bracket */
  size_t head_len;
  const char *body;
  size_t body_len;
};

struct dump {
  char *text;
  size_t len, n;
  struct dumped *sections;
};

static int by_head(const void *a, const void *b) {
  const struct dumped *x = a, *y = b;
  int order = memcmp(x->head, y->head, x->head_len < y->head_len ? x->head_len : y->head_len);
  return order ? order : (x->head_len > y->head_len) - (x->head_len < y->head_len);
}

static void dump_done(struct dump *d) {
  free(d->text);
  free(d->sections);
}

/* False: no memory. */
static bool dump_make(const struct settings *s, struct dump *d) {
  *d = (struct dump){0};
  FILE *out = open_memstream(&d->text, &d->len);
  if (!out) return false;
  settings_dump(s, out);
  if (fclose(out)) return false;
  size_t cap = 0;
  for (char *p = strstr(d->text, "\n["), *next; p; p = next) {
    char *head = p + 2, *end = strchr(head, ']');
    next = strstr(head, "\n[");
    if (!end) continue;
    if (d->n == cap) {
      struct dumped *more = realloc(d->sections, (cap = cap ? 2 * cap : 64) * sizeof *more);
      if (!more) return false;
      d->sections = more;
    }
    d->sections[d->n++] =
        (struct dumped){head, (size_t)(end - head), end, next ? (size_t)(next - end) : strlen(end)};
  }
  if (d->n) qsort(d->sections, d->n, sizeof *d->sections, by_head);
  return true;
}

static bool secrets_equal(struct options t, const void *a, const void *b, size_t size) {
  for (const struct pb_option *o = NULL; (o = option_next(t, o));)
    if (o->offset < size && (o->flags & PB_OPT_SECRET) && !option_equal(o, a, b)) return false;
  return true;
}

static bool core_changed(enum kind_id id, const void *a, const void *b) {
  const struct kind *k = kind_get(id);
  return a && b && !secrets_equal(k->options, a, b, k->public_size);
}

static bool conf_changed(const struct pb_transport *t, enum kind_id id, const void *a,
                         const void *b) {
  return a && b && !secrets_equal(transport_options(t, id), a, b, SIZE_MAX);
}

static bool is_named(const char *name, const char *want, size_t len) {
  return strlen(name) == len && !memcmp(name, want, len);
}

static const struct storage_settings *storage_of(const struct settings *s, const char *name,
                                                 size_t len) {
  for (size_t i = 0; i < s->n_storages; i++)
    if (is_named(s->storages[i]->name, name, len)) return s->storages[i];
  return NULL;
}

static const struct pool_settings *pool_of(const struct settings *s, const char *name, size_t len) {
  for (size_t i = 0; i < s->n_pools; i++)
    if (is_named(s->pools[i]->name, name, len)) return s->pools[i];
  return NULL;
}

static const struct user_settings *user_of(const struct settings *s, const char *name, size_t len) {
  for (size_t i = 0; i < s->n_users; i++)
    if (is_named(s->users[i]->name, name, len)) return s->users[i];
  return NULL;
}

static const struct alert_settings *alert_of(const struct settings *s, const char *name,
                                             size_t len) {
  for (size_t i = 0; i < s->n_alerts; i++)
    if (is_named(s->alerts[i]->name, name, len)) return s->alerts[i];
  return NULL;
}

/* Secrets are masked in the dump, so the secrets of a section that is in both snapshots are
 * compared here. */
static bool secret_changed(const struct settings *from, const struct settings *to,
                           const struct dumped *s) {
  const char *space = memchr(s->head, ' ', s->head_len);
  if (!space) return false;
  const char *name = space + 1;
  size_t len = s->head_len - (size_t)(name - s->head);
  if (!strncmp(s->head, "queue ", 6))
    return core_changed(QUEUE, settings_queue(from, name, len), settings_queue(to, name, len));
  if (!strncmp(s->head, "storage ", 8))
    return core_changed(STORAGE, storage_of(from, name, len), storage_of(to, name, len));
  if (!strncmp(s->head, "user ", 5))
    return core_changed(USER, user_of(from, name, len), user_of(to, name, len));
  if (!strncmp(s->head, "alert ", 6))
    return core_changed(ALERT, alert_of(from, name, len), alert_of(to, name, len));
  if (!strncmp(s->head, "pool ", 5)) {
    const struct pool_settings *a = pool_of(from, name, len), *b = pool_of(to, name, len);
    return core_changed(POOL, a, b) || (a && b && a->transport == b->transport &&
                                        conf_changed(a->transport, POOL, a->conf, b->conf));
  }
  if (!strncmp(s->head, "topic ", 6)) {
    const struct topic_settings *a = settings_topic(from, name, len),
                                *b = settings_topic(to, name, len);
    return core_changed(TOPIC, a, b) || (a && b && a->transport == b->transport &&
                                         conf_changed(a->transport, TOPIC, a->conf, b->conf));
  }
  return false;
}

struct words {
  FILE *out;
  size_t n[3]; /* added, changed, removed */
  const struct dumped *named[3][NAMES_MAX];
};

static void note(struct words *w, int what, const struct dumped *s) {
  if (w->n[what] < NAMES_MAX) w->named[what][w->n[what]] = s;
  w->n[what]++;
}

static void compare(struct words *w, const struct settings *from, const struct settings *to,
                    const struct dump *a, const struct dump *b) {
  size_t i = 0, k = 0;
  while (i < a->n || k < b->n) {
    const struct dumped *x = i < a->n ? &a->sections[i] : NULL;
    const struct dumped *y = k < b->n ? &b->sections[k] : NULL;
    int order = !x ? 1 : !y ? -1 : by_head(x, y);
    if (order < 0)
      note(w, 2, x);
    else if (order > 0)
      note(w, 0, y);
    else if (x->body_len != y->body_len || memcmp(x->body, y->body, x->body_len) ||
             secret_changed(from, to, x))
      note(w, 1, y);
    i += order <= 0;
    k += order >= 0;
  }
}

void settings_changes(const struct settings *from, const struct settings *to, FILE *out) {
  static const char *const titles[] = {"added", "changed", "removed"};
  struct dump a = {0}, b = {0};
  struct words w = {.out = out};
  if (dump_make(from, &a) && dump_make(to, &b)) {
    compare(&w, from, to, &a, &b);
    for (int what = 0; what < 3; what++) {
      if (!w.n[what]) continue;
      fprintf(out, "%s:", titles[what]);
      for (size_t i = 0; i < w.n[what] && i < NAMES_MAX; i++)
        fprintf(out, "%s %.*s", i ? "," : "", (int)w.named[what][i]->head_len,
                w.named[what][i]->head);
      if (w.n[what] > NAMES_MAX) fprintf(out, " and %zu more", w.n[what] - NAMES_MAX);
      fputc('\n', out);
    }
    if (!w.n[0] && !w.n[1] && !w.n[2]) fputs("nothing changed\n", out);
  }
  dump_done(&a);
  dump_done(&b);
}
