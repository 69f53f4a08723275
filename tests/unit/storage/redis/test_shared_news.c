/* What nodes tell each other: the audit log, letters, news; and what is lost on the way. */
#include "shared_fixture.h"

static struct got audit(struct node *n, const char *text) {
  struct got g;
  ask(n, &g, store_audit_add(n->store, text, strlen(text), on_did, &g));
  return g;
}

static struct got rows(struct node *n, const char *before, size_t count) {
  struct got g;
  ask(n, &g, store_audit_list(n->store, before, count, on_audit, &g));
  return g;
}

static struct got letter(struct node *n, const char *to, const char *text) {
  struct got g;
  ask(n, &g, store_letter_send(n->store, to, text, strlen(text), on_did, &g));
  return g;
}

static struct got letters(struct node *n) {
  struct got g;
  ask(n, &g, store_letter_take(n->store, on_letters, &g));
  return g;
}

/* --- the audit log --- */

static void test_audit(struct node *n, const struct server *r) {
  char text[32], *large = malloc(STORE_AUDIT_MAX + 1);
  struct got g = rows(n, "", 10);
  ok(!g.rc && !g.count, "nobody has done anything");
  tell_redis(r, "XADD pb:{@}:audit 1000-0 d long-ago");
  for (int i = 0; i < 25; i++) {
    snprintf(text, sizeof text, "row%d", i);
    if (audit(n, text).rc) fail("a row");
  }
  g = rows(n, "", 10);
  ok(g.count == 10 && !strcmp(g.first, "row24") && !strcmp(g.last, "row15"), "the newest first");
  ok(g.at_ms && store_clock_ms(n->store) - g.at_ms + 1000 < WAIT_MS, "with their time");
  g = rows(n, g.id, 10);
  ok(g.count == 10 && !strcmp(g.first, "row14") && !strcmp(g.last, "row5"), "and those before");
  g = rows(n, g.id, 100);
  ok(g.count == 5 && !strcmp(g.last, "row0"), "none that is older than 90 days");
  memset(large, 'a', STORE_AUDIT_MAX + 1);
  ask(n, &g, store_audit_add(n->store, large, STORE_AUDIT_MAX + 1, on_did, &g));
  is_int(g.rc, STORE_ERROR, "one that is too large is refused");
  free(large);
  tell_redis(r, "EVAL \"for i=1,100500 do redis.call('XADD',KEYS[1],'*','d','x') end\" 1 "
                "pb:{@}:audit");
  audit(n, "last");
  long len = redis_int(r, "XLEN pb:{@}:audit");
  ok(len >= STORE_AUDIT_ROWS && len < STORE_AUDIT_ROWS + 200, "100,000 are kept: %ld", len);
  g = rows(n, "", 5000);
  ok(g.count == STORE_AUDIT_PAGE && !strcmp(g.first, "last"), "a page has 1,000 at most");
}

/* --- letters --- */

static void test_letters(struct node *n, const struct server *r) {
  struct got g = letters(n), all = {0};
  ok(!g.rc && !g.count, "no letter is there");
  letter(n, "web1", "one");
  letter(n, "web1", "two");
  letter(n, "web9", "theirs");
  g = letters(n);
  ok(g.count == 2 && !strcmp(g.first, "one") && !strcmp(g.last, "two"),
     "a node gets its own ones, in their order");
  ok(!letters(n).count, "once");
  long ttl = redis_int(r, "PTTL pb:{@}:letters:web9");
  ok(ttl > 0 && ttl <= STORE_LETTER_MS, "what nobody takes goes by itself");

  tell_redis(r, "XADD pb:{@}:letters:web1 1000-0 s 3 d old");
  tell_redis(r, "XADD pb:{@}:letters:web1 * s 6 d new");
  g = letters(n);
  ok(g.count == 1 && !strcmp(g.first, "new"), "after a minute nobody gets it");
  tell_redis(r, "XADD pb:{@}:letters:web1 1000-0 s 3 d old");
  letter(n, "web1", "new");
  is_int(redis_int(r, "XLEN pb:{@}:letters:web1"), 1, "it does not wait for that either");
  letters(n);

  for (int i = 0; i < STORE_LETTERS_MAX; i++)
    store_letter_send(n->store, "web1", "x", 1, on_did, &all);
  until(n->loop, all.n == STORE_LETTERS_MAX);
  is_int(all.rc, STORE_OK, "1,000 can wait");
  g = letter(n, "web1", "x");
  ok(g.rc == STORE_FULL && *g.why, "one more cannot: %s", g.why);
  is_int(letters(n).count, STORE_LETTERS_MAX, "all are taken at once");
  is_int(letter(n, "web1", "x").rc, STORE_OK, "then there is room again");
  letters(n);
}

