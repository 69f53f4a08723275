/* Owns when what is written, and what has been written. See history.h.
 *
 * A write is made of the difference between the counters now and at the last write that is known to
 * have happened. It stays as it is until its answer is known; so it may be sent again.
 */
#include "history/private.h"

#include "base/hash.h"
#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif
#define SEQ_EPOCH_S UINT64_C(1500000000) /* shortens the numbers of rows */

struct kept {
  unsigned refs;
  struct history *h;         /* NULL: nobody asks any more, and `topic` may be gone */
  struct kept *next, **prev; /* of h */
  struct topic *topic;
  char path[2 * NAME_LEN_MAX + 2]; /* "" of the node */
  struct history_row last;         /* the counters as they are written */
  uint64_t last_ms;                /* monotonic: until then they are counted */
  uint64_t news_ms;                /* monotonic: signatures were written early */
  uint64_t seq;
  /* What is being written, or is to be written again. */
  bool pending, on_the_way, again, has_row;
  uint64_t begun_ms;           /* monotonic: since then it is pending */
  struct store *store;         /* that was asked; it lives until it has answered */
  uint64_t refused;            /* times in a row */
  struct history_row now, row; /* counters then; the difference */
  uint64_t now_ms;
  struct failure *failed;
  size_t n_failed;
  uint64_t other;
  /* An hour that this node has put together. 0: none. */
  uint64_t hour_ms;
  struct history_row hour;
  struct history_gauges gauges;
};

static void kept_unref(struct kept *k) {
  if (!k || --k->refs) return;
  free(k->failed);
  free(k);
}

static void kept_forget(struct kept *k) {
  *k->prev = k->next;
  if (k->next) k->next->prev = k->prev;
  k->h = NULL;
  kept_unref(k);
}

/* t NULL: of the node. */
static struct kept *kept_new(struct history *h, struct topic *t) {
  struct kept *k = calloc(1, sizeof *k);
  if (!k) out_of_memory();
  k->refs = 1;
  k->h = h;
  k->topic = t;
  k->next = h->kept;
  k->prev = &h->kept;
  if (k->next) k->next->prev = &k->next;
  h->kept = k;
  if (t) t->kept = k;
  k->last_ms = loop_now_ms(h->loop);
  k->last_ms -= k->last_ms < 60000 ? k->last_ms : 60000;
  if (t) snprintf(k->path, sizeof k->path, "%s", t->set->path);
  return k;
}

/* --- counters --- */

static struct history_row counters_of(const struct topic *t) {
  const struct topic_counters *c = &t->counters;
  return (struct history_row){.accepted = t->queue->counters.accepted,
                              .done = c->done,
                              .failed = c->failed,
                              .dead = c->dead,
                              .retried = c->retried,
                              .run = c->run,
                              .wait = c->wait};
}

static struct history_row difference(const struct history_row *now,
                                     const struct history_row *then) {
  struct history_row d = {.accepted = now->accepted - then->accepted,
                          .done = now->done - then->done,
                          .failed = now->failed - then->failed,
                          .dead = now->dead - then->dead,
                          .retried = now->retried - then->retried};
  histogram_since(&d.run, &now->run, &then->run);
  histogram_since(&d.wait, &now->wait, &then->wait);
  return d;
}

static bool is_nothing(const struct history_row *d) {
  return !(d->accepted || d->done || d->failed || d->dead || d->retried || d->run.count ||
           d->wait.count);
}

/* Jobs are there that do not move: that is worth a row, too. */
static bool waits(const struct topic *t) {
  bool closed = t->state == TOPIC_UNREACHABLE || t->state == TOPIC_UNREGISTERED;
  return t->ready.n || t->requests.running || t->due_ms || (closed && t->fetch.stored);
}

/* --- writing --- */

static struct store *store_of(const struct kept *k) {
  struct store *s = k->topic ? (k->topic->store ? k->topic->store_entry->store : NULL)
                             : k->h->source.home(k->h->source.arg);
  return s && store_state(s) == STORE_READY ? s : NULL;
}

static void hour_sum(struct kept *k, uint64_t hour_ms, const struct store_history_row *rows,
                     size_t n) {
  struct history_row row;
  struct history_gauges gauges;
  k->hour_ms = hour_ms;
  k->hour = (struct history_row){0};
  k->gauges = (struct history_gauges){0};
  for (size_t i = 0; i < n; i++) {
    history_gauges_parse(rows[i].gauges, &gauges);
    history_gauges_merge(&k->gauges, &gauges);
    if (history_row_decode(rows[i].row, rows[i].row_len, &row)) history_row_merge(&k->hour, &row);
  }
  k->hour.span_s = STORE_HOUR_MS / 1000;
}

