/* core/control/follow.c on a store of this file: which revision runs, whatever the storage says. */
#include "tap.h"
#include "base/log.h"
#include "control/copy.h"
#include "control/follow.h"

#include <errno.h>

/* --- a storage of revisions, and a copy --- */

struct kept {
  uint64_t number;
  char *data, hash[REVISION_HASH_SIZE];
  size_t len;
};

static struct kept kept[16];
static size_t n_kept, head; /* head: index + 1; 0: none */
static bool away;
static char *copied;
static struct seal seal, other_seal;
static bool keyless;

struct copy {
  int unused;
};
static struct copy the_copy;

struct copy *copy_new(struct loop *loop, const char *dir, void (*fn)(void *, int), void *arg) {
  (void)loop, (void)dir, (void)fn, (void)arg;
  return &the_copy;
}
void copy_save(struct copy *c, const void *data, size_t len) {
  (void)c;
  free(copied);
  copied = strndup(data, len);
}
void copy_free(struct copy *c) {
  (void)c;
}
int copy_read(const char *dir, char **ret, size_t *ret_len, struct pb_err *err) {
  (void)dir, (void)ret, (void)ret_len, (void)err;
  return -ENOENT;
}

static store_revision_fn asked;
static void *asked_arg;
static uint64_t asked_number; /* 0: the head */

void store_revision_head(struct store *s, store_revision_fn fn, void *arg) {
  store_revision_get(s, 0, fn, arg);
}
void store_revision_get(struct store *s, uint64_t number, store_revision_fn fn, void *arg) {
  (void)s;
  if (asked) bail_out("two questions at a time");
  asked = fn;
  asked_arg = arg;
  asked_number = number;
}

static const struct kept *kept_find(uint64_t number) {
  if (!number) return head ? &kept[head - 1] : NULL;
  for (size_t i = 0; i < n_kept; i++)
    if (kept[i].number == number) return &kept[i];
  return NULL;
}

/* All questions, until there is none. */
static void serve(void) {
  while (asked) {
    store_revision_fn fn = asked;
    const struct kept *k = kept_find(asked_number);
    struct store_revision r = {.number = k ? k->number : 0, .hash = k ? k->hash : ""};
    if (k && asked_number) r.data = k->data, r.len = k->len;
    asked = NULL;
    fn(asked_arg, away ? STORE_UNAVAILABLE : STORE_OK, k && !away ? &r : NULL, "away");
  }
}

static void keep(struct revision r, const struct seal *with) {
  struct kept *k = &kept[n_kept++];
  r.cluster = "prod";
  r.by = r.from = r.comment = "";
  k->number = r.number;
  k->data = revision_write(&r, with, &k->len);
  if (!k->data || seal_digest(k->data, k->len, k->hash)) bail_out("no revision");
  head = n_kept;
}

static void forget_all(void) {
  for (size_t i = 0; i < n_kept; i++) free(kept[i].data);
  n_kept = head = 0;
}

/* `n` revisions, each made from the one before. */
static void keep_chain(uint64_t from, uint64_t to) {
  for (uint64_t n = from; n <= to; n++) {
    const struct kept *base = kept_find(n - 1);
    char hash[REVISION_HASH_SIZE];
    snprintf(hash, sizeof hash, "%s", n > 1 && base ? base->hash : "");
    keep((struct revision){.number = n, .base_hash = hash, .text = "[queue q]\n"}, &seal);
  }
}

/* --- the node --- */

static struct follow f;
static struct control_text *to_run; /* asked for, not ended */
static struct log *logs;

static struct store *on_store(void *arg) {
  (void)arg;
  return (struct store *)&the_copy; /* never looked into */
}
static const struct seal *on_seal(void *arg) {
  (void)arg;
  return keyless ? NULL : &seal;
}
static const char *on_cluster(void *arg) {
  (void)arg;
  return "prod";
}
static void on_run(void *arg, struct control_text *t) {
  (void)arg;
  if (to_run) bail_out("two run at a time");
  to_run = control_text_ref(t);
}
static void on_changed(void *arg) {
  (void)arg;
}

static void ran(int rc, const char *why) {
  struct control_text *t = to_run;
  to_run = NULL;
  if (t) follow_ran(&f, t, rc, why);
  control_text_unref(t);
}

static void look(void) {
  follow_look(&f);
  serve();
}

static uint64_t runs(void) {
  return f.good ? f.good->rev.number : 0;
}

static void begin(void) {
  static const struct follow_events ev = {.store = on_store,
                                          .seal = on_seal,
                                          .cluster = on_cluster,
                                          .run = on_run,
                                          .changed = on_changed};
  follow_init(&f, NULL, logs, "", NULL, NULL, &ev);
}

static void end(void) {
  follow_done(&f);
  forget_all();
  free(copied);
  copied = NULL;
  away = keyless = false;
}

/* Revision 3 runs. */
static void begin_at_three(void) {
  begin();
  keep_chain(1, 3);
  look();
  ran(0, "");
}

