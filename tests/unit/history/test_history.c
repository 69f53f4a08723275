/* core/history/history.c on a clock that the test moves, with a storage that remembers what it was
 * given and answers at the end of the turn, or when it is told to. */
#include "unit/fake_loop.h"

#include "history/history.c"

/* --- a registry of two topics of two queues --- */

struct registry {
  struct settings settings;
  struct queue_settings queue_settings[2];
  struct topic_settings topic_settings[2];
  struct queue queue[2], *queues[2];
  struct queue_store entry;
  struct topic topic[2], *topics[2];
  uint64_t generation;
};
struct store {
  enum store_state state;
};

static struct registry reg;
static struct store storage = {STORE_READY};
static struct loop *loop;

struct queue *const *registry_queues(struct registry *r, size_t *ret_n) {
  *ret_n = 2;
  return r->queues;
}
struct topic *const *registry_topics(struct registry *r, size_t *ret_n) {
  *ret_n = 2;
  return r->topics;
}
const struct settings *registry_settings(const struct registry *r) {
  return &r->settings;
}
uint64_t registry_generation(const struct registry *r) {
  return r->generation;
}
enum store_state store_state(const struct store *s) {
  return s->state;
}

/* --- the storage --- */

#define WRITES_MAX 256
static struct write {
  char topic[16];
  bool has_row, again;
  struct history_row row;
  uint64_t seq, hour_ms, signed_n, other;
  struct history_row hour;
} writes[WRITES_MAX];
static size_t n_writes, n_marks;
static enum store_rc next_rc;
static uint64_t next_hour;
static bool holds;
static struct {
  struct deferred deferred;
  store_history_fn fn;
  void *arg;
  bool due;
} answers[4];

static void answer_give(void *arg) {
  size_t i = (size_t)arg;
  unsigned char blob[HISTORY_ROW_MAX];
  struct history_row r = {.done = 5, .accepted = 6};
  size_t len = history_row_encode(&r, blob);
  struct store_history_row rows[] = {
      {.node = "", .gauges = "1 0 0 2 3", .row = blob, .row_len = len},
      {.node = "", .gauges = "4 0 0 0 0", .row = blob, .row_len = len}};
  uint64_t hour = next_hour;
  next_hour = 0;
  answers[i].due = false;
  answers[i].fn(answers[i].arg, next_rc, next_rc ? 0 : hour, rows, hour && !next_rc ? 2 : 0, "");
}

void store_history_add(struct store *s, const struct store_history_of *of,
                       const struct store_history *h, store_history_fn fn, void *arg) {
  struct write *w = &writes[n_writes++ % WRITES_MAX];
  size_t i = 0;
  (void)s;
  *w = (struct write){.has_row = h->row,
                      .again = h->again,
                      .seq = h->seq,
                      .hour_ms = h->hour_ms,
                      .signed_n = h->n_signatures,
                      .other = h->other};
  snprintf(w->topic, sizeof w->topic, "%s", of->queue ? of->queue : "");
  if (h->row && !history_row_decode(h->row, h->row_len, &w->row)) fail("the row can be read");
  if (h->hour_ms && !history_row_decode(h->hour, h->hour_len, &w->hour))
    fail("the hour can be read");
  while (answers[i].due) i++;
  answers[i].fn = fn;
  answers[i].arg = arg;
  answers[i].due = true;
  if (!holds) loop_defer(loop, &answers[i].deferred, answer_give, (void *)i);
}

static unsigned refusals;
static char refused[512];
void store_log_refusal(struct store *s, const char *subject, const char *what, const char *why) {
  if (s != &storage) fail("the storage that refused");
  refusals++;
  snprintf(refused, sizeof refused, "%s: %s: %s", subject, what, why);
}

static enum store_rc mark_rc;
void store_mark_add(struct store *s, const struct store_mark *mark, store_done_fn fn, void *arg) {
  (void)s;
  if (mark_rc) fn(arg, mark_rc, 0, "no");
  n_marks += !strcmp(mark->kind, "start") && !strcmp(mark->node, "n");
}