static void test_letters_have_a_megabyte(struct node *n) {
  enum { LEN = 300000 };
  char *large = calloc(1, STORE_LETTERS_BYTES + 1);
  struct got g;
  for (int i = 0; i < 3; i++) {
    ask(n, &g, store_letter_send(n->store, "web1", large, LEN, on_did, &g));
    if (g.rc) fail("a large letter");
  }
  ask(n, &g, store_letter_send(n->store, "web1", large, LEN, on_did, &g));
  is_int(g.rc, STORE_FULL, "a megabyte can wait, no more");
  ask(n, &g, store_letter_send(n->store, "web1", large, LEN / 3, on_did, &g));
  is_int(g.rc, STORE_OK, "what has room can");
  g = letters(n);
  ok(g.count == 4 && g.total == 3 * LEN + LEN / 3, "it is taken");
  ask(n, &g, store_letter_send(n->store, "web1", large, STORE_LETTERS_BYTES + 1, on_did, &g));
  is_int(g.rc, STORE_ERROR, "one that is too large is refused");
  free(large);
}

/* --- news --- */

struct heard {
  unsigned n[STORE_SHARED_EVENTS], all_new;
  char id[STORE_SHARED_EVENTS][64];
};

static void on_news(void *arg, struct store *s, enum store_shared_event event, const char *id) {
  struct heard *h = arg;
  (void)s;
  if (!*id) {
    h->all_new++;
    return;
  }
  h->n[event]++;
  snprintf(h->id[event], sizeof h->id[event], "%s", id);
}

static unsigned heard_n(const struct heard *h) {
  unsigned n = 0;
  for (int i = 0; i < STORE_SHARED_EVENTS; i++) n += h->n[i];
  return n;
}

/* Everything that is told: 6 events for web1, and one less for the others. */
static void everything_happens(struct node *n, const char *id) {
  struct got h = head(n);
  char hash[96];
  snprintf(hash, sizeof hash, "after-%.60s-%s", h.hash, id);
  hash[STORE_HASH_MAX] = 0;
  add(n, h.number, h.hash, hash, "x");
  letter(n, "web1", "x");
  put(n, STORE_DOC_REPLY, id, "x", 60000, STORE_DOC_ALWAYS);
  put(n, STORE_DOC_SESSION, id, "x", 60000, STORE_DOC_ALWAYS);
  drop(n, STORE_DOC_SESSION, id);
  store_tell_shared(n->store, STORE_SHARED_USER, id);
  put(n, STORE_DOC_DRAIN, id, "x", 60000, STORE_DOC_ALWAYS);
}

static void they_hear(struct node *n, struct heard *a, struct heard *b, const char *id,
                      const char *how) {
  until(n->loop, heard_n(a) >= 6 && heard_n(b) >= 5);
  for (int i = 0; i < STORE_SHARED_EVENTS; i++)
    ok(a->n[i] == 1 && b->n[i] == (i != STORE_SHARED_LETTER), "event %d is heard once %s", i, how);
  is_str(a->id[STORE_SHARED_LETTER], "web1", "letters by the node they are for");
  ok(!strcmp(b->id[STORE_SHARED_REPLY], id) && !strcmp(b->id[STORE_SHARED_SESSION], id) &&
         !strcmp(b->id[STORE_SHARED_USER], id),
     "the others with their id");
}

