/* How many jobs a topic asks the storage for, by number and by bytes. The storage is a stub that
 * remembers what it was asked, and answers when the test says so. */
#include "dispatch/fetch.c"
#include "dispatch/takeover.c"

#include "tap.h"

#include <unistd.h>

static struct {
  size_t take, due, due_bytes, recover; /* the last question's; 0: none since */
  store_taken_fn taken, recovered;
  store_due_fn due_fn;
  void *arg;
} asked;

static struct loop *loop;

/* --- the store --- */

void store_take(struct store_topic *t, size_t count, store_taken_fn fn, void *arg) {
  (void)t;
  asked.take = count;
  asked.taken = fn;
  asked.arg = arg;
}
void store_take_due(struct store_topic *t, size_t count, size_t bytes, store_due_fn fn, void *arg) {
  (void)t;
  asked.due = count;
  asked.due_bytes = bytes;
  asked.due_fn = fn;
  asked.arg = arg;
}
void store_recover(struct store_topic *t, const char *node, size_t count, store_taken_fn fn,
                   void *arg) {
  (void)t;
  (void)node;
  asked.recover = count;
  asked.recovered = fn;
  asked.arg = arg;
}
void store_attach(struct store_topic *t, store_depth_fn fn, void *arg) {
  (void)t, (void)fn, (void)arg;
}
void store_ask_depth(struct store_topic *t, store_depth_fn fn, void *arg) {
  (void)t, (void)fn, (void)arg;
}
void store_ask_depths(struct store_topic *const *t, size_t n, store_depths_fn fn, void *arg) {
  (void)t, (void)n, (void)fn, (void)arg;
}
void store_seen_paused(struct store_topic *t, bool paused) {
  (void)t, (void)paused;
}
size_t store_unsettled(const struct store_topic *t) {
  return t == NULL;
}
static bool behind;
bool store_is_behind(const struct store_topic *t) {
  (void)t;
  return behind;
}
void store_log_refusal(struct store *s, const char *subject, const char *what, const char *why) {
  (void)s;
  (void)subject;
  (void)what;
  (void)why;
}

/* --- the dispatcher --- */

void worker_ping_hurry(struct topic *t) {
  (void)t;
}
void ready_arrived(struct topic *t, struct job_list *jobs) {
  struct job *job;
  while ((job = job_list_pop(jobs))) job_list_push(&t->ready, job);
}
void pool_wait(struct pool *p, struct topic *t) {
  (void)p, (void)t;
}

/* --- one topic --- */

#define MB (1u << 20)

static struct settings snapshot = {.server.max_job_size = 8 * MB};
static struct pool pool;
static struct queue queue;

static void turn(void *arg) {
  struct topic *t = arg;
  if (t->again.due) fetch_rested(t);
  t->again.due = false;
}

static void topic_open(struct topic *t, const struct topic_settings *set) {
  static char store;
  *t = (struct topic){.set = set,
                      .snapshot = &snapshot,
                      .pool = &pool,
                      .store = (void *)&store,
                      .state = TOPIC_OPEN,
                      .fetch = {.attached = true, .more = true},
                      .requests = {.run_avg_ms = -1}};
  t->queue = &queue;
  queue.job_bytes = 0;
  pool = (struct pool){.max = 16, .limit = 16};
  topic_begin(t, loop, turn);
  fetch_begin(t);
  timer_init(&t->requests.fill_timer, loop, turn, t);
}

static void topic_close(struct topic *t) {
  struct job *job;
  while ((job = job_list_pop(&t->ready))) free(job);
  topic_end(t);
  fetch_end(t);
  timer_done(&t->requests.fill_timer);
}

static void fill(struct job_list *l, size_t n, size_t bytes) {
  for (size_t i = 0; i < n; i++) {
    struct job *job = calloc(1, sizeof *job); /* whose content nobody looks at */
    job->content_len = bytes;
    job_list_push(l, job);
  }
}

/* What is asked of the stream; 0: nothing. */
static size_t asks(struct topic *t) {
  asked.take = 0;
  fetch_more(t);
  return asked.take;
}

/* The answer to it: `n` jobs of so many bytes. */
static void answer(size_t n, size_t bytes, bool more) {
  struct job_list l = {0};
  fill(&l, n, bytes);
  asked.taken(asked.arg, STORE_OK, &l, more, "");
}