/* --- the station --- */

static struct history *h;

static struct store *home(void *arg) {
  (void)arg;
  return &storage;
}

static void begin(void) {
  static const char *const names[] = {"p", "q"}, *const paths[] = {"p/t", "q/t"};
  reg = (struct registry){.generation = 1};
  reg.settings.server.node = "n";
  reg.entry.store = &storage;
  for (size_t i = 0; i < 2; i++) {
    reg.queue_settings[i].name = (char *)names[i];
    reg.topic_settings[i].name = "t";
    reg.topic_settings[i].path = (char *)paths[i];
    reg.topic_settings[i].queue = &reg.queue_settings[i];
    reg.queue[i].set = &reg.queue_settings[i];
    reg.topic[i].set = &reg.topic_settings[i];
    reg.topic[i].queue = &reg.queue[i];
    reg.topic[i].store = (struct store_topic *)&reg;
    reg.topic[i].store_entry = &reg.entry;
    reg.queues[i] = &reg.queue[i];
    reg.topics[i] = &reg.topic[i];
  }
  n_writes = n_marks = 0;
  next_rc = STORE_OK;
  storage.state = STORE_READY;
  h = history_new(loop, &reg, &(struct history_source){.home = home});
}

static void end(void) {
  for (size_t i = 0; i < 2; i++) failures_free(reg.topic[i].failures);
  history_stop(h);
  history_free(h);
  loop_turn(loop, 0);
}

static void minutes(unsigned n) {
  for (unsigned i = 0; i < n * 60; i++) loop_advance(loop, 1000);
}

/* Rows of a topic since the last time, summed up; their number. */
static size_t written(const char *topic, struct history_row *ret) {
  size_t n = 0;
  *ret = (struct history_row){0};
  for (size_t i = 0; i < n_writes; i++) {
    if (strcmp(writes[i].topic, topic) || !writes[i].has_row) continue;
    history_row_merge(ret, &writes[i].row);
    n++;
  }
  n_writes = 0;
  return n;
}

static void test_rows(void) {
  struct history_row r;
  begin();
  minutes(3);
  is_int(n_writes, 0, "idle topics write nothing, nor does an idle node");
  is_int(n_marks, 1, "the start of the node is marked, once");
  reg.topic[1].counters.done = 7;
  histogram_add(&reg.topic[1].counters.run, 5);
  minutes(1);
  is_int(written("q", &r), 1, "a topic with jobs writes one row in a minute");
  ok(r.done == 7 && r.run.count == 1 && r.span_s == 60, "with what it did in that minute");
  minutes(1);
  is_int(written("p", &r), 0, "the other one writes nothing");
  reg.topic[1].counters.done = 10;
  reg.queue[1].counters.accepted = 2;
  minutes(1);
  is_int(written("q", &r), 1, "the next minute with jobs is a row again");
  ok(r.done == 3 && r.accepted == 2 && !r.run.count, "of what was new");
  reg.topic[1].ready.n = 1;
  minutes(2);
  is_int(written("q", &r), 2, "a topic whose jobs wait writes, too");
  reg.topic[1].ready.n = 0;
  end();
}

static void test_node(void) {
  struct history_row r;
  begin();
  reg.topic[0].counters.done = 3;
  reg.topic[1].counters.done = 4;
  reg.queue[1].counters.accepted = 9;
  minutes(2);
  ok(written("", &r) >= 1 && r.done == 7 && r.accepted == 9, "the node's rows sum its topics up");
  end();
}