/* Logged once, then once an hour while it lasts. */
static void refused_tell(struct kept *k, const char *why) {
  char what[96];
  if (k->refused++ % HISTORY_REFUSED_LOG || !k->h) return;
  snprintf(what, sizeof what,
           "its history is not written (refused: %" PRIu64 "), it is tried again each minute",
           k->refused);
  store_log_refusal(k->store, k->topic ? k->path : "history", what, why);
}

static void written_count(const struct kept *k, enum store_rc rc) {
  if (!k->h) return;
  if (rc)
    k->h->failed++;
  else
    k->h->rows += k->has_row;
}

static void on_written(void *arg, enum store_rc rc, uint64_t hour_ms,
                       const struct store_history_row *rows, size_t n, const char *why) {
  struct kept *k = arg;
  k->on_the_way = false;
  written_count(k, rc);
  if (rc) { /* it is tried again with the next minute */
    /* A script that fails midway may have stored its row. */
    k->again |= rc == STORE_UNKNOWN || rc == STORE_ERROR;
    if (rc == STORE_ERROR) refused_tell(k, why);
  } else {
    k->refused = 0;
    if (k->has_row) {
      k->last = k->now;
      k->last_ms = k->now_ms;
      k->hour_ms = 0;
    }
    k->pending = k->again = false;
    free(k->failed);
    k->failed = NULL;
    k->n_failed = 0;
    k->other = 0;
    if (hour_ms) hour_sum(k, hour_ms, rows, n);
  }
  kept_unref(k);
}

static struct store_signature *signatures_of(const struct kept *k) {
  uint64_t now = loop_now_ms(k->h->loop);
  struct store_signature *list = calloc(k->n_failed + 1, sizeof *list);
  if (!list) out_of_memory();
  for (size_t i = 0; i < k->n_failed; i++) {
    const struct failure *f = &k->failed[i];
    list[i] = (struct store_signature){.code = f->signature.code,
                                       .count = f->count,
                                       .job = f->job,
                                       .first_ms = now - f->first_ms,
                                       .last_ms = now - f->last_ms,
                                       .text = f->signature.text,
                                       .text_len = f->signature.len};
    signature_format(f->signature.id, list[i].id);
  }
  return list;
}

static void gauges_print(const struct history_gauges *g, char *ret, size_t size) {
  snprintf(ret, size, "%llu %llu %llu %llu %llu", (unsigned long long)g->ready,
           (unsigned long long)g->running, (unsigned long long)g->retry,
           (unsigned long long)g->dead, (unsigned long long)g->oldest_s);
}

static void kept_send(struct kept *k) {
  unsigned char row[HISTORY_ROW_MAX], hour[HISTORY_ROW_MAX];
  char gauges[128];
  struct store *s = store_of(k);
  const struct topic *t = k->topic;
  if (!s || k->on_the_way) return;
  struct store_history_of of = {.node = registry_settings(k->h->reg)->server.node};
  struct store_signature *signatures = signatures_of(k);
  struct store_history x = {.seq = k->seq,
                            .again = k->again,
                            .signatures = signatures,
                            .n_signatures = k->n_failed,
                            .other = k->other};
  if (t) {
    of.queue = t->set->queue->name;
    of.topic = t->set->name;
  }
  if (k->has_row) {
    x.row = row;
    x.row_len = history_row_encode(&k->row, row);
  }
  if (k->has_row && k->hour_ms) {
    gauges_print(&k->gauges, gauges, sizeof gauges);
    x.hour_ms = k->hour_ms;
    x.hour = hour;
    x.hour_len = history_row_encode(&k->hour, hour);
    x.hour_gauges = gauges;
  }
  k->on_the_way = true;
  k->store = s;
  k->refs++;
  store_history_add(s, &of, &x, on_written, k);
  free(signatures);
}

static void failures_take(struct kept *k, struct failures *f) {
  if (!f || !(f->n || f->other)) return;
  k->failed = malloc((f->n + 1) * sizeof *k->failed);
  if (!k->failed) out_of_memory();
  memcpy(k->failed, f->list, f->n * sizeof *k->failed);
  k->n_failed = f->n;
  k->other = f->other;
  failures_clear(f);
}

