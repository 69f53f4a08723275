/* The thread for passwords: bounded, off the loop, and ended cleanly. */
#include "accounts/passwords.c"

#include "base/log.h"
#include "tap.h"

#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

static struct loop *loop;
static size_t answers;
static int last_rc;
static char last_hash[PASSWORD_HASH_MAX];

static void on_answer(void *arg, int rc, const char *hash) {
  answers++;
  last_rc = rc;
  if (arg) *(int *)arg = rc;
  snprintf(last_hash, sizeof last_hash, "%s", hash);
}

static void wait_for(size_t n) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (answers < n && loop_clock_ms() < end) loop_turn(loop, 100);
  if (answers < n) bail_out("no answer");
}

static int check(struct passwords *p, const char *stored, const char *given) {
  answers = 0;
  int rc = passwords_check(p, stored, given, on_answer, NULL);
  if (rc) return rc;
  if (answers) bail_out("answered within the call");
  wait_for(1);
  return last_rc;
}

static void checks(void) {
  struct passwords *p = passwords_new(loop);
  char hash[PASSWORD_HASH_MAX], long_one[PASSWORD_LEN_MAX + 2];
  answers = 0;
  is_int(passwords_hash(p, "correct horse", on_answer, NULL), 0, "a hash is asked for");
  wait_for(1);
  snprintf(hash, sizeof hash, "%s", last_hash);
  ok(last_rc == 0 && strncmp(hash, "$y$", 3) == 0, "it is yescrypt");
  is_int(check(p, hash, "correct horse"), 0, "the right password");
  is_int(check(p, hash, "correct horsf"), -EACCES, "a wrong one");
  is_int(check(p, hash, ""), -EACCES, "an empty one");
  is_int(check(p, "", ""), -EACCES, "an empty one where none is stored");
  is_int(check(p, NULL, "correct horse"), -EACCES, "no such user");
  is_int(check(p, "plain", "plain"), 0, "one that stands there in clear");
  ok(secret_is_hash(NOBODY), "unknown users cost a hash that is sound");
  memset(long_one, 'x', sizeof long_one - 1);
  long_one[sizeof long_one - 1] = 0;
  is_int(check(p, hash, long_one), -EACCES, "one that is too long");
  answers = 0;
  passwords_hash(p, long_one, on_answer, NULL);
  wait_for(1);
  is_int(last_rc, -EINVAL, "and gets no hash");
  passwords_free(p);
}

struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool open, begun;
};

static int gate_pass(void *arg) {
  struct gate *g = arg;
  pthread_mutex_lock(&g->lock);
  g->begun = true;
  pthread_cond_signal(&g->changed);
  while (!g->open) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
  return 7;
}

static void on_gate(void *arg, int rc) {
  (void)arg;
  on_answer(NULL, rc, "");
}

static void gate_open(struct gate *g) {
  pthread_mutex_lock(&g->lock);
  g->open = true;
  pthread_cond_signal(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

/* 32 wait, the next one is told that the node is busy */
static void bounds(void) {
  struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  struct passwords *p = passwords_new(loop);
  int rc = 0;
  answers = 0;
  for (int i = 0; i < PASSWORDS_WAITING; i++) rc |= passwords_run(p, gate_pass, on_gate, &g);
  is_int(rc, 0, "so many are taken");
  is_int(passwords_check(p, NULL, "x", on_answer, NULL), -EBUSY, "one more is not");
  gate_open(&g);
  wait_for(PASSWORDS_WAITING);
  is_int(last_rc, 7, "each has its own result");
  is_int(check(p, NULL, "x"), -EACCES, "then there is room again");
  passwords_free(p);
}

/* at a stop nothing is left unanswered, and nothing goes on */
static void stops(void) {
  struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  struct passwords *p = passwords_new(loop);
  int rcs[4] = {1, 1, 1, 1};
  answers = 0;
  passwords_run(p, gate_pass, on_gate, &g);
  for (size_t i = 0; i < 4; i++) passwords_check(p, "plain", "plain", on_answer, &rcs[i]);
  pthread_mutex_lock(&g.lock);
  while (!g.begun) pthread_cond_wait(&g.changed, &g.lock);
  pthread_mutex_unlock(&g.lock);
  gate_open(&g);
  passwords_free(p);
  is_int((int)answers, 5, "all are answered");
  is_int(rcs[3], -ECANCELED, "that the broker stops");
  passwords_free(passwords_new(loop));
  ok(true, "one that never had work ends as well");
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  loop = loop_new(log);
  checks();
  bounds();
  stops();
  loop_free(loop);
  log_free(log);
  return done_testing();
}
