/* The registry between a dispatcher and storages of the test's own: what is touched on the way from
 * one snapshot to the next, and what a storage's news reach. */
#include "unit/fake_loop.h"

#include "dispatch/dispatcher.h"
#include "registry/registry.h"

#include "tap.h"

static struct loop *loop;
static struct registry *reg;

/* --- the storages --- */

struct store {
  const char *name;
  struct store_events ev;
  void (*died)(void *arg, struct store *s, const char *node);
  void *died_arg;
  enum store_state state;
  bool busy; /* answers are on the way */
  bool left;
  void (*flushed)(void *arg, bool idle);
  void *flushed_arg;
  unsigned shard;
};

static struct {
  struct store *all[16];
  size_t n; /* made so far */
  size_t freed, queues, topics;
} stores;

struct store *store_new(struct loop *l, const struct storage_settings *st,
                        const struct server_settings *server, const char *instance, unsigned shard,
                        const struct store_events *ev) {
  struct store *s = calloc(1, sizeof *s);
  (void)l, (void)server, (void)instance;
  if (!s || stores.n == 16) bail_out("no room");
  *s = (struct store){.name = st->name, .ev = *ev, .shard = shard};
  return stores.all[stores.n++] = s;
}
void store_free(struct store *s) {
  stores.freed++;
  for (size_t i = 0; i < stores.n; i++)
    if (stores.all[i] == s) stores.all[i] = NULL;
  free(s);
}
void store_stats(const struct store *s, struct store_stats *ret) {
  (void)s;
  *ret = (struct store_stats){.in_flight = 0};
}
enum store_state store_state(const struct store *s) {
  return s->state;
}
const char *store_name(const struct store *s) {
  return s->name;
}
bool store_is_twin(const struct store *s) {
  (void)s;
  return false;
}
bool store_is_same(const struct store *a, const struct store *b) {
  (void)a, (void)b;
  return false;
}
bool store_idle(const struct store *s) {
  return !s->busy;
}
void store_leave(struct store *s) {
  s->left = true;
}
void store_flush(struct store *s, uint64_t timeout_ms, void (*fn)(void *arg, bool idle),
                 void *arg) {
  (void)timeout_ms;
  s->flushed = fn;
  s->flushed_arg = arg;
}
void store_claim_shard(struct store *s, unsigned shard) {
  s->shard = shard;
}
void store_on_node_death(struct store *s, void (*died)(void *, struct store *, const char *),
                         void *arg) {
  s->died = died;
  s->died_arg = arg;
}
void store_on_act(struct store *s, void (*found)(void *, struct store *, const char *), void *arg) {
  (void)s, (void)found, (void)arg;
}
void store_on_shared(struct store *s,
                     void (*fn)(void *, struct store *, enum store_shared_event, const char *),
                     void *arg) {
  (void)s, (void)fn, (void)arg;
}
void store_on_last_id(struct store *s, uint64_t (*last_id)(void *), void *arg) {
  (void)s, (void)last_id, (void)arg;
}
void store_on_stray(struct store *s, enum store_known (*known)(void *, const char *, const char *),
                    void *arg) {
  (void)s, (void)known, (void)arg;
}
struct store_queue *store_queue_new(struct store *s, const struct queue_settings *q,
                                    struct gateway g) {
  (void)s, (void)q, (void)g;
  stores.queues++;
  return calloc(1, 1);
}
void store_queue_update(struct store_queue *q, const struct queue_settings *set) {
  (void)q, (void)set;
}
void store_queue_free(struct store_queue *q) {
  stores.queues--;
  free(q);
}
struct store_topic *store_topic_new(struct store_queue *q, const struct topic_settings *t) {
  (void)q, (void)t;
  stores.topics++;
  return calloc(1, 1);
}
void store_topic_times(struct store_topic *t, const struct topic_settings *set) {
  (void)t, (void)set;
}
void store_topic_free(struct store_topic *t) {
  stores.topics--;
  free(t);
}