static unsigned swept(const struct node *n) {
  return n->store->sweep.n;
}

static void test_news(struct node *n, const struct server *r) {
  struct node other = {0};
  struct heard a = {0}, b = {0};
  store_on_shared(n->store, on_news, &a);
  node_start(&other, n->loop, r, "web2", "two", 6);
  store_on_shared(other.store, on_news, &b);
  until(n->loop, other.ready && b.all_new);
  is_int(b.all_new, STORE_SHARED_EVENTS, "after READY everything may be new");
  until(n->loop, link_is_up(n->store->sub) && link_is_up(other.store->sub));

  everything_happens(n, "first");
  they_hear(n, &a, &b, "first", "by the channel");
  put(n, STORE_DOC_USER, "eve", "x", 60000, STORE_DOC_ALWAYS);
  take(n, STORE_DOC_USER, "eve");
  put(n, STORE_DOC_TOKEN, "t", "x", 60000, STORE_DOC_ALWAYS);
  drop(n, STORE_DOC_TOKEN, "t");
  /* A token that ends is told like a session that ends. */
  until(n->loop, a.n[STORE_SHARED_USER] == 3 && b.n[STORE_SHARED_USER] == 3 &&
                     a.n[STORE_SHARED_SESSION] == 2 && b.n[STORE_SHARED_SESSION] == 2);
  unsigned sa = swept(n), sb = swept(&other), was = heard_n(&a) + heard_n(&b);
  until(n->loop, swept(n) >= sa + 2 && swept(&other) >= sb + 2);
  is_int(heard_n(&a) + heard_n(&b), was, "a sweep does not tell again what was heard");
  is_str(b.id[STORE_SHARED_USER], "eve", "users are told when written and when deleted");
  is_str(b.id[STORE_SHARED_SESSION], "t", "tokens when deleted");

  /* Nobody may publish or subscribe. */
  a = b = (struct heard){0};
  tell_redis(r, "ACL SETUSER default resetchannels");
  everything_happens(&other, "second");
  they_hear(n, &a, &b, "second", "by the sweep");
  sa = swept(n), sb = swept(&other);
  until(n->loop, swept(n) >= sa + 2 && swept(&other) >= sb + 2);
  is_int(heard_n(&a) + heard_n(&b), 11, "once");
  tell_redis(r, "ACL SETUSER default allchannels");

  /* More than a sweep reads. */
  a = (struct heard){0};
  tell_redis(r, "EVAL \"for i=1,1200 do redis.call('XADD',KEYS[1],'MAXLEN',1000,'*','user','u'..i) "
                "end\" 1 pb:{@}:told");
  until(n->loop, a.all_new);
  sa = swept(n);
  until(n->loop, swept(n) >= sa + 2);
  ok(a.all_new == STORE_SHARED_EVENTS && !heard_n(&a), "more than is kept: everything may be new");

  a = (struct heard){0};
  tell_redis(r, "FLUSHALL");
  until(n->loop, a.all_new >= STORE_SHARED_EVENTS);
  ok(a.all_new >= STORE_SHARED_EVENTS, "also when the data was lost");
  store_leave(other.store);
  until(n->loop, store_idle(other.store));
  store_free(other.store);
  store_on_shared(n->store, NULL, NULL);
}

/* --- a server that is full, gone, or goes --- */

static void test_full_redis(struct node *n, const struct server *r) {
  struct got g = head(n);
  put(n, STORE_DOC_SESSION, "s", "x", 60000, STORE_DOC_ALWAYS);
  add(n, g.number, g.hash, "before", "x");
  letter(n, "web1", "x");
  audit(n, "before");
  tell_redis(r, "CONFIG SET maxmemory 1");
  ok(get(n, STORE_DOC_SESSION, "s").there && docs(n, STORE_DOC_SESSION).count == 1 &&
         head(n).there && revisions(n, 0, 1).count == 1 && rows(n, "", 1).count == 1,
     "all can be read where memory is full");
  is_int(drop(n, STORE_DOC_SESSION, "s").count, 1, "a session is deleted");
  is_int(letters(n).count, 1, "letters are taken");
  is_int(put(n, STORE_DOC_SESSION, "s", "x", 60000, STORE_DOC_NEW).count, 1, "one can log in");
  is_int(audit(n, "row").rc, STORE_OK, "what is done is noted");
  is_int(letter(n, "web1", "x").rc, STORE_OK, "a node is asked");
  g = head(n);
  g = add(n, g.number, g.hash, "full", "x");
  ok(!g.rc && !g.conflict, "a limit can be changed");
  tell_redis(r, "CONFIG SET maxmemory 0");
  letters(n);
}