static void run(struct topic *t, size_t n) {
  while (n--) free(job_list_pop(&t->ready));
}

/* All slots are free, workers are as fast as can be, all that is asked for comes, and all of it
 * runs. What the last of `n` reads asked for. */
static size_t reads(struct topic *t, unsigned n, size_t bytes) {
  size_t count = 0;
  t->requests.run_avg_ms = 0.5;
  while (n--) {
    if ((count = asks(t))) answer(count, bytes, true);
    run(t, t->ready.n);
  }
  return count;
}

static void test_ahead(void) {
  struct topic_settings set = {.workers = 10, .chunk = 1, .crashes = 10};
  struct topic t;
  topic_open(&t, &set);
  t.requests.run_avg_ms =
      0.5; /* as after a closed gate: fast workers, but nothing is known of the jobs */
  is_int(asks(&t), 10, "at first what the free slots take, and nothing ahead");
  answer(10, 4 * MB, true);
  run(&t, 10);
  t.requests.running = 10;
  is_int(asks(&t), 3, "jobs of 4 MB: three are ahead, less than 16 MB");
  answer(3, 4 * MB, true);
  is_int(asks(&t), 0, "and no more while these wait");
  run(&t, t.ready.n);
  t.requests.running = 0;
  is_int(reads(&t, 5, 4 * MB), 13, "slots and three ahead, read after read");
  is_int(reads(&t, 5, 8 * MB), 11, "8 MB: one");
  is_int(reads(&t, 5, 20 * MB), 10, "20 MB: none; each slot gets its job all the same");
  topic_close(&t);

  topic_open(&t, &set);
  reads(&t, 1, 64);
  is_int(reads(&t, 1, 64), 10 + 20, "small ones: twice as many ahead as came last");
  is_int(reads(&t, 10, 64), 10 + 138, "until the read is as long as speed asks for");
  asks(&t);
  answer(1, 64, false);
  t.fetch.more = true;
  run(&t, 1);
  is_int(asks(&t), 10 + 2, "an idle topic's next read is short: jobs of any size may have come");
  answer(12, 4 * MB, true);
  run(&t, 12);
  is_int(asks(&t), 13, "and so they did");
  answer(13, 64, true);
  run(&t, 13);
  is_int(asks(&t), 10 + 7, "small ones after large ones: twice as many");
  answer(17, 64, true);
  run(&t, 17);
  is_int(asks(&t), 10 + 15, "and twice as many again");
  answer(25, 64, true);
  run(&t, 25);
  reads(&t, 20, 64);
  queue.job_bytes = 4 * MB;
  is_int(reads(&t, 1, 64), 10 + 4, "large ones that this node accepted may be next");
  fetch_forget(&t);
  is_int(asks(&t), 10, "the gate was closed: as at first");
  topic_close(&t);
}

static void test_chunk(void) {
  struct topic_settings set = {.workers = 10, .chunk = 32, .crashes = 10};
  struct topic t;
  topic_open(&t, &set);
  is_int(asks(&t), 10, "chunk = 32: at first a job for each slot");
  asked.take = 0;
  answer(10, 64, true);
  is_int(asked.take, 310, "small ones: at once those that fill the requests");
  ok(t.fetch.first_chunk, "which wait for them");
  answer(100, 64, false);
  ok(!t.fetch.first_chunk, "and then leave");
  topic_close(&t);

  topic_open(&t, &set);
  asks(&t);
  asked.take = 0;
  answer(10, 7 * MB, true);
  is_int(asked.take, 10, "7 MB: two fill a request");
  answer(10, 7 * MB, true);
  run(&t, t.ready.n);
  t.requests.run_avg_ms = 1000;
  is_int(asks(&t), 20, "and that is all that is read for it");
  answer(20, 9 * MB, true);
  run(&t, t.ready.n);
  is_int(asks(&t), 10, "9 MB: one does");
  topic_close(&t);

  topic_open(&t, &set);
  asks(&t);
  asked.take = 0;
  answer(10, 8 * MB, true);
  ok(!asked.take && !t.fetch.first_chunk, "requests that are full leave at once");
  topic_close(&t);

  /* A chunk that fills gets what there is of it, by bytes as well. */
  topic_open(&t, &set);
  reads(&t, 1, 4 * MB);
  t.fetch.taking = false;
  t.requests.running = 10;
  t.requests.run_avg_ms = 1000;
  timer_start(&t.requests.fill_timer, 1000);
  is_int(asks(&t), 2, "a chunk of 4 MB each is filled by two");
  answer(2, 64, true);
  queue.job_bytes = 4 * MB;
  is_int(asks(&t), 2, "and with small ones instead by two more");
  answer(2, 64, true);
  is_int(asks(&t), 2, "and two more");
  answer(2, 4 * MB, true);
  is_int(asks(&t), 0, "until it has its 8 MB");
  topic_close(&t);

  topic_open(&t, &set);
  reads(&t, 1, 64);
  t.fetch.taking = false;
  t.requests.running = 10;
  t.requests.run_avg_ms = 1000;
  timer_start(&t.requests.fill_timer, 1000);
  is_int(asks(&t), 32, "one of small jobs by its number");
  answer(31, 64, true);
  is_int(asks(&t), 1, "of which one is left");
  answer(1, 64, true);
  is_int(asks(&t), 0, "and none");
  topic_close(&t);
}