static void kept_begin(struct kept *k, bool has_row) {
  uint64_t seq = loop_wall_ms(k->h->loop) / 1000 - SEQ_EPOCH_S;
  k->seq = seq > k->seq ? seq : k->seq + 1;
  k->pending = true;
  k->begun_ms = loop_now_ms(k->h->loop);
  k->has_row = has_row;
  if (k->topic) failures_take(k, k->topic->failures);
}

/* `k` gets a row of the difference, unless there is none. */
static bool kept_row(struct kept *k, const struct history_row *now, bool anyway) {
  struct history_row d = difference(now, &k->last);
  if (is_nothing(&d) && !anyway) {
    k->last_ms = loop_now_ms(k->h->loop);
    return false;
  }
  kept_begin(k, true);
  k->now = *now;
  k->now_ms = loop_now_ms(k->h->loop);
  k->row = d;
  k->row.seq = k->seq;
  k->row.span_s = (k->now_ms - k->last_ms + 500) / 1000;
  return true;
}

static void topic_minute(struct history *h, struct topic *t) {
  struct history_row now = counters_of(t);
  struct kept *k = t->kept;
  if (!k && is_nothing(&now) && !waits(t)) return;
  if (!k) k = kept_new(h, t);
  if (!k->pending) {
    if (!kept_row(k, &now, waits(t))) return;
    history_row_merge(&h->sum, &k->row);
  }
  kept_send(k);
}

static void topic_news(struct history *h, struct topic *t) {
  uint64_t now = loop_now_ms(h->loop);
  struct kept *k = t->kept ? t->kept : kept_new(h, t);
  if (k->pending || (k->news_ms && now - k->news_ms < HISTORY_NEWS_REST) || !store_of(k)) return;
  k->news_ms = now;
  kept_begin(k, false);
  kept_send(k);
}

static void node_minute(struct history *h) {
  struct kept *k = h->node;
  size_t n;
  struct queue *const *queues = registry_queues(h->reg, &n);
  uint64_t accepted = 0;
  if (!k->pending) {
    struct history_row now = k->last;
    for (size_t i = 0; i < n; i++) accepted += queues[i]->counters.accepted;
    h->sum.accepted = accepted - (accepted >= h->accepted ? h->accepted : 0);
    h->accepted = accepted;
    history_row_merge(&now, &h->sum);
    h->sum = (struct history_row){0};
    if (!kept_row(k, &now, false)) return;
  }
  kept_send(k);
}

/* --- when --- */

/* Queues or topics came or went. */
static void topics_follow(struct history *h) {
  size_t n;
  struct topic *const *topics = registry_topics(h->reg, &n);
  bool first = !h->turn;
  if (h->turn && h->generation == registry_generation(h->reg)) return;
  free(h->turn);
  h->turn = malloc(n + 1);
  if (!h->turn) out_of_memory();
  h->generation = registry_generation(h->reg);
  const char *node = registry_settings(h->reg)->server.node;
  uint64_t salt = hash_bytes(HASH_BEGIN, node, strlen(node));
  for (size_t i = 0; i < n; i++) {
    struct topic *t = topics[i];
    h->turn[i] =
        (unsigned char)(hash_bytes(salt, t->set->path, strlen(t->set->path)) % HISTORY_MINUTE_S);
    if (t->kept || first || !t->queue->counters.accepted) continue;
    kept_new(h, t)->last.accepted = t->queue->counters.accepted; /* its queue is older */
  }
}

/* Has the turn `at` come in the seconds after `from`, up to `to`? */
static bool has_come(unsigned at, uint64_t from, uint64_t to) {
  return to - from >= HISTORY_MINUTE_S ||
         (at + HISTORY_MINUTE_S - (from + 1) % HISTORY_MINUTE_S) % HISTORY_MINUTE_S < to - from;
}

/* After a reload: the next few topics. */
static void hurry(struct history *h, struct topic *const *topics, size_t n) {
  size_t end = h->hurry + HISTORY_SLICE < n ? h->hurry + HISTORY_SLICE : n;
  while (h->hurry < end) topic_minute(h, topics[h->hurry++]);
  if (end < n) return;
  h->hurries = false;
  node_minute(h);
}