static struct store *store_of(const char *name) {
  for (size_t i = stores.n; i-- > 0;)
    if (stores.all[i] && !strcmp(stores.all[i]->name, name)) return stores.all[i];
  bail_out("no such storage");
}

static void is_now(const char *name, enum store_state state) {
  struct store *s = store_of(name);
  s->state = state;
  s->ev.state(s->ev.arg, s, state, "");
  loop_turn(loop, 0);
}

static void flushed(struct store *s) {
  void (*fn)(void *, bool) = s->flushed;
  s->flushed = NULL;
  if (fn) fn(s->flushed_arg, true);
  loop_turn(loop, 0);
}

/* --- the dispatcher --- */

static char trail[4000]; /* what it was told, in order */
static struct topic *drains;
static void (*gone)(void *arg, struct topic *t);
static void *gone_arg;

static void note(const char *what, const char *path) {
  size_t n = strlen(trail);
  snprintf(trail + n, sizeof trail - n, "%s%s %s", n ? ", " : "", what, path);
}
static void is_told(const char *want, const char *why) {
  is_str(trail, want, "%s", why);
  trail[0] = 0;
}

void dispatcher_add_topic(struct dispatcher *d, struct topic *t) {
  (void)d;
  note("add", t->set->path);
}
void dispatcher_update_topic(struct dispatcher *d, struct topic *t,
                             const struct topic_settings *was) {
  (void)d, (void)was;
  note("update", t->set->path);
}
void dispatcher_remove_topic(struct dispatcher *d, struct topic *t,
                             void (*fn)(void *arg, struct topic *t), void *arg) {
  (void)d;
  note("remove", t->set->path);
  drains = t;
  gone = fn;
  gone_arg = arg;
}
void dispatcher_store_ready(struct dispatcher *d, struct topic *t, bool ready) {
  (void)d;
  note(ready ? "ready" : "lost", t->set->path);
}
void dispatcher_wake(struct dispatcher *d, struct queue *q, bool local) {
  (void)d, (void)local;
  note("wake", q->name);
}
void dispatcher_due(struct dispatcher *d, struct topic *t, uint64_t due_ms) {
  (void)d, (void)due_ms;
  note("due", t->set->path);
}
void dispatcher_node_died(struct dispatcher *d, struct store *s, const char *node) {
  (void)d, (void)s;
  note("died", node);
}
void dispatcher_declared_dead(struct dispatcher *d, struct store *s) {
  (void)d;
  note("declared dead", s->name);
}
void dispatcher_missing(struct dispatcher *d, struct topic *t) {
  (void)d;
  note("missing", t->set->path);
}

static void drained(void) {
  gone(gone_arg, drains);
  loop_turn(loop, 0);
}

/* --- snapshots --- */

#define STORAGES "[storage one]\naddress = 127.0.0.1:1\n[storage two]\naddress = 127.0.0.1:2\n"

static struct settings *snapshot(const char *text) {
  static const struct pb_transport test = {.option_size = sizeof(struct pb_option),
                                           .run_type = "test"};
  static const struct pb_transport *const all[] = {&test};
  const struct settings_types types = {.transports = all, .n = 1};
  struct settings *s = NULL;
  if (settings_parse("test.ini", text, strlen(text), &types, stderr, &s))
    bail_out("not a configuration");
  return s;
}

static void apply(const char *text) {
  struct settings *s = snapshot(text);
  registry_apply(reg, s);
  settings_unref(s);
  loop_turn(loop, 0);
}

static void begin(void) {
  struct log *log = log_new(STDERR_FILENO);
  log_configure(log, PB_LOG_ERROR, false);
  memset(&stores, 0, sizeof stores);
  trail[0] = 0;
  fake_clock_step_us = 0;
  loop = loop_new(log);
  reg = registry_new(loop, NULL);
  registry_start(reg, "instance", 5, (struct gateway){0}, &(struct registry_events){0});
}

