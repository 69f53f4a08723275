/* Owns the rows of the audit log on their way to the storage and back.
 *
 * Must never happen: an act that waits for its row; rows without bound in memory; a row that
 * somebody without the key has written, shown as ours.
 */
#include "accounts/audit.h"

#include "base/json_text.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define MINUTE_MS 60000
#define MARK_HEX  (2 * SEAL_MARK_LEN)
#define PAGES_MAX 20 /* of the storage for one page with a filter */

struct waiting {
  TAILQ_ENTRY(waiting) link;
  json_t *row;
};
TAILQ_HEAD(waiting_list, waiting);

struct audit {
  struct vault *vault;
  struct settings *const *settings;
  struct waiting_list waiting; /* the oldest first; the first one may be on its way */
  size_t n_waiting;
  uint64_t dropped;
  bool sending, stopped;
  struct timer again;
  uint64_t minute_ms; /* of refusals: when it began */
  uint64_t refused, refused_known;
};

/* --- rows --- */

static json_t *text_json(const char *text) {
  if (!text) return json_null();
  size_t len = strnlen(text, AUDIT_TEXT_MAX);
  if (len == AUDIT_TEXT_MAX)
    while (len && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
  return json_text(text, len);
}

static json_t *value_json(json_t *value) {
  char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  bool fits = text && strlen(text) <= AUDIT_VALUE_MAX;
  bool cut = text && !fits;
  free(text);
  if (fits) return json_incref(value);
  return cut ? json_string("too large for this log") : json_null();
}

static json_t *row_json(const struct audit *a, const struct audit_row *r) {
  json_t *o = json_object();
  json_object_set_new(o, "at_ms", json_integer((json_int_t)vault_now_ms(a->vault)));
  json_object_set_new(o, "node", text_json((*a->settings)->server.node));
  json_object_set_new(o, "user", text_json(r->user));
  json_object_set_new(o, "how", text_json(r->how));
  json_object_set_new(o, "client", text_json(r->client));
  json_object_set_new(o, "agent", text_json(r->agent));
  json_object_set_new(o, "what", text_json(r->what));
  json_object_set_new(o, "object", text_json(r->object));
  json_object_set_new(o, "result", text_json(r->result));
  json_object_set_new(o, "refused", json_boolean(r->refused));
  json_object_set_new(o, "before", value_json(r->before));
  json_object_set_new(o, "after", value_json(r->after));
  return o;
}

/* --- to the storage --- */

static void send_next(void *arg);

static void waiting_pop(struct audit *a) {
  struct waiting *w = TAILQ_FIRST(&a->waiting);
  TAILQ_REMOVE(&a->waiting, w, link);
  a->n_waiting--;
  json_decref(w->row);
  free(w);
}

static void on_added(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct audit *a = arg;
  (void)count;
  a->sending = false;
  if (rc == STORE_UNAVAILABLE) {
    if (!a->stopped) timer_start(&a->again, 1000);
    return;
  }
  if (rc != STORE_OK)
    log_warning(a->vault->log, "audit", "a row may not have been stored: %s", why);
  waiting_pop(a);
  send_next(a);
}

static void send_next(void *arg) {
  struct audit *a = arg;
  struct waiting *w = TAILQ_FIRST(&a->waiting);
  if (a->sending || a->stopped || !w) return;
  if (vault_away(a->vault)) {
    timer_start(&a->again, 1000);
    return;
  }
  if (a->dropped) {
    log_warning(a->vault->log, "audit", "%llu rows were lost while the storage was away",
                (unsigned long long)a->dropped);
    json_object_set_new(w->row, "lost_before", json_integer((json_int_t)a->dropped));
    a->dropped = 0;
  }
  char *text = vault_close(a->vault->seal(a->vault->arg), STORE_DOC_KINDS, "", w->row);
  if (!text) out_of_memory();
  a->sending = true;
  store_audit_add(a->vault->store(a->vault->arg), text, strlen(text), on_added, a);
  free(text);
}

static void row_put(struct audit *a, json_t *row) {
  struct waiting *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  w->row = row;
  if (a->n_waiting >= AUDIT_WAITING) {
    a->dropped++;
    json_decref(row);
    free(w);
    return;
  }
  TAILQ_INSERT_TAIL(&a->waiting, w, link);
  a->n_waiting++;
  send_next(a);
}

/* The row that stands for all refusals of a minute beyond the first ones. */
static void refused_count(struct audit *a) {
  char text[96];
  uint64_t more = a->refused > AUDIT_REFUSED_MAX ? a->refused - AUDIT_REFUSED_MAX : 0;
  if (a->refused_known > AUDIT_REFUSED_KNOWN) more += a->refused_known - AUDIT_REFUSED_KNOWN;
  a->refused = a->refused_known = 0;
  if (!more) return;
  snprintf(text, sizeof text, "%llu more tries were refused within a minute",
           (unsigned long long)more);
  struct audit_row r = {.what = "refused", .result = text, .refused = true};
  row_put(a, row_json(a, &r));
}

void audit_add(struct audit *a, const struct audit_row *row) {
  uint64_t now = loop_now_ms(a->vault->loop);
  if (now - a->minute_ms >= MINUTE_MS) {
    refused_count(a);
    a->minute_ms = now;
  }
  if (row->refused && !row->known && ++a->refused > AUDIT_REFUSED_MAX) return;
  if (row->refused && row->known && ++a->refused_known > AUDIT_REFUSED_KNOWN) return;
  row_put(a, row_json(a, row));
}

/* --- life --- */

struct audit *audit_new(struct vault *v, struct settings *const *settings) {
  struct audit *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  a->vault = v;
  a->settings = settings;
  TAILQ_INIT(&a->waiting);
  timer_init(&a->again, v->loop, send_next, a);
  return a;
}

void audit_stop(struct audit *a) {
  size_t lost = a->n_waiting - (a->sending ? 1 : 0) + a->dropped;
  a->stopped = true;
  timer_done(&a->again);
  if (lost)
    log_warning(a->vault->log, "audit", "%zu rows are lost: the storage was away until the end",
                lost);
}

void audit_free(struct audit *a) {
  if (!a) return;
  while (!TAILQ_EMPTY(&a->waiting)) waiting_pop(a);
  free(a);
}

/* --- from the storage --- */

struct listing {
  struct audit *audit;
  audit_fn fn;
  void *arg;
  size_t limit, pages;
  char *user; /* NULL: all */
  uint64_t since_ms, until_ms;
  json_t *rows;
  char cursor[128];
};

static void listing_end(struct listing *l, int rc, const char *why) {
  l->fn(l->arg, rc, l->rows, l->cursor, why);
  json_decref(l->rows);
  free(l->user);
  free(l);
}

static bool fits(const struct listing *l, json_t *o) {
  uint64_t at = vault_u64(o, "at_ms");
  if (l->user && strcmp(vault_text(o, "user"), l->user) != 0) return false;
  return at >= l->since_ms && (!l->until_ms || at < l->until_ms);
}

static void listing_next(struct listing *l);

static void on_rows(void *arg, enum store_rc rc, const struct store_audit_row *rows, size_t n,
                    const char *why) {
  struct listing *l = arg;
  struct vault *v = l->audit->vault;
  const struct seal *seal = v->seal(v->arg);
  bool full = false, old = false;
  if (rc != STORE_OK || !seal) {
    listing_end(l, rc == STORE_ERROR ? -EIO : -EAGAIN, why);
    return;
  }
  for (size_t i = 0; i < n && !full && !old; i++) {
    snprintf(l->cursor, sizeof l->cursor, "%s", rows[i].id);
    old = rows[i].at_ms < l->since_ms;
    json_t *o = vault_open(seal, STORE_DOC_KINDS, "", rows[i].data, rows[i].len);
    if (!o) {
      v->forged++;
      continue;
    }
    if (fits(l, o)) {
      json_object_set_new(o, "id", json_string(rows[i].id));
      json_array_append(l->rows, o);
    }
    json_decref(o);
    full = json_array_size(l->rows) >= l->limit;
  }
  if (!full && (old || !n)) l->cursor[0] = 0;
  if (full || old || !n || ++l->pages >= PAGES_MAX)
    listing_end(l, 0, "");
  else
    listing_next(l);
}

static void listing_next(struct listing *l) {
  struct vault *v = l->audit->vault;
  const char *why = vault_away(v);
  size_t page = l->limit < 100 ? 100 : l->limit;
  if (why)
    listing_end(l, -EAGAIN, why);
  else
    store_audit_list(v->store(v->arg), l->cursor, page, on_rows, l);
}

void audit_list(struct audit *a, const struct audit_query *q, audit_fn fn, void *arg) {
  struct listing *l = calloc(1, sizeof *l);
  if (!l || (q->user && !(l->user = strdup(q->user)))) out_of_memory();
  l->audit = a;
  l->fn = fn;
  l->arg = arg;
  l->limit = q->limit < 1 ? 1 : q->limit > STORE_AUDIT_PAGE ? STORE_AUDIT_PAGE : q->limit;
  l->since_ms = q->since_ms;
  l->until_ms = q->until_ms;
  l->rows = json_array();
  snprintf(l->cursor, sizeof l->cursor, "%s", q->before);
  listing_next(l);
}