static void test_outage(void) {
  struct history_row r;
  begin();
  storage.state = STORE_CONNECTING;
  reg.topic[1].counters.done = 5;
  minutes(2);
  is_int(n_writes, 0, "nothing is asked of a storage that is away");
  struct history_figures f = history_figures(h);
  ok(f.behind == 1 + (h->node->pending ? 1 : 0) && f.behind_ms >= 60000 && !f.rows && !f.failed,
     "what waits is told, and for how long");
  storage.state = STORE_READY;
  reg.topic[1].counters.done = 9;
  minutes(3);
  written("q", &r);
  is_int(r.done, 9, "all of it is written when it is back");
  f = history_figures(h);
  ok(!f.behind && !f.behind_ms && f.rows >= 2 && !f.dropped, "and nothing waits");
  next_rc = STORE_UNKNOWN;
  reg.topic[1].counters.done = 12;
  minutes(1);
  size_t last = n_writes;
  ok(last && !writes[0].again, "an answer is lost");
  is_int(history_figures(h).failed, (long)last, "each is counted");
  uint64_t seq = writes[0].seq;
  reg.topic[1].counters.done = 20;
  n_writes = 0;
  next_rc = STORE_OK;
  minutes(1);
  ok(writes[0].again && writes[0].seq == seq && writes[0].row.done == 3,
     "the same row is given again, and says so");
  n_writes = 0;
  minutes(1);
  written("q", &r);
  is_int(r.done, 8, "what came meanwhile is another row");
  end();
}

static void test_refused(void) {
  struct history_row r;
  begin();
  refusals = 0;
  next_rc = STORE_ERROR;
  reg.topic[1].counters.done = 12;
  minutes(1);
  written("q", &r);
  minutes(1);
  size_t i = 0;
  while (i < n_writes && strcmp(writes[i].topic, "q")) i++;
  ok(i < n_writes && writes[i].again && writes[i].row.done == 12,
     "what was refused midway may be there: it is given again, and says so");
  is_int(refusals, 2, "that the topic and the node are not written is logged once");
  next_rc = STORE_OK;
  minutes(1);
  next_rc = STORE_ERROR;
  reg.topic[1].counters.done = 13;
  refusals = 0;
  minutes(1);
  is_int(refusals, 2, "and again when it was written in between");
  ok(strstr(refused, ": its history is not written (refused: 1)") != NULL, "with a sentence");
  mark_rc = STORE_ERROR;
  history_mark(h, "deploy", "x", NULL, NULL);
  is_str(refused, "history: a mark is not written: no", "a mark that is refused is logged");
  mark_rc = STORE_OK;
  end();
}

static void test_hours(void) {
  begin();
  next_hour = 3600000;
  reg.topic[1].counters.done = 1;
  for (unsigned i = 0; i < 60 && !n_writes; i++) loop_advance(loop, 1000);
  loop_turn(loop, 0);
  n_writes = 0;
  reg.topic[1].counters.done = 2;
  minutes(1);
  size_t i = 0;
  while (i < n_writes && strcmp(writes[i].topic, "q")) i++;
  is_int(writes[i].hour_ms, 3600000, "an hour that is due comes with the next row");
  ok(writes[i].hour.done == 10 && writes[i].hour.accepted == 12, "all its rows put together");
  n_writes = 0;
  reg.topic[1].counters.done = 3;
  minutes(1);
  ok(n_writes && !writes[0].hour_ms, "and is given once");
  end();
}

static void test_news(void) {
  begin();
  struct failures **f = &reg.topic[1].failures;
  failures_add(f, loop_now_ms(loop), 1, 500, "no luck", 7);
  for (int i = 0; i < 2; i++) loop_advance(loop, 1000);
  ok(n_writes == 1 && !writes[0].has_row && writes[0].signed_n == 1,
     "a new signature is written within two seconds");
  loop_turn(loop, 0);
  failures_add(f, loop_now_ms(loop), 2, 500, "no bread", 8);
  for (int i = 0; i < 4; i++) loop_advance(loop, 1000);
  is_int(n_writes, 1, "the next one waits for ten seconds");
  for (int i = 0; i < 8; i++) loop_advance(loop, 1000);
  is_int(n_writes, 2, "and is written then");
  n_writes = 0;
  failures_add(f, loop_now_ms(loop), 3, 500, "no luck", 7);
  reg.topic[1].counters.failed = 1;
  minutes(1);
  size_t n = 0;
  for (size_t i = 0; i < n_writes; i++) n += writes[i].signed_n;
  ok(n == 1 && writes[0].has_row, "a known one comes with the minute's row");
  end();
}

