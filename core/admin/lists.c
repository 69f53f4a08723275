/* Owns lists of thousands: they are sent as they are made, some of them in each turn, and of what
 * the storages are asked only so much is on the way at a time.
 *
 * Must never happen: a list that holds the loop, or one that stands in memory as a whole. Names are
 * copied first; each thing is looked up again when its turn comes, since a reload may have freed
 * it.
 */
#include "admin/private.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_US      1000
#define PIECE         (32u << 10)
#define LOOKS_AT_ONCE 16
#define PAGE_MAX      25 /* topics in one question: to tell of them takes a ms */

_Static_assert(PAGE_MAX <= STORE_LOOK_MAX, "so many can be asked for at once");

struct names {
  struct buf text; /* each ended by a NUL */
  size_t n, next, at;
};

static void names_add(struct names *l, const char *name) {
  buf_add(&l->text, name, strlen(name) + 1);
  l->n++;
}

static const char *names_peek(const struct names *l) {
  return l->next < l->n ? l->text.data + l->at : NULL;
}

static void names_take(struct names *l) {
  l->at += strlen(l->text.data + l->at) + 1;
  l->next++;
}

static void item_add(struct buf *out, json_t *item, bool *first) {
  char *text = json_dumps(item, JSON_COMPACT | JSON_REAL_PRECISION(9));
  if (!text)
    out->failed = true;
  else {
    if (!*first) buf_add(out, ",", 1);
    buf_add_text(out, text);
    *first = false;
  }
  free(text);
  json_decref(item);
}

/* --- queues --- */

struct queue_list {
  struct broker *b;
  struct names names;
  bool begun, first;
};

static enum http_stream queues_more(void *arg, struct buf *out) {
  struct queue_list *l = arg;
  uint64_t end = loop_clock_us() + SLICE_US;
  const char *name;
  if (!l->begun) buf_add_text(out, "{\"queues\":[");
  l->begun = true;
  while ((name = names_peek(&l->names)) && out->len < PIECE && loop_clock_us() < end) {
    struct queue *q = registry_queue(l->b->registry, name, strlen(name));
    names_take(&l->names);
    if (q) item_add(out, admin_queue_json(q), &l->first);
  }
  if (name) return HTTP_MORE;
  buf_add_text(out, "]}\n");
  return HTTP_END;
}

static void queues_done(void *arg) {
  struct queue_list *l = arg;
  buf_free(&l->names.text);
  free(l);
}

void admin_get_queues(struct call *c) {
  size_t n;
  struct queue *const *queues = registry_queues(c->b->registry, &n);
  struct queue_list *l = calloc(1, sizeof *l);
  stats_freshen(c->b->stats);
  if (!l) {
    call_error(c, 500, "out of memory");
    return;
  }
  l->b = c->b;
  l->first = true;
  for (size_t i = 0; i < n; i++) names_add(&l->names, queues[i]->name);
  call_stream(c, "application/json", UINT64_MAX, queues_more, queues_done, l);
}

/* --- topics, with what the storages hold of them --- */

struct topic_list;

/* Neighbours, topics of one queue: one question to the storage. */
struct page {
  struct page *next;
  struct topic_list *list;
  size_t n;
  bool done;
  json_t *items[PAGE_MAX];
};

struct topic_list {
  struct broker *b;
  struct http_request *req; /* NULL: its answer has ended */
  struct names names;
  struct page *head, **tail; /* in their order; the head is sent when it is done */
  size_t pages;
  unsigned refs; /* the stream's, and one for each question on the way */
  bool begun, first;
};

static void list_unref(struct topic_list *l) {
  if (--l->refs) return;
  while (l->head) {
    struct page *p = l->head;
    l->head = p->next;
    for (size_t i = 0; i < p->n; i++) json_decref(p->items[i]);
    free(p);
  }
  buf_free(&l->names.text);
  free(l);
}

static void on_look(void *arg, enum store_rc rc, const struct store_depth *d, size_t n,
                    const char *why) {
  struct page *p = arg;
  struct topic_list *l = p->list;
  for (size_t i = 0; i < p->n; i++) admin_set_depth(p->items[i], rc, i < n ? &d[i] : NULL, why);
  p->done = true;
  if (l->req && p == l->head) http_stream_wake(l->req);
  list_unref(l);
}

static struct topic *next_topic(struct topic_list *l) {
  const char *path = names_peek(&l->names);
  return path ? registry_topic(l->b->registry, path, strlen(path)) : NULL;
}