static void end(void) {
  struct log *log = loop_log(loop);
  size_t made = stores.n;
  registry_free(reg);
  is_int(stores.queues + stores.topics, 0, "nothing of a queue or topic is left");
  is_int(stores.freed, made, "nor any storage");
  is_int(loop->n_timers, 0, "nor a timer");
  loop_free(loop);
  log_free(log);
}

static bool has_topic(const char *path) {
  const struct topic *t = registry_topic(reg, path, strlen(path));
  return t && !strcmp(t->set->path, path);
}

#define QUEUE(name)          "[queue " name "]\npassword = a-long-password\n"
#define TOPIC(path, storage) "[topic " path "]\nrun_type = test\nstorage = " storage "\n"

static void test_from_one_to_the_next(void) {
  begin();
  apply(STORAGES QUEUE("q") QUEUE("r") TOPIC("q/a", "one") TOPIC("q/b", "one") TOPIC("r/a", "two"));
  is_told("add q/a, add q/b, add r/a", "the first snapshot: all topics are added");
  ok(has_topic("q/a") && has_topic("r/a") && !has_topic("q") && !has_topic("r/b"),
     "and found by their paths");
  ok(registry_queue(reg, "q", 1) && !registry_queue(reg, "qq", 2), "queues by their names");
  uint64_t generation = registry_generation(reg);
  struct topic *a = registry_topic(reg, "q/a", 3);
  apply(STORAGES QUEUE("q") QUEUE("r") TOPIC("q/a", "one")
            TOPIC("q/b", "one") "workers = 9\n" TOPIC("r/a", "two"));
  is_told("update q/b", "a changed topic is told so, the others hear nothing");
  ok(registry_topic(reg, "q/a", 3) == a, "they stay what they were");
  ok(registry_generation(reg) > generation, "whoever looked something up looks it up again");
  apply(STORAGES QUEUE("q") QUEUE("r") TOPIC("q/a", "one") TOPIC("q/c", "one") TOPIC("r/a", "two"));
  is_told("add q/c, remove q/b", "new ones are there before old ones drain");
  ok(!has_topic("q/b"), "which is found no more");
  ok(registry_leaves(reg, "q/b", store_of("one")), "but drains");
  drained();
  ok(!registry_leaves(reg, "q/b", store_of("one")), "until it is gone");
  is_int(stores.topics, 3, "and freed");
  end();
}

/* The old one may still run jobs that the new one would take over. */
static void test_another_storage(void) {
  begin();
  apply(STORAGES QUEUE("q") TOPIC("q/a", "one"));
  trail[0] = 0;
  apply(STORAGES QUEUE("q") TOPIC("q/a", "two"));
  is_told("remove q/a", "a topic that moves to another storage drains first");
  ok(!has_topic("q/a"), "it does not run meanwhile");
  drained();
  is_told("add q/a", "and starts there when it is gone");
  ok(registry_topic(reg, "q/a", 3)->store_entry->store == store_of("two"), "in the new storage");
  apply(STORAGES QUEUE("q") TOPIC("q/a", "one"));
  apply(STORAGES QUEUE("q"));
  trail[0] = 0;
  drained();
  is_told("", "one that is not named any more when it is gone does not start again");
  end();
}

static void test_news_of_storages(void) {
  begin();
  apply(STORAGES QUEUE("q") QUEUE("r") TOPIC("q/a", "one") TOPIC("r/a", "two"));
  trail[0] = 0;
  is_now("one", STORE_READY);
  is_told("ready q/a", "a storage's topics are told that it is ready");
  is_now("one", STORE_CONNECTING);
  is_told("lost q/a", "and that it is not");
  is_now("two", STORE_READY);
  trail[0] = 0;
  struct store *two = store_of("two");
  two->ev.wake(two->ev.arg, two, "r");
  two->ev.wake(two->ev.arg, two, "nobody");
  is_told("wake r", "news of a queue wake its topics");
  two->ev.due(two->ev.arg, two, "r", "a", 1);
  two->ev.due(two->ev.arg, two, "q", "a", 1);
  is_told("due r/a", "a retry is its topic's, in that storage only");
  two->ev.missing(two->ev.arg, two, "r", "a");
  is_told("missing r/a", "so is a missing job");
  two->ev.declared_dead(two->ev.arg, two);
  two->died(two->died_arg, two, "node-b");
  is_told("declared dead two, died node-b", "deaths are told");
  apply(STORAGES QUEUE("q") QUEUE("r") TOPIC("q/a", "one") TOPIC("r/a", "two") TOPIC("r/b", "two"));
  is_told("add r/b, ready r/b", "who comes to a storage that is ready is told so");
  end();
}