static void test_followed(void) {
  begin();
  look();
  is_int(f.state, FOLLOW_CURRENT, "an empty storage is fine where nothing ran yet");
  keep_chain(1, 1);
  look();
  ok(to_run && to_run->rev.number == 1, "the first revision is to run");
  is_int(runs(), 0, "it does not yet");
  ok(!copied, "and is not copied");
  ran(0, "");
  is_int(runs(), 1, "it runs");
  is_str(copied, kept[0].data, "and is copied as it is stored");
  keep_chain(2, 5);
  look();
  ran(0, "");
  is_int(runs(), 5, "several at once are one step");
  look();
  ok(!to_run, "nothing new, nothing to run");
  end();
}

static void test_refused(void) {
  begin_at_three();
  keep_chain(4, 4);
  look();
  ran(-EINVAL, "line 1: no");
  is_int(runs(), 3, "what is refused leaves what runs");
  ok(f.refused && !strcmp(f.refused_why, "line 1: no"), "and is told");
  is_str(copied, kept[2].data, "the copy stays");
  look();
  ok(!to_run, "it is not tried again and again");
  follow_retry(&f);
  ok(to_run, "but after a change of the local files");
  ran(-EINVAL, "line 1: no");
  keep_chain(5, 5);
  look();
  ran(0, "");
  is_int(runs(), 5, "the next one runs");
  ok(!f.refused, "nothing is refused any more");
  end();
}

static void test_overtaken(void) {
  begin_at_three();
  keep_chain(4, 4);
  look();
  keep_chain(5, 5);
  look();
  is_int(to_run->rev.number, 4, "one at a time");
  ran(0, "");
  is_int(runs(), 4, "it runs,");
  ok(to_run && to_run->rev.number == 5, "and then the one that came meanwhile");
  ran(0, "");
  is_int(runs(), 5, "does");
  end();
}

static void is_lost(const char *name) {
  look();
  is_int(f.state, FOLLOW_LOST, "%s: lost", name);
  ok(!to_run && runs() == 3, "and revision 3 goes on");
}

static void test_lost(void) {
  begin_at_three();
  head = 0;
  is_lost("none any more");
  head = 2;
  is_lost("a lower one");
  head = 3;
  look();
  is_int(f.state, FOLLOW_CURRENT, "the right one is back");
  forget_all();
  keep((struct revision){.number = 3, .base_hash = "", .text = "[queue x]\n"}, &seal);
  is_lost("another one of the same number");
  keep_chain(4, 4);
  is_lost("its child");
  keep_chain(5, 7);
  is_lost("and what comes later");
  away = true;
  look();
  is_int(runs(), 3, "away: nothing changes");
  away = false;
  keep((struct revision){.number = 8, .restored = 8, .base_hash = "", .text = "[queue r]\n"},
       &seal);
  look();
  ran(0, "");
  is_int(runs(), 8, "a restore is followed, wherever it comes from");
  end();
}

static void test_gap(void) {
  begin_at_three();
  forget_all();
  keep((struct revision){.number = 700, .base_hash = "x", .text = "[queue y]\n"}, &seal);
  look();
  ran(0, "");
  is_int(runs(), 700, "after a long time away its own revision is not kept any more");
  end();
  begin_at_three();
  forget_all();
  keep((struct revision){.number = 8, .restored = 8, .base_hash = "", .text = "[queue r]\n"},
       &seal);
  keep((struct revision){.number = 9, .restored = 8, .base_hash = "x", .text = "[queue s]\n"},
       &seal);
  keep((struct revision){.number = 3, .base_hash = "", .text = "[queue x]\n"}, &seal);
  head = 2;
  look();
  ran(0, "");
  is_int(runs(), 9, "what comes of a restore is followed, too");
  end();
}

static void test_forged(void) {
  begin_at_three();
  keep((struct revision){.number = 4, .base_hash = kept[2].hash, .text = "[queue e]\n"},
       &other_seal);
  is_lost("not written with our key");
  is_int(f.forged, 1, "counted");
  look();
  is_int(f.forged, 1, "once");
  char *data = strdup(kept[2].data);
  free(kept[3].data);
  kept[3].data = data; /* a real one under another number */
  kept[3].len = kept[2].len;
  snprintf(kept[3].hash, sizeof kept[3].hash, "%s", kept[2].hash);
  is_lost("an old one as a new one");
  is_int(f.forged, 2, "counted");
  end();
}

static void test_keyless(void) {
  begin_at_three();
  keyless = true;
  keep_chain(4, 4);
  look();
  is_int(f.state, FOLLOW_KEYLESS, "without the key nothing can be verified");
  ok(!to_run && runs() == 3, "and what runs goes on");
  keyless = false;
  look();
  ran(0, "");
  is_int(runs(), 4, "with the key it is followed");
  end();
}

int main(void) {
  unsigned char key[SEAL_KEY_LEN] = {1};
  logs = log_new(2);
  log_configure(logs, PB_LOG_ERROR, false);
  if (seal_init(&seal, key)) bail_out("no key");
  key[0] = 2;
  if (seal_init(&other_seal, key)) bail_out("no key");
  test_followed();
  test_refused();
  test_overtaken();
  test_lost();
  test_gap();
  test_forged();
  test_keyless();
  log_free(logs);
  return done_testing();
}