/* All calls, each with an answer of its own. */
enum { CALLS = 14 };

static void ask_all(struct node *n, const struct got *h, struct got g[CALLS]) {
  struct store *s = n->store;
  memset(g, 0, CALLS * sizeof *g);
  store_revision_head(s, on_revision, &g[0]);
  store_revision_get(s, 1, on_revision, &g[1]);
  store_revision_list(s, 0, 10, on_revisions, &g[2]);
  store_revision_add(s, h->number, h->hash, "lost", "x", 1, on_applied, &g[3]);
  store_revision_restore(s, h->number, h->hash, "x", 1, on_applied, &g[4]);
  store_doc_put(s, STORE_DOC_TOKEN, "lost", "x", 1, 0, STORE_DOC_ALWAYS, on_did, &g[5]);
  store_doc_get(s, STORE_DOC_TOKEN, "lost", on_doc, &g[6]);
  store_doc_list(s, STORE_DOC_TOKEN, on_docs, &g[7]);
  store_doc_take(s, STORE_DOC_ONCE, "lost", on_doc, &g[8]);
  store_doc_delete(s, STORE_DOC_ONCE, "lost", on_did, &g[9]);
  store_audit_add(s, "lost", 4, on_did, &g[10]);
  store_audit_list(s, "", 10, on_audit, &g[11]);
  store_letter_send(s, "web1", "lost", 4, on_did, &g[12]);
  store_letter_take(s, on_letters, &g[13]);
  store_tell_shared(s, STORE_SHARED_USER, "lost");
}

static unsigned answered(const struct got g[CALLS], enum store_rc rc) {
  unsigned n = 0;
  for (int i = 0; i < CALLS; i++) n += g[i].n == 1 && g[i].rc == rc;
  return n;
}

static bool each_answered(const struct got g[CALLS]) {
  for (int i = 0; i < CALLS; i++)
    if (!g[i].n) return false;
  return true;
}

static void test_lost(struct node *n, struct server *r) {
  /* Else Redis may write its file up to two seconds after the answer, and here it is killed. */
  tell_redis(r, "CONFIG SET appendfsync always");
  struct got g[CALLS], h = head(n);
  unsigned ready = n->ready;
  server_freeze(r);
  ask_all(n, &h, g);
  run_for(n->loop, 20);
  is_int(answered(g, STORE_OK), 0, "no answer before there is one");
  server_stop(r, SIGKILL);
  until(n->loop, each_answered(g));
  is_int(answered(g, STORE_UNKNOWN), CALLS, "each is answered once: nobody knows whether it was");
  until(n->loop, n->state != STORE_READY);
  ask_all(n, &h, g);
  is_int(answered(g, STORE_UNAVAILABLE), 0, "never from within the call");
  until(n->loop, each_answered(g));
  is_int(answered(g, STORE_UNAVAILABLE), CALLS, "without a connection each says that it was not");
  struct heard a = {0};
  store_on_shared(n->store, on_news, &a);
  server_start(r, "");
  until(n->loop, n->ready > ready && a.all_new);
  is_int(a.all_new, STORE_SHARED_EVENTS, "when it is back everything may be new");
  store_on_shared(n->store, NULL, NULL);
  ask_all(n, &h, g);
  until(n->loop, each_answered(g));
  is_int(answered(g, STORE_OK), CALLS, "and all can be asked again");
  ok(!g[3].conflict && g[3].number == h.number + 1, "the revision is added, once");
  is_int(head(n).number, h.number + 1, "and the head");
}