/* One number for this node in all storages. */
static void test_shards(void) {
  begin();
  apply(STORAGES QUEUE("q") TOPIC("q/a", "one"));
  is_int(store_of("one")->shard, 5, "the number that was given");
  store_of("two")->ev.shard_taken(reg, store_of("two"), 5);
  is_int(registry_shard(reg), 6, "another node has it: the next one");
  ok(store_of("one")->shard == 6 && store_of("two")->shard == 6, "in all storages");
  store_of("one")->ev.shard_taken(reg, store_of("one"), 5);
  is_int(registry_shard(reg), 6, "an older question changes nothing");
  end();
}

static void test_storage_leaves(void) {
  begin();
  apply(STORAGES QUEUE("q") TOPIC("q/a", "one"));
  struct store *two = store_of("two");
  apply("[storage one]\naddress = 127.0.0.1:1\n" QUEUE("q") TOPIC("q/a", "one"));
  ok(two->left, "a storage that is not configured any more: this node gives up its name there");
  is_int(stores.freed, 0, "and waits for the last answers");
  flushed(two);
  is_int(stores.freed, 1, "then it is freed");
  struct store *old = store_of("one");
  old->busy = true;
  apply("[storage one]\naddress = 127.0.0.1:7\n" QUEUE("q") TOPIC("q/a", "one"));
  is_int(stores.n, 3, "a changed one is another storage of the same name");
  ok(store_of("one") != old, "which is found from now on");
  drained();
  flushed(old);
  is_int(stores.freed, 2, "the old one goes when its topics and answers are through");
  end();
}

static void on_done(void *arg) {
  *(bool *)arg = true;
}

static void test_slowly(void) {
  static char text[40000];
  bool done = false;
  int n = snprintf(text, sizeof text, "%s%s", STORAGES, "[queue q]\npassword = a-long-password\n");
  for (int i = 0; i < 300; i++)
    n += snprintf(text + n, sizeof text - (size_t)n,
                  "[topic q/t%d]\nrun_type = test\nstorage = one\n", i);
  begin();
  fake_clock_step_us = 500; /* for each topic */
  struct settings *s = snapshot(text);
  registry_apply_slowly(reg, s, on_done, &done);
  settings_unref(s);
  ok(registry_applies(reg), "a large snapshot is applied");
  size_t last = 0, most = 0, turns = 0;
  while (!done && turns++ < 1000) {
    size_t now;
    fake_run_deferred(loop);
    uint64_t due;
    struct timer *t = fake_next(loop, loop->now_ms, &due);
    if (!t) break;
    timer_stop(t);
    t->fn(t->arg);
    (void)registry_topics(reg, &now);
    if (now - last > most) most = now - last;
    last = now;
  }
  ok(done && !registry_applies(reg), "to its end");
  is_int(last, 300, "with all its topics");
  ok(most <= 8, "4 ms of it in a turn (%zu topics)", most);
  bool found = true;
  for (int i = 0; i < 300; i++) {
    char path[32];
    snprintf(path, sizeof path, "q/t%d", i);
    found &= has_topic(path);
  }
  ok(found, "each is found");
  trail[0] = 0;
  fake_clock_step_us = 0;
  end();
}

int main(void) {
  test_from_one_to_the_next();
  test_another_storage();
  test_news_of_storages();
  test_shards();
  test_storage_leaves();
  test_slowly();
  return done_testing();
}