/* An empty topic whose worker cannot be reached has nothing to tell. */
static void test_unreachable(void) {
  struct history_row r;
  begin();
  reg.topic[1].state = TOPIC_UNREACHABLE;
  reg.topic[1].fetch.more = true; /* nobody has looked yet */
  minutes(2);
  is_int(n_writes, 0, "an empty topic that cannot be reached writes nothing");
  reg.topic[1].fetch.stored = true;
  minutes(2);
  is_int(written("q", &r), 2, "one with jobs in the storage does");
  end();
}

static void test_gone(void) {
  struct history_row r;
  begin();
  reg.topic[1].counters.done = 5;
  minutes(1);
  n_writes = 0;
  reg.topic[1].counters.done = 7;
  history_topic_gone(h, &reg.topic[1]);
  written("q", &r);
  ok(r.done == 2 && !reg.topic[1].kept, "what a topic did last is written when it ends");
  loop_turn(loop, 0);
  history_topic_gone(h, &reg.topic[0]);
  is_int(n_writes, 0, "of one that did nothing, nothing");
  is_int(history_figures(h).dropped, 0, "nothing is lost");
  storage.state = STORE_CONNECTING;
  reg.topic[1].counters.done = 9;
  history_topic_gone(h, &reg.topic[1]);
  is_int(history_figures(h).dropped, 1, "but where the storage is away");
  storage.state = STORE_READY;
  holds = true;
  reg.topic[0].counters.done = 3;
  minutes(1);
  written("p", &r);
  reg.topic[0].counters.done = 8;
  history_topic_gone(h, &reg.topic[0]);
  written("p", &r);
  is_int(r.done, 5, "what came behind a row on the way is a row of its own");
  end();
  holds = false;
  for (size_t i = 0; i < 4; i++)
    if (answers[i].due) answer_give((void *)i);
}

static void test_reload(void) {
  struct history_row r;
  begin();
  reg.topic[1].counters.done = 5;
  reg.queue[1].counters.accepted = 100;
  minutes(1);
  reg.topic[1].counters.done = 6;
  history_hurry(h);
  loop_turn(loop, 0);
  written("q", &r);
  is_int(r.done, 6, "a reload writes at once");
  reg.topic[1].counters.done = 7;
  history_flush(h);
  loop_turn(loop, 0);
  written("q", &r);
  is_int(r.done, 1, "and so does a stop");
  reg.generation++;
  reg.topic[1].counters.done = 8;
  minutes(1);
  written("q", &r);
  ok(r.done == 1 && !r.accepted, "a reload that leaves the topic alone counts on");
  struct topic other = reg.topic[1];
  other.counters = (struct topic_counters){.done = 1};
  history_topic_gone(h, &reg.topic[1]);
  other.kept = NULL;
  reg.topics[1] = &other;
  reg.generation++;
  minutes(1);
  other.counters.done = 3;
  minutes(1);
  written("q", &r);
  ok(r.done == 3 && !r.accepted, "a topic that was changed begins anew, its queue does not");
  holds = true;
  other.counters.done = 4;
  minutes(1);
  ok(n_writes > 0, "an answer is on the way");
  end();
  holds = false;
  for (size_t i = 0; i < 4; i++)
    if (answers[i].due) answer_give((void *)i);
  pass("and may come when there is no history any more");
}

int main(void) {
  loop = loop_new(log_new(STDERR_FILENO));
  test_rows();
  test_node();
  test_outage();
  test_refused();
  test_hours();
  test_news();
  test_unreachable();
  test_gone();
  test_reload();
  log_free(loop->log);
  loop_free(loop);
  return done_testing();
}