/* The list of documents asks several times: the connection goes at each of these. */
static void test_list_is_cut_off(struct node *n, const struct server *r) {
  enum { N = 900 };
  struct got all = {0};
  char id[32];
  unsigned whole = 0, cut = 0;
  for (int i = 0; i < N; i++) {
    snprintf(id, sizeof id, "d%d", i);
    store_doc_put(n->store, STORE_DOC_REPORT, id, "12345", 5, 0, STORE_DOC_ALWAYS, on_did, &all);
  }
  until(n->loop, all.n == N);
  for (unsigned step = 1; !whole; step++) {
    struct got g = {0};
    store_doc_list(n->store, STORE_DOC_REPORT, on_docs, &g);
    struct store_stats stats;
    store_stats(n->store, &stats);
    uint64_t sent = stats.commands + step;
    do {
      loop_turn(n->loop, 1);
      store_stats(n->store, &stats);
    } while (!g.n && stats.commands < sent);
    unsigned ready = n->ready;
    if (!g.n) tell_redis(r, "CLIENT KILL TYPE normal");
    until(n->loop, g.n);
    if (g.n != 1 || (g.rc ? g.count != 0 : g.count != N)) fail("a list that was cut off");
    if (g.rc)
      cut++;
    else
      whole++;
    if (g.rc) until(n->loop, n->ready > ready);
  }
  ok(cut >= 2 && whole == 1, "a list is whole or none: cut off %u times", cut);
}

/* The rights that doc/store-layout.md names are enough. */
static void test_rights(struct node *n, const struct server *r) {
  const char *src = getenv("srcdir"), *begin = "ACL SETUSER pepperbus on >PASSWORD ";
  char path[4096], line[256], acl[4096] = "ACL SETUSER pepperbus on >PASSWORD ", text[256];
  bool inside = false;
  snprintf(path, sizeof path, "%s/doc/store-layout.md", src ? src : ".");
  FILE *f = fopen(path, "re");
  if (!f) bail_out("doc/store-layout.md");
  while (fgets(line, sizeof line, f)) {
    if (inside && !strncmp(line, "```", 3)) break;
    bool first = !strncmp(line, begin, strlen(begin));
    inside |= first;
    line[strcspn(line, "\n")] = 0;
    if (inside && strlen(acl) + strlen(line) + 2 < sizeof acl) {
      strcat(acl, first ? line + strlen(begin) : line);
      strcat(acl, " ");
    }
  }
  fclose(f);
  redis(r, text, sizeof text, acl);
  ok(inside && !strncmp(text, "+OK", 3), "a user with the rights that are written down");
  struct node user = {.st = {.username = "pepperbus", .password = "PASSWORD"}};
  struct got g[CALLS], h = head(n);
  node_start(&user, n->loop, r, "web3", "three", 7);
  struct heard a = {0};
  store_on_shared(user.store, on_news, &a);
  until(n->loop, user.ready && link_is_up(user.store->sub));
  ask_all(&user, &h, g);
  until(n->loop, each_answered(g) && a.n[STORE_SHARED_USER]);
  is_int(answered(g, STORE_OK), CALLS, "may do all that");
  ok(a.n[STORE_SHARED_USER] && !*store_why(user.store), "and hears of it: \"%s\"",
     store_why(user.store));
  store_leave(user.store);
  until(n->loop, store_idle(user.store));
  store_free(user.store);
}

int main(void) {
  struct bench b = {0};
  bench_start(&b);
  test_audit(&b.n, &b.r);
  test_letters(&b.n, &b.r);
  test_letters_have_a_megabyte(&b.n);
  test_news(&b.n, &b.r);
  test_full_redis(&b.n, &b.r);
  test_lost(&b.n, &b.r);
  test_list_is_cut_off(&b.n, &b.r);
  test_rights(&b.n, &b.r);
  bench_leave(&b);
  return bench_end(&b);
}
