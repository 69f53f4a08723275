/* A look through failed jobs: what a filter finds, groups, and that each job is met once. */
#include "store_fixture.h"

#include "job/signature.h"

#define BASE_MS UINT64_C(1700000000000)

struct row {
  const char *kind; /* "r", "x" */
  uint64_t id, score;
  unsigned failed, crashes;
  uint64_t at;
  int code;
  const char *node, *message, *content;
};

struct found {
  unsigned n;
  enum store_rc rc;
  char ids[512]; /* "1 2 3" */
  bool over;
  uint64_t looked, matched, total, others;
  struct store_scan_at at;
  struct store_record last;
  char message[128], content[128], node[64];
  size_t n_groups;
  struct store_group groups[4];
  char texts[4][SIGNATURE_TEXT_MAX + 1];
};

static void on_scanned(void *arg, enum store_rc rc, const struct store_scanned *r,
                       const char *why) {
  struct found *f = arg;
  (void)why;
  f->n++;
  f->rc = rc;
  f->over = r->over;
  f->looked += r->looked;
  f->matched += r->matched;
  f->total = r->total;
  f->others = r->others;
  f->at = r->at;
  for (size_t i = 0; i < r->n; i++) {
    size_t len = strlen(f->ids);
    snprintf(f->ids + len, sizeof f->ids - len, "%s%" PRIu64, len ? " " : "", r->records[i].id);
    f->last = r->records[i];
    snprintf(f->message, sizeof f->message, "%s", f->last.message);
    snprintf(f->content, sizeof f->content, "%s", f->last.content);
    snprintf(f->node, sizeof f->node, "%s", f->last.node);
  }
  f->n_groups = r->n_groups;
  for (size_t i = 0; i < r->n_groups && i < 4; i++) {
    f->groups[i] = r->groups[i];
    snprintf(f->texts[i], sizeof f->texts[i], "%s", r->groups[i].text);
  }
}

static void look_through(struct node *n, struct store_topic *t, const struct store_scan *scan,
                         struct found *f) {
  f->n = 0;
  store_scan(t, scan, on_scanned, f);
  if (f->n) fail("an answer came from within the call");
  until(n->loop, f->n);
}

/* Commands in the protocol's form, for records with line breaks and bodies with bytes. */
static void send_args(int fd, const char *const *p, const size_t *len, size_t n) {
  char text[2048];
  size_t at = (size_t)snprintf(text, sizeof text, "*%zu\r\n", n);
  for (size_t i = 0; i < n; i++) {
    at += (size_t)snprintf(text + at, sizeof text - at, "$%zu\r\n", len[i]);
    memcpy(text + at, p[i], len[i]);
    at += len[i];
    memcpy(text + at, "\r\n", 2);
    at += 2;
  }
  if (write(fd, text, at) != (ssize_t)at) bail_out("write");
  if (read(fd, text, sizeof text) <= 0 || *text == '-') bail_out("%s", text);
}

static void put_row(const struct server *r, const char *queue, const struct row *row) {
  char key[3][64], id[24], score[24], record[512], body[256];
  int fd = plain_connect(r->path);
  const char *field = "1:1:2";
  for (int i = 0; i < 3; i++)
    snprintf(key[i], sizeof key[i], "pb:{%s}:%s:t", queue, i == 0 ? row->kind : i == 1 ? "h" : "b");
  snprintf(id, sizeof id, "%" PRIu64, row->id);
  snprintf(score, sizeof score, "%" PRIu64, row->score);
  int len = snprintf(record, sizeof record, "%u %u %" PRIu64 " %" PRIu64 " %d %zu %zu\n%s%s%s",
                     row->failed, row->crashes, row->at, row->at, row->code, strlen(field),
                     strlen(row->node), field, row->node, row->message);
  for (int i = 0; i < 8; i++) body[i] = (char)(row->id >> (56 - 8 * i));
  body[8] = 0;
  size_t size = strlen(row->content);
  memcpy(body + 9, row->content, size);
  send_args(fd, (const char *[]){"ZADD", key[0], score, id},
            (size_t[]){4, strlen(key[0]), strlen(score), strlen(id)}, 4);
  send_args(fd, (const char *[]){"HSET", key[1], id, record},
            (size_t[]){4, strlen(key[1]), strlen(id), (size_t)len}, 4);
  send_args(fd, (const char *[]){"HSET", key[2], id, body},
            (size_t[]){4, strlen(key[2]), strlen(id), 9 + size}, 4);
  close(fd);
}

