/* What nodes share: revisions of a configuration, and small documents. */
#include "shared_fixture.h"

/* --- revisions --- */

static void test_compare_and_swap(struct node *n) {
  struct got g = head(n);
  ok(!g.rc && !g.there, "there is no revision at first");
  ok(!revisions(n, 0, 10).count && !revision(n, 1).there, "in no way");
  g = add(n, 1, "aa", "bb", "x");
  ok(!g.rc && g.conflict && g.number == 0 && !*g.hash, "none can follow one that is not there");
  g = add(n, 0, "", "aa", "first");
  ok(!g.rc && !g.conflict && g.number == 1, "the first one is number 1");
  g = head(n);
  ok(g.there && g.number == 1 && !strcmp(g.hash, "aa") && g.len == 5, "it is the head");
  ok(g.at_ms && store_clock_ms(n->store) >= g.at_ms - 1000 &&
         store_clock_ms(n->store) - g.at_ms < WAIT_MS,
     "since a moment ago, by the clock of the server");
  g = add(n, 1, "aa", "bb", "second");
  ok(!g.conflict && g.number == 2, "another one follows");
  const struct {
    uint64_t base;
    const char *hash, *name;
  } rows[] = {{0, "", "not by one who knows of none"},
              {1, "aa", "not by one who knows the one before"},
              {2, "xx", "not by one who knows another one of this number"},
              {3, "bb", "not by one who is ahead"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    g = add(n, rows[i].base, rows[i].hash, "cc", "y");
    ok(!g.rc && g.conflict && g.number == 2 && !strcmp(g.hash, "bb"), "%s: he hears of the head",
       rows[i].name);
  }
  ok(head(n).number == 2 && revision(n, 2).len == 6, "and nothing has changed");
  g = add(n, 1, "aa", "bb", "second");
  ok(!g.rc && !g.conflict && g.number == 2 && revisions(n, 0, 10).total == 2,
     "asked again, it is done, once");
  add(n, 2, "bb", "cc", "third");
  g = add(n, 1, "aa", "bb", "second");
  ok(!g.rc && !g.conflict && g.number == 2 && head(n).number == 3,
     "asked again after another one was added, it is done, and stays where it is");
  g = revision(n, 2);
  ok(g.there && g.number == 2 && !strcmp(g.data, "second") && !strcmp(g.hash, "bb"),
     "an older one can be had");
  ok(!revision(n, 4).there && !revision(n, 0).there && !revision(n, UINT64_MAX).there,
     "not one that is not there");
}

static void test_binary_and_large(struct node *n) {
  struct got g, h = head(n);
  static const char bytes[] = "a\0b\r\n\xff";
  ask(n, &g,
      store_revision_add(n->store, h.number, h.hash, "bin", bytes, sizeof bytes, on_applied, &g));
  g = revision(n, h.number + 1);
  ok(g.len == sizeof bytes && !memcmp(g.data, bytes, sizeof bytes), "bytes stay as they are");
  char *large = malloc(STORE_REVISION_MAX + 1);
  memset(large, 'l', STORE_REVISION_MAX + 1);
  ask(n, &g,
      store_revision_add(n->store, h.number + 1, "bin", "large", large, STORE_REVISION_MAX + 1,
                         on_applied, &g));
  ok(g.rc == STORE_ERROR && strstr(g.why, "too large"), "one that is too large is refused: %s",
     g.why);
  ask(n, &g,
      store_revision_add(n->store, h.number + 1, "bin", "large", large, STORE_REVISION_MAX,
                         on_applied, &g));
  ok(!g.rc && !g.conflict, "the largest is taken");
  g = revisions(n, 0, 10);
  ok(g.count == 1 && g.number == h.number + 2 && g.total > 1,
     "a page ends after a large one, and has one at least");
  g = revisions(n, h.number + 2, 2);
  ok(g.count == 2 && g.number == h.number + 1, "the next page goes on before it");
  free(large);
}

static void test_500_are_kept(struct node *n, const struct server *r) {
  struct got g = head(n), last = {0};
  uint64_t first = g.number;
  char hash[32], was[128];
  snprintf(was, sizeof was, "%s", g.hash);
  for (uint64_t i = first; i < first + STORE_REVISIONS_KEPT + 20; i++) {
    snprintf(hash, sizeof hash, "h%d", (int)i);
    store_revision_add(n->store, i, was, hash, "data", 4, on_applied, &last);
    snprintf(was, sizeof was, "%s", hash);
  }
  until(n->loop, last.n == STORE_REVISIONS_KEPT + 20);
  ok(!last.rc && !last.conflict, "%d more", STORE_REVISIONS_KEPT + 20);
  g = revisions(n, 0, 1000);
  is_int(g.total, STORE_REVISIONS_KEPT, "500 are kept");
  ok(g.count == STORE_REVISIONS_KEPT && g.number == head(n).number, "the newest ones");
  is_int(redis_int(r, "HLEN pb:{@}:revisions:data"), STORE_REVISIONS_KEPT, "and no bytes more");
  ok(!revision(n, first).there, "the oldest is gone");
  ok(revision(n, head(n).number - STORE_REVISIONS_KEPT + 1).there, "the five hundredth is not");
}

/* Large ones: 64 MB, and 20 in any case. */
static void test_large_ones_are_kept_while_there_is_room(struct node *n) {
  struct got last = {0};
  size_t len = 4u << 20;
  char *large = malloc(len), hash[32], was[128];
  struct got g = head(n);
  memset(large, 'l', len);
  snprintf(was, sizeof was, "%s", g.hash);
  for (unsigned i = 0; i < STORE_REVISIONS_LEAST + 2; i++) {
    snprintf(hash, sizeof hash, "large%u", i);
    store_revision_add(n->store, g.number + i, was, hash, large, len, on_applied, &last);
    snprintf(was, sizeof was, "%s", hash);
  }
  until(n->loop, last.n == STORE_REVISIONS_LEAST + 2);
  ok(!last.rc && !last.conflict, "large ones are added");
  is_int(revisions(n, 0, 1).total, STORE_REVISIONS_LEAST,
         "of large ones the newest are kept, however large");
  free(large);
}

/* What was lost comes back with its own number, and nothing becomes older. */
static void test_restore(struct node *n, const struct server *r) {
  tell_redis(r, "FLUSHALL");
  struct got g = head(n);
  ok(!g.rc && !g.there, "after FLUSHALL there is no head");
  g = restore(n, 42, "r42", "mine");
  ok(!g.rc && !g.conflict && g.number == 42, "a node brings back what it runs");
  g = head(n);
  ok(g.number == 42 && !strcmp(g.hash, "r42"), "with its own number");
  g = restore(n, 42, "r42", "mine");
  ok(!g.rc && !g.conflict && g.number == 42, "asked again, it is done");
  g = restore(n, 42, "other", "theirs");
  ok(!g.rc && g.conflict && g.number == 42 && !strcmp(g.hash, "r42"),
     "another one of this number does not take its place");
  g = restore(n, 41, "r41", "older");
  ok(!g.rc && g.conflict && g.number == 42, "nor does an older one");
  g = add(n, 42, "r42", "r43", "next");
  ok(!g.conflict && g.number == 43, "it goes on from there");
  g = restore(n, 42, "r42", "mine");
  ok(g.conflict && g.number == 43, "who restores late changes nothing");
  g = restore(n, 50, "r50", "newer");
  ok(!g.conflict && head(n).number == 50, "a newer one becomes the head in spite of the gap");
  g = revisions(n, 50, 1);
  ok(g.count == 1 && g.number == 43 && g.total == 3, "those before are still there");
}

/* --- documents --- */

static void test_documents(struct node *n) {
  struct got g = get(n, STORE_DOC_TOKEN, "a");
  ok(!g.rc && !g.there, "there is no document");
  g = put(n, STORE_DOC_TOKEN, "a", "one", 0, STORE_DOC_THERE);
  ok(!g.rc && !g.count && !get(n, STORE_DOC_TOKEN, "a").there, "THERE does not make it");
  is_int(put(n, STORE_DOC_TOKEN, "a", "one", 0, STORE_DOC_NEW).count, 1, "NEW does");
  is_int(put(n, STORE_DOC_TOKEN, "a", "two", 0, STORE_DOC_NEW).count, 0, "once");
  g = get(n, STORE_DOC_TOKEN, "a");
  ok(g.there && !strcmp(g.data, "one") && !strcmp(g.id, "a") && !g.expires_ms,
     "it stays as it is, for ever");
  is_int(put(n, STORE_DOC_TOKEN, "a", "three", 60000, STORE_DOC_THERE).count, 1,
         "THERE writes over it");
  g = get(n, STORE_DOC_TOKEN, "a");
  uint64_t left = g.expires_ms - store_clock_ms(n->store);
  ok(!strcmp(g.data, "three") && left > 0 && left <= 61000, "with an expiry");
  is_int(put(n, STORE_DOC_TOKEN, "a", "", 0, STORE_DOC_ALWAYS).count, 1, "ALWAYS does so too");
  g = get(n, STORE_DOC_TOKEN, "a");
  ok(g.there && !g.len && !g.expires_ms, "an empty one that stays");
  ok(!get(n, STORE_DOC_ONCE, "a").there, "another kind has ids of its own");
  is_int(drop(n, STORE_DOC_TOKEN, "a").count, 1, "it is deleted");
  is_int(drop(n, STORE_DOC_TOKEN, "a").count, 0, "once");
  ok(!get(n, STORE_DOC_TOKEN, "a").there && !docs(n, STORE_DOC_TOKEN).count, "and gone");
  is_int(put(n, STORE_DOC_TOKEN, "a", "x", 0, STORE_DOC_THERE).count, 0,
         "who did not hear of that does not bring it back");
}

static void test_take_once(struct node *n) {
  struct got a = {0}, b = {0};
  put(n, STORE_DOC_ONCE, "link", "who", 60000, STORE_DOC_NEW);
  store_doc_take(n->store, STORE_DOC_ONCE, "link", on_doc, &a);
  store_doc_take(n->store, STORE_DOC_ONCE, "link", on_doc, &b);
  until(n->loop, a.n && b.n);
  ok(!a.rc && !b.rc && a.there + b.there == 1, "of two takers one gets it");
  ok(!strcmp(a.data, "who") && a.expires_ms, "with all it has");
  ok(!take(n, STORE_DOC_ONCE, "link").there && !docs(n, STORE_DOC_ONCE).count, "then it is gone");
}

static void test_expiry(struct node *n) {
  put(n, STORE_DOC_ONCE, "short", "s", 1, STORE_DOC_ALWAYS);
  put(n, STORE_DOC_ONCE, "long", "l", 600000, STORE_DOC_ALWAYS);
  put(n, STORE_DOC_ONCE, "stays", "e", 0, STORE_DOC_ALWAYS);
  struct got g;
  do g = get(n, STORE_DOC_ONCE, "short");
  while (g.there);
  ok(!g.rc, "one that has expired is not there");
  ok(!take(n, STORE_DOC_ONCE, "short").there, "for nobody");
  g = docs(n, STORE_DOC_ONCE);
  ok(g.count == 2 && !strcmp(g.id, "stays"), "nor in a list");
  is_int(put(n, STORE_DOC_ONCE, "short", "again", 60000, STORE_DOC_NEW).count, 1,
         "its id is free again");
  is_int(docs(n, STORE_DOC_ONCE).count, 3, "and in the list");
}

static void test_lists(struct node *n, const struct server *r) {
  enum { N = 700, LARGE = 3 };
  struct got g = {0}, all = {0};
  char id[32], *large = malloc(STORE_DOC_MAX + 1), longer[STORE_DOC_ID_MAX + 2];
  memset(large, 'x', STORE_DOC_MAX + 1);
  for (int i = 0; i < N; i++) {
    snprintf(id, sizeof id, "r%d", i);
    store_doc_put(n->store, STORE_DOC_REPORT, id, "12345", 5, 600000, STORE_DOC_ALWAYS, on_did,
                  &all);
  }
  for (int i = 0; i < LARGE; i++) {
    snprintf(id, sizeof id, "large%d", i);
    store_doc_put(n->store, STORE_DOC_REPORT, id, large, STORE_DOC_MAX, 0, STORE_DOC_ALWAYS, on_did,
                  &all);
  }
  until(n->loop, all.n == N + LARGE);
  g = docs(n, STORE_DOC_REPORT);
  ok(!g.rc && g.count == N + LARGE && g.total == N * 5 + LARGE * (uint64_t)STORE_DOC_MAX,
     "a list has all of them, page after page: %d", (int)g.count);
  ask(n, &g,
      store_doc_put(n->store, STORE_DOC_REPORT, "x", large, STORE_DOC_MAX + 1, 0, STORE_DOC_ALWAYS,
                    on_did, &g));
  ok(g.rc == STORE_ERROR && strstr(g.why, "too large"), "one that is too large is refused");
  free(large);
  memset(longer, 'i', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  ok(put(n, STORE_DOC_DONE, longer, "", 1000, STORE_DOC_NEW).rc == STORE_ERROR &&
         get(n, STORE_DOC_DONE, longer).rc == STORE_ERROR &&
         take(n, STORE_DOC_DONE, longer).rc == STORE_ERROR &&
         drop(n, STORE_DOC_DONE, longer).rc == STORE_ERROR,
     "so is an id that is too long");
  longer[STORE_DOC_ID_MAX] = 0;
  is_int(put(n, STORE_DOC_DONE, longer, "", 60000, STORE_DOC_NEW).count, 1, "the longest is taken");
  ok(get(n, STORE_DOC_DONE, longer).there, "and found");
  tell_redis(r, "EVAL \"for i=1,9999 do redis.call('ZADD',KEYS[1],'+inf','f'..i) end\" 1 "
                "pb:{@}:docs:done");
  g = put(n, STORE_DOC_DONE, "more", "", 60000, STORE_DOC_NEW);
  ok(g.rc == STORE_FULL && strstr(g.why, "10000"), "of a kind there are 10,000 at most: %s", g.why);
  is_int(put(n, STORE_DOC_DONE, longer, "x", 60000, STORE_DOC_THERE).count, 1,
         "what is there can be written");
  is_int(docs(n, STORE_DOC_DONE).count, 1, "a list leaves out what its index alone has");
  tell_redis(r, "EVAL \"for i=1,9999 do redis.call('ZADD',KEYS[1],1,'f'..i) end\" 1 "
                "pb:{@}:docs:done");
  is_int(put(n, STORE_DOC_DONE, "more", "", 60000, STORE_DOC_NEW).count, 1,
         "what has expired makes room");
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_compare_and_swap(&b.n);
  test_binary_and_large(&b.n);
  test_500_are_kept(&b.n, &b.r);
  test_large_ones_are_kept_while_there_is_room(&b.n);
  test_restore(&b.n, &b.r);
  test_documents(&b.n);
  test_take_once(&b.n);
  test_expiry(&b.n);
  test_lists(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