static void test_due(void) {
  struct topic_settings set = {.workers = 10, .chunk = 1, .crashes = 10};
  struct topic t;
  struct job_list l = {0};
  topic_open(&t, &set);
  reads(&t, 10, 64);
  t.fetch.more = false;
  t.due_ms = 1;
  asks(&t);
  is_int(asked.due, 10 + 138, "retries are asked for by number");
  ok(asked.due_bytes && asked.due_bytes <= 16 * MB, "and by bytes");
  fill(&l, 4, 4 * MB);
  asked.due_fn(asked.arg, STORE_OK, &l, 1, "");
  run(&t, 4);
  fetch_more(&t);
  is_int(asked.due, 13, "what came is known at the next");
  l = (struct job_list){0};
  asked.due_fn(asked.arg, STORE_OK, &l, 0, "");
  topic_close(&t);
}

static void test_recover(void) {
  struct topic_settings set = {
      .workers = 10, .chunk = 1, .crashes = 10, .here = true, .enabled = true, .path = "q/t"};
  struct topic t;
  struct job_list l = {0};
  topic_open(&t, &set);
  t.doubt = true;
  takeover_ask(&t);
  is_int(asked.recover, 2, "of jobs to take over two may be 16 MB");
  fill(&l, 2, 64);
  asked.recovered(asked.arg, STORE_OK, &l, true, "");
  is_int(asked.recover, PAGE_MAX, "small ones come in large pages");
  l = (struct job_list){0};
  fill(&l, 30, 4 * MB);
  asked.recovered(asked.arg, STORE_OK, &l, true, "");
  is_int(asked.recover, 3, "large ones in small pages");
  l = (struct job_list){0};
  fill(&l, 3, 30 * MB);
  asked.recovered(asked.arg, STORE_OK, &l, true, "");
  is_int(asked.recover, 1, "the largest one by one");
  l = (struct job_list){0};
  asked.recovered(asked.arg, STORE_OK, &l, false, "");
  topic_close(&t);
}

/* @case X6: while many outcomes wait for the storage nothing is taken, and soon after it is again
 */
static void test_behind(void) {
  struct topic_settings set = {
      .workers = 10, .chunk = 1, .crashes = 10, .here = true, .enabled = true, .path = "q/t"};
  struct topic t;
  topic_open(&t, &set);
  t.due_ms = 1;
  behind = true;
  asked.due = 0;
  is_int(asks(&t), 0, "nothing of the stream");
  is_int(asked.due, 0, "nor of the retries");
  behind = false;
  is_int(asks(&t), 0, "not at once again");
  uint64_t end = loop_clock_ms() + 60000;
  while (t.fetch.resting && loop_clock_ms() < end) loop_turn(loop, 50);
  is_int(asks(&t), 10, "when it has caught up: as ever");
  t.fetch.taking = t.fetch.taking_due = false;
  topic_close(&t);
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  loop = loop_new(log);
  if (!loop) bail_out("no loop");
  test_ahead();
  test_chunk();
  test_due();
  test_recover();
  test_behind();
  loop_free(loop);
  log_free(log);
  return done_testing();
}