static const struct row rows[] = {
    {"r", 11, BASE_MS + 900, 1, 0, BASE_MS, 500, "web1", "User 1 not found", "{\"user\":1}"},
    {"r", 12, BASE_MS + 900, 2, 0, BASE_MS + 1, 502, "web2", "refused", "{\"user\":2}"},
    {"r", 13, 0, 0, 0, BASE_MS + 2, 500, "web1", "User 3 not found", "x"},
    {"x", 21, BASE_MS + 10, 3, 0, BASE_MS + 10, 500, "web1", "user 21 NOT found", "{\"user\":21}"},
    {"x", 22, BASE_MS + 10, 5, 0, BASE_MS + 10, -1, "web2", "500 times", ""},
    {"x", 23, BASE_MS + 20, 1, 3, BASE_MS + 20, 0, "web2", "was running on web2, which died", "q"},
    {"x", 24, BASE_MS + 30, 3, 2, BASE_MS + 30, 404, "web10", "", "t"},
};

static void test_filters(struct node *n, struct store_topic *t) {
  static const struct {
    const char *name;
    struct store_filter f;
    const char *ids;
  } cases[] = {
      {"all of them, the retry set first", {0}, "13 11 12 21 22 23 24"},
      {"waiting retries", {.set = STORE_SET_RETRY}, "13 11 12"},
      {"dead jobs without the quarantined", {.set = STORE_SET_DEAD}, "21 22 24"},
      {"quarantined jobs", {.set = STORE_SET_QUARANTINE}, "23"},
      {"both without the quarantined", {.set = STORE_SET_BOTH}, "13 11 12 21 22 24"},
      {"part of the message, small or large", {.match = "nOT Found"}, "13 11 21"},
      {"a node's name is no part of the message", {.match = "web1"}, ""},
      {"nor are the numbers before it", {.match = "500"}, "22"},
      {"signs that are magic in a pattern", {.match = "not.found"}, ""},
      {"a code", {.has_code = true, .code = 500}, "13 11 21"},
      {"a code below zero", {.has_code = true, .code = -1}, "22"},
      {"code 0", {.has_code = true}, "23"},
      {"since", {.since_ms = BASE_MS + 2}, "13 21 22 23 24"},
      {"until", {.until_ms = BASE_MS + 10}, "13 11 12 21 22"},
      {"between", {.since_ms = BASE_MS + 2, .until_ms = BASE_MS + 10}, "13 21 22"},
      {"a node, whole", {.node = "web1"}, "13 11 21"},
      {"so many attempts at least", {.attempts_min = 3}, "21 22 24"},
      {"and at most", {.attempts_min = 2, .attempts_max = 3}, "12 21 24"},
      {"part of the content", {.body = "\"user\":2"}, "12 21"},
      {"the head of the stored form is no content", {.body = "\x15"}, ""},
      {"several at once", {.set = STORE_SET_DEAD, .match = "found", .node = "web1"}, "21"},
      {"a set of jobs that did not fail", {.set = STORE_SET_READY}, ""},
      {"nothing", {.match = "found", .node = "web2"}, ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct found f = {0};
    struct store_scan scan = {.filter = cases[i].f};
    look_through(n, t, &scan, &f);
    is_str(f.ids, cases[i].ids, "%s", cases[i].name);
    if (!f.over) fail("the whole is looked at");
  }
  struct found f = {0};
  struct signature sig;
  struct store_scan scan = {.content_max = 4096};
  signature_of(500, "User 77 not found", 17, &sig);
  scan.filter.signature = sig.id;
  look_through(n, t, &scan, &f);
  is_str(f.ids, "13 11", "a signature");
  ok(f.last.signature == sig.id && f.last.code == 500 && f.last.failed == 1 && !f.last.dead &&
         f.last.failed_ms == BASE_MS && f.last.due_ms == BASE_MS + 900,
     "the record has all facts");
  ok(!strcmp(f.message, "User 1 not found") && !strcmp(f.content, "{\"user\":1}") &&
         !strcmp(f.node, "web1") && f.last.size == 10,
     "and its texts");
  ok(f.looked == 7 && f.total == 7 && f.matched == 2, "it tells how far it looked");
}

/* Whatever its size, page after page meets each job once, from either end. */
static void test_pages(struct node *n, const struct server *r, struct store_topic *t) {
  static const char *const whole[] = {"13 11 12 21 22 23 24", "24 23 22 21 12 11 13"};
  char text[64];
  for (int newest = 0; newest < 2; newest++)
    for (size_t want = 1; want <= 4; want++)
      for (uint64_t look = 0; look <= 3; look++) {
        struct found f = {0};
        struct store_scan scan = {.newest = newest, .want = want, .look_max = look};
        for (int i = 0; i < 20 && !f.over; i++) {
          char at[STORE_SCAN_AT_MAX];
          look_through(n, t, &scan, &f);
          store_scan_at_format(&f.at, at);
          if (!store_scan_at_parse(at, &scan.from)) fail("%s is read again", at);
        }
        if (!f.over || strcmp(f.ids, whole[newest]) != 0 || f.looked != 7)
          fail("pages of %zu, looks of %d: %s", want, (int)look, f.ids);
      }
  ok(1, "pages of any size");
  struct found f = {0};
  struct store_scan scan = {.want = 4};
  look_through(n, t, &scan, &f);
  is_str(f.ids, "13 11 12 21", "a page");
  scan.from = f.at;
  redis(r, text, sizeof text, "ZREM pb:{scan}:x:t 21");
  f = (struct found){0};
  look_through(n, t, &scan, &f);
  is_str(f.ids, "22 23 24", "the next one goes on where a job was that is gone");
  put_row(r, "scan", &rows[3]);
  scan = (struct store_scan){.newest = true, .want = 2, .filter.until_ms = BASE_MS + 20};
  f = (struct found){0};
  look_through(n, t, &scan, &f);
  is_str(f.ids, "23 22", "newest first, until");
  is_int(f.looked, 2, "jobs that died later are not looked at");
}

static void test_texts(void) {
  static const char *const bad[] = {"x",
                                    "x.",
                                    "x.1",
                                    "x.1.",
                                    "y.1.1",
                                    "x.1.1x",
                                    "x.-1.1",
                                    "x.99999999999999999.1",
                                    "x.1.18446744073709551616"};
  struct store_scan_at at;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(!store_scan_at_parse(bad[i], &at), "'%s' is no place", bad[i]);
  ok(store_scan_at_parse("x.5.18446744073709551615", &at) && at.phase == 'x' && at.score == 5 &&
         at.id == UINT64_MAX,
     "a place");
  ok(store_scan_at_parse("", &at) && !at.phase, "the beginning");
}

static void test_groups(struct node *n, struct store_topic *t) {
  struct found f = {0};
  struct store_scan scan = {.kind = STORE_SCAN_GROUPS};
  look_through(n, t, &scan, &f);
  ok(f.over && f.n_groups == 6 && f.matched == 7 && !f.others, "six groups");
  ok(f.groups[0].count == 2 && f.groups[0].code == 500 && f.groups[0].first_ms == BASE_MS &&
         f.groups[0].last_ms == BASE_MS + 2 && f.groups[0].sample_id == 13,
     "the largest comes first");
  is_str(f.texts[0], "User # not found", "its text");
  scan.filter = (struct store_filter){.signature = f.groups[0].signature};
  f = (struct found){0};
  look_through(n, t, &scan, &f);
  ok(f.n_groups == 1 && f.matched == 2 && f.looked == 7, "one group by its signature");
}

static void test_many(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "most"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  char text[64];
  enum { N = 3000 };
  redis(r, text, sizeof text,
        "EVAL \"for i=1,3000 do redis.call('ZADD','pb:{most}:x:t',math.floor(i/700),i) "
        "redis.call('HSET','pb:{most}:h:t',i,'1 0 1 1 500 0 0\\\\nerror '..i) end\" 0");
  struct found f = {0};
  struct store_scan scan = {.kind = STORE_SCAN_GROUPS, .time_ms = WAIT_MS};
  look_through(n, t, &scan, &f);
  ok(f.over && f.matched == N && f.n_groups == 1 && f.groups[0].count == N, "slice after slice");
  scan = (struct store_scan){.filter.match = "error 2999", .time_ms = WAIT_MS};
  f = (struct found){0};
  look_through(n, t, &scan, &f);
  ok(f.over && !strcmp(f.ids, "2999") && f.looked == N, "one of them all");
  redis(r, text, sizeof text, "DEL pb:{most}:h:t");
  redis(r, text, sizeof text,
        "EVAL \"for i=1,1500 do redis.call('HSET','pb:{most}:h:t',i,'1 0 1 1 '..i..' 0 0\\\\nx') "
        "end\" 0");
  scan = (struct store_scan){.kind = STORE_SCAN_GROUPS, .time_ms = WAIT_MS};
  f = (struct found){0};
  look_through(n, t, &scan, &f);
  ok(f.n_groups == STORE_SCAN_GROUPS_MAX && f.matched == N, "groups are bounded");
  is_int(f.others + f.groups[0].count, N - (STORE_SCAN_GROUPS_MAX - 1),
         "jobs without a record are a group, and what has no room is counted");
  store_topic_free(t);
  store_queue_free(q);
}

/* A page ends with the job whose content fills it, also where the signature is decided here. */
static void test_bodies(struct node *n, const struct server *r) {
  struct queue_settings qs = {.name = "big"};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000};
  struct store_queue *q = store_queue_new(n->store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  char text[64];
  redis(r, text, sizeof text,
        "EVAL \"for i=10,39 do redis.call('ZADD','pb:{big}:x:t',i,i) "
        "redis.call('HSET','pb:{big}:h:t',i,'1 0 1 1 500 0 0\\\\nerror '..i) "
        "redis.call('HSET','pb:{big}:b:t',i,string.rep('z',100000)) end\" 0");
  struct found f = {0};
  look_through(n, t, &(struct store_scan){.kind = STORE_SCAN_GROUPS}, &f);
  uint64_t signature = f.groups[0].signature;
  for (int k = 0; k < 4; k++) {
    unsigned pages = 0;
    struct store_scan scan = {.filter.signature = k & 1 ? signature : 0,
                              .newest = k & 2,
                              .content_max = 1u << 30,
                              .bytes_max = 250000,
                              .time_ms = WAIT_MS};
    for (f = (struct found){0}; !f.over && pages < 40; pages++) {
      uint64_t before = f.matched;
      look_through(n, t, &scan, &f);
      if (f.matched - before > 3) fail("a page of %d jobs", (int)(f.matched - before));
      scan.from = f.at;
    }
    ok(f.over && f.matched == 30 && strlen(f.ids) == 30 * 3 - 1 &&
           !strncmp(f.ids, k & 2 ? "39 38 37" : "10 11 12", 8),
       "pages of large contents, %s signature", k & 1 ? "by" : "without");
  }
  store_topic_free(t);
  store_queue_free(q);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  static const struct topic_settings *topics[1];
  struct queue_settings qs = {.name = "scan", .topics = topics, .n_topics = 1};
  struct topic_settings ts = {.name = "t", .queue = &qs, .timeout_ms = 1000, .crashes = 3};
  topics[0] = &ts;
  struct store_queue *q = store_queue_new(b.n.store, &qs, (struct gateway){1, 2});
  struct store_topic *t = store_topic_new(q, &ts);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) put_row(&b.r, "scan", &rows[i]);
  test_filters(&b.n, t);
  test_pages(&b.n, &b.r, t);
  test_texts();
  test_groups(&b.n, t);
  store_topic_free(t);
  store_queue_free(q);
  test_many(&b.n, &b.r);
  test_bodies(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