/* The next of the names and its neighbours. False: no memory. */
static bool page_ask(struct topic_list *l) {
  struct store_topic *asked[PAGE_MAX];
  struct topic *first = next_topic(l), *t = first;
  struct page *p = first ? calloc(1, sizeof *p) : NULL;
  if (!first) { /* no longer there */
    names_take(&l->names);
    return true;
  }
  if (!p) return false;
  p->list = l;
  *l->tail = p;
  l->tail = &p->next;
  l->pages++;
  do {
    asked[p->n] = t->store;
    p->items[p->n++] = admin_topic_json(t);
    names_take(&l->names);
    t = p->n < PAGE_MAX ? next_topic(l) : NULL;
  } while (first->store && t && t->store && t->store_entry == first->store_entry);
  if (!first->store) {
    admin_set_depth(p->items[0], STORE_UNAVAILABLE, NULL, "not on this node");
    p->done = true;
    return true;
  }
  l->refs++;
  store_look_many(asked, p->n, on_look, p);
  return true;
}

static void page_send(struct topic_list *l, struct buf *out) {
  struct page *p = l->head;
  l->head = p->next;
  if (!l->head) l->tail = &l->head;
  l->pages--;
  for (size_t i = 0; i < p->n; i++) item_add(out, p->items[i], &l->first);
  free(p);
}

static enum http_stream topics_more(void *arg, struct buf *out) {
  struct topic_list *l = arg;
  uint64_t end = loop_clock_us() + SLICE_US;
  if (!l->begun) buf_add_text(out, "{\"topics\":[");
  l->begun = true;
  while (loop_clock_us() < end && out->len < PIECE) {
    if (l->head && l->head->done) {
      page_send(l, out);
    } else if (names_peek(&l->names) && l->pages < LOOKS_AT_ONCE) {
      if (!page_ask(l)) return HTTP_CUT;
    } else if (l->head) {
      return HTTP_WAIT;
    } else {
      buf_add_text(out, "]}\n");
      return HTTP_END;
    }
  }
  return HTTP_MORE;
}

static void topics_done(void *arg) {
  struct topic_list *l = arg;
  l->req = NULL;
  list_unref(l);
}

/* ?queue= and ?system= choose. */
void admin_get_topics(struct call *c) {
  size_t n;
  char queue[NAME_LEN_MAX + 2] = "", system[NAME_LEN_MAX + 2] = "";
  bool by_queue = call_query(c, "queue", queue, sizeof queue);
  bool by_system = call_query(c, "system", system, sizeof system);
  struct topic *const *topics = registry_topics(c->b->registry, &n);
  stats_freshen(c->b->stats);
  if (by_queue && !call_queue_named(c, queue)) return;
  struct topic_list *l = calloc(1, sizeof *l);
  if (!l) {
    call_error(c, 500, "out of memory");
    return;
  }
  l->b = c->b;
  l->req = c->req;
  l->tail = &l->head;
  l->refs = 1;
  l->first = true;
  for (size_t i = 0; i < n; i++) {
    const struct queue_settings *q = topics[i]->set->queue;
    if (by_queue && strcmp(q->name, queue) != 0) continue;
    if (by_system && strcmp(q->system ? q->system->name : "", system) != 0) continue;
    names_add(&l->names, topics[i]->set->path);
  }
  call_stream(c, "application/json", UINT64_MAX, topics_more, topics_done, l);
}

/* --- the configuration --- */

struct config_text {
  struct settings *settings;
  const char *file;
  size_t part;
};

static enum http_stream config_more(void *arg, struct buf *out) {
  struct config_text *t = arg;
  uint64_t end = loop_clock_us() + SLICE_US;
  char *text = NULL;
  size_t len = 0;
  bool more = true;
  FILE *f = open_memstream(&text, &len);
  if (!f) return HTTP_CUT;
  if (!t->part) {
    buf_add_text(out, "{\"config_file\":\"");
    buf_add_json(out, t->file, strlen(t->file));
    buf_add_text(out, "\",\"config\":\"");
  }
  while (more && loop_clock_us() < end) more = settings_dump_part(t->settings, t->part++, f);
  fclose(f);
  buf_add_json(out, text, len);
  free(text);
  if (more) return HTTP_MORE;
  buf_add_text(out, "\"}\n");
  return HTTP_END;
}

static void config_done(void *arg) {
  struct config_text *t = arg;
  settings_unref(t->settings);
  free(t);
}

void admin_get_config(struct call *c) {
  struct config_text *t = calloc(1, sizeof *t);
  if (!t) {
    call_error(c, 500, "out of memory");
    return;
  }
  t->settings = settings_ref(c->b->settings);
  t->file = c->b->config_file;
  call_stream(c, "application/json", UINT64_MAX, config_more, config_done, t);
}