static void on_tick(void *arg) {
  struct history *h = arg;
  uint64_t now_ms = loop_now_ms(h->loop), now = now_ms / 1000, from = h->ticked_s;
  bool news = now_ms - h->looked_ms >= HISTORY_NEWS_MS;
  size_t n;
  topics_follow(h);
  struct topic *const *topics = registry_topics(h->reg, &n);
  for (size_t i = 0; i < n; i++) {
    if (has_come(h->turn[i], from, now)) topic_minute(h, topics[i]);
    if (news && topics[i]->failures && topics[i]->failures->news) topic_news(h, topics[i]);
  }
  if (has_come(HISTORY_MINUTE_S / 2, from, now)) node_minute(h);
  if (!h->told_start)
    h->told_start = history_mark(h, "start", "pepperbusd " PACKAGE_VERSION, NULL, NULL);
  if (news) h->looked_ms = now_ms;
  h->ticked_s = now;
  if (h->hurries) hurry(h, topics, n);
  timer_start(&h->tick, h->hurries ? 0 : HISTORY_LOOK_MS);
}

struct history *history_new(struct loop *loop, struct registry *reg,
                            const struct history_source *source) {
  struct history *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  h->loop = loop;
  h->reg = reg;
  h->source = *source;
  h->node = kept_new(h, NULL);
  h->looked_ms = loop_now_ms(loop);
  h->ticked_s = h->looked_ms / 1000;
  timer_init(&h->tick, loop, on_tick, h);
  timer_start(&h->tick, HISTORY_LOOK_MS);
  return h;
}

void history_hurry(struct history *h) {
  if (h->stopped) return;
  h->hurries = true;
  h->hurry = 0;
  timer_start(&h->tick, 0);
}

void history_flush(struct history *h) {
  size_t n;
  if (h->stopped) return;
  struct topic *const *topics = registry_topics(h->reg, &n);
  for (size_t i = 0; i < n; i++) topic_minute(h, topics[i]);
  node_minute(h);
}

/* Its last try. Where it cannot even be sent, its row is lost. */
static void kept_leave(struct kept *k) {
  if (k->pending) kept_send(k);
  if (k->pending && !k->on_the_way) k->h->dropped += k->has_row;
  kept_forget(k);
}

/* A write that is on the way, or failed, stays as it is: what came after it is another one. */
static struct kept *kept_rest(struct kept *k, struct topic *t) {
  struct kept *rest = kept_new(k->h, t);
  rest->last = k->has_row ? k->now : k->last;
  rest->last_ms = k->has_row ? k->now_ms : k->last_ms;
  rest->seq = k->seq;
  kept_leave(k);
  return rest;
}

void history_topic_gone(struct history *h, struct topic *t) {
  struct history_row now = counters_of(t);
  struct kept *k = t->kept;
  if (h->stopped || (!k && is_nothing(&now))) return;
  if (k && k->pending) k = kept_rest(k, t);
  if (!k) k = kept_new(h, t);
  if (kept_row(k, &now, false)) history_row_merge(&h->sum, &k->row);
  kept_leave(k);
  t->kept = NULL;
}

void history_stop(struct history *h) {
  if (!h || h->stopped) return;
  h->stopped = true;
  timer_stop(&h->tick);
}

void history_free(struct history *h) {
  if (!h) return;
  timer_done(&h->tick);
  while (h->kept) kept_forget(h->kept);
  free(h->turn);
  free(h);
}

struct history_figures history_figures(const struct history *h) {
  struct history_figures f = {.rows = h->rows, .failed = h->failed, .dropped = h->dropped};
  uint64_t now = loop_now_ms(h->loop);
  for (const struct kept *k = h->kept; k; k = k->next) {
    uint64_t waits_ms = k->pending ? now - k->begun_ms : 0;
    if (waits_ms < HISTORY_BEHIND_MS) continue;
    f.behind++;
    if (waits_ms > f.behind_ms) f.behind_ms = waits_ms;
  }
  return f;
}

/* A mark that nobody asks about. */
static void on_marked(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  (void)count;
  if (rc == STORE_ERROR) store_log_refusal(arg, "history", "a mark is not written", why);
}

bool history_mark(struct history *h, const char *kind, const char *text, store_done_fn fn,
                  void *arg) {
  struct store *s = h->source.home(h->source.arg);
  struct store_mark mark = {
      .kind = kind, .text = text, .node = registry_settings(h->reg)->server.node};
  if (!s || store_state(s) != STORE_READY) return false;
  store_mark_add(s, &mark, fn ? fn : on_marked, fn ? arg : s);
  return true;
}
