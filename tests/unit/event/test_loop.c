/* The loop: timers, the end of a turn, calls from other threads, children. */
#include "base/log.h"
#include "event/loop.h"

#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 60000

static struct loop *loop;
static char trail[64]; /* who was called, in order */

static void note(char c) {
  size_t n = strlen(trail);
  if (n + 1 < sizeof trail) trail[n] = c; /* what is behind it is NUL */
}

static void note_arg(void *arg) {
  note(*(const char *)arg);
}

static void forget(void) {
  memset(trail, 0, sizeof trail);
}

/* Turns until `n` calls were noted, or the time is over. */
static void turn_until(size_t n) {
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (strlen(trail) < n && loop_clock_ms() < end) loop_turn(loop, 100);
}

/* --- timers --- */

static void test_timers(void) {
  struct timer a, b, c;
  timer_init(&a, loop, note_arg, "a");
  timer_init(&b, loop, note_arg, "b");
  timer_init(&c, loop, note_arg, "c");
  ok(!timer_pending(&a), "a new timer does not run");
  uint64_t begin;
  do { /* again, should there be so much time between them that they change places */
    begin = loop_clock_ms();
    timer_start(&a, 60);
    timer_start(&b, 20);
  } while (loop_clock_ms() - begin >= 30);
  timer_start(&c, 40);
  ok(timer_pending(&a), "a started one does");
  timer_stop(&c);
  ok(!timer_pending(&c), "a stopped one does not");
  turn_until(2);
  is_str(trail, "ba", "in the order of their times, without the stopped one");
  ok(loop_clock_ms() - begin >= 55, "not early");
  ok(!timer_pending(&a), "each once");
  forget();

  timer_start(&a, 0);
  timer_start(&b, 3600000);
  timer_start(&b, 30); /* moved */
  timer_start(&c, 1);
  timer_start(&c, 60000);
  turn_until(2);
  is_str(trail, "ab", "started again is moved, either way");
  ok(timer_pending(&c), "and the other still waits");
  forget();
  timer_done(&c);
  timer_done(&a);
  timer_done(&b);
  struct timer none = {0};
  timer_done(&none);
  ok(!timer_pending(&none), "a zeroed timer can be stopped");
}

struct again {
  struct timer timer;
  int left;
};

static void start_again(void *arg) {
  struct again *a = arg;
  note('t');
  if (--a->left) timer_start(&a->timer, 0);
}

static void test_again(void) {
  struct again a = {.left = 3};
  timer_init(&a.timer, loop, start_again, &a);
  timer_start(&a.timer, 0);
  turn_until(3);
  is_str(trail, "ttt", "a timer may start itself");
  timer_done(&a.timer);
  forget();
}

static uint64_t seen_now, seen_wall;

static void see_time(void *arg) {
  (void)arg;
  seen_now = loop_now_ms(loop);
  seen_wall = loop_wall_ms(loop);
  note('t');
}

static void test_time(void) {
  struct timer t;
  uint64_t before = loop_now_ms(loop), wall = loop_wall_ms(loop);
  timer_init(&t, loop, see_time, NULL);
  timer_start(&t, 50);
  turn_until(1);
  ok(seen_now >= before + 45, "a turn's time is that after its wait");
  ok(seen_wall >= wall + 45, "the wall clock's too");
  forget();
  uint64_t now = loop_now_ms(loop);
  struct timespec ts = {.tv_nsec = 20000000};
  nanosleep(&ts, NULL);
  is_int(loop_now_ms(loop), now, "within a turn it stands still");
  ok(loop_clock_ms() >= now + 19, "the clock does not");
  loop_turn(loop, 0);
  ok(loop_now_ms(loop) >= now + 19, "the next turn has its own");
  timer_done(&t);
}

static void test_jitter(void) {
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < 10000; i++) {
    uint64_t v = loop_jitter(loop, 1000);
    if (v < least) least = v;
    if (v > most) most = v;
  }
  ok(least >= 750 && least < 800 && most <= 1250 && most > 1200,
     "a quarter more or less, all of it");
  ok(loop_jitter(loop, 0) == 0 && loop_jitter(loop, 3) == 3, "small waits stay as they are");
}

/* --- end of turn --- */

static struct deferred chain[3];

static void defer_more(void *arg) {
  note('m');
  loop_defer(loop, &chain[1], note_arg, "2");
  loop_defer(loop, arg, note_arg, "x"); /* itself: it is off the list by now */
}

static void defer_cancel(void *arg) {
  note('c');
  deferred_cancel(loop, arg);
}

static void test_deferred(void) {
  struct deferred a = {0}, b = {0}, c = {0}, self = {0};
  loop_defer(loop, &a, note_arg, "a");
  loop_defer(loop, &b, note_arg, "b");
  loop_defer(loop, &c, note_arg, "c");
  loop_defer(loop, &a, note_arg, "A"); /* it is there already */
  is_str(trail, "", "nothing is called at once");
  loop_turn(loop, 0);
  is_str(trail, "abc", "in the order of the calls, each once");
  forget();
  loop_turn(loop, 0);
  is_str(trail, "", "and only in this turn");

  loop_defer(loop, &a, note_arg, "a");
  loop_defer(loop, &b, note_arg, "b");
  loop_defer(loop, &c, note_arg, "c");
  deferred_cancel(loop, &b);
  deferred_cancel(loop, &b);
  loop_defer(loop, &b, note_arg, "b");
  deferred_cancel(loop, &a);
  loop_turn(loop, 0);
  is_str(trail, "cb", "cancelled is off the list, and goes to its end when it comes again");
  forget();

  loop_defer(loop, &a, note_arg, "a");
  deferred_cancel(loop, &a);
  loop_defer(loop, &b, note_arg, "b");
  loop_turn(loop, 0);
  is_str(trail, "b", "a list emptied by a cancel works again");
  forget();

  loop_defer(loop, &a, defer_cancel, &b);
  loop_defer(loop, &b, note_arg, "b");
  loop_defer(loop, &self, defer_more, &self);
  loop_turn(loop, 0);
  is_str(trail, "cm2x", "one may cancel the next, add others and itself, all in this turn");
  forget();
}

static void in_turn(void *arg) {
  note('t');
  loop_defer(loop, arg, note_arg, "d");
}

static void test_turn_order(void) {
  struct deferred d = {0};
  struct timer a, b;
  timer_init(&a, loop, in_turn, &d);
  timer_init(&b, loop, in_turn, &d);
  timer_start(&a, 0);
  timer_start(&b, 0);
  struct timespec ts = {.tv_nsec = 5000000};
  nanosleep(&ts, NULL); /* both are due in one turn */
  turn_until(3);
  is_str(trail, "ttd", "what is deferred comes after all callbacks of the turn");
  timer_done(&a);
  timer_done(&b);
  forget();
}

/* Under the address sanitizer, or valgrind, this is the test; otherwise it may pass by luck. */
struct mortal {
  struct timer timer;
  struct deferred d;
  char name[8];
};

static void read_late(void *arg) {
  struct mortal *m = arg;
  note(m->name[0]);
}

static void die(void *arg) {
  struct mortal *m = arg;
  loop_defer(loop, &m->d, read_late, m);
  loop_free_later(loop, m);
  note(m->name[1]);
}

static void test_free_later(void) {
  for (int i = 0; i < 100; i++) {
    struct mortal *m = calloc(1, sizeof *m);
    strcpy(m->name, "xy");
    timer_init(&m->timer, loop, die, m);
    timer_start(&m->timer, 0);
  }
  loop_free_later(loop, NULL);
  uint64_t end = loop_clock_ms() + WAIT_MS;
  do {
    forget();
    loop_turn(loop, 100);
  } while (!*trail && loop_clock_ms() < end);
  ok(trail[0] == 'y', "objects die within their own callbacks");
  ok(strchr(trail, 'x') || strlen(trail) + 1 == sizeof trail,
     "and are there until the end of the turn");
  for (int i = 0; i < 3; i++) loop_turn(loop, 0);
  forget();
}

/* --- other threads --- */

#define THREADS 4
#define POSTS   5000

static pthread_t loop_thread;
static unsigned posted_n;
static bool order_kept = true, on_loop_thread = true;
struct post {
  int thread, number;
};
static struct post posts[THREADS][POSTS];
static int last_of[THREADS];

static void count_post(void *arg) {
  const struct post *p = arg;
  order_kept &= p->number == last_of[p->thread] + 1;
  last_of[p->thread] = p->number;
  on_loop_thread &= pthread_equal(pthread_self(), loop_thread) != 0;
  posted_n++;
}

static void *poster(void *arg) {
  int thread = *(int *)arg;
  for (int i = 0; i < POSTS; i++) {
    posts[thread][i] = (struct post){thread, i + 1};
    loop_post(loop, count_post, &posts[thread][i]);
  }
  return NULL;
}

static void post_again(void *arg) {
  note('p');
  loop_post(loop, note_arg, arg);
}

static void *wake_late(void *arg) {
  struct timespec ts = {.tv_nsec = 50000000};
  nanosleep(&ts, NULL);
  loop_post(loop, note_arg, arg);
  return NULL;
}

static void test_post(void) {
  pthread_t threads[THREADS];
  int numbers[THREADS];
  loop_thread = pthread_self();
  for (int i = 0; i < THREADS; i++) {
    numbers[i] = i;
    if (pthread_create(&threads[i], NULL, poster, &numbers[i])) bail_out("no thread");
  }
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (posted_n < THREADS * POSTS && loop_clock_ms() < end) loop_turn(loop, 100);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  is_int(posted_n, THREADS * POSTS, "every call posted by %d threads came", THREADS);
  ok(order_kept, "those of one thread in their order");
  ok(on_loop_thread, "all on the loop's thread");

  loop_post(loop, post_again, "q");
  is_str(trail, "", "posting on the loop's own thread is not calling");
  turn_until(1);
  is_str(trail, "p", "what a posted call posts comes in a later turn");
  turn_until(2);
  is_str(trail, "pq", "but it comes");
  forget();

  pthread_t late;
  uint64_t begin = loop_clock_ms();
  if (pthread_create(&late, NULL, wake_late, "w")) bail_out("no thread");
  while (!*trail && loop_clock_ms() < begin + WAIT_MS) loop_turn(loop, WAIT_MS);
  is_str(trail, "w", "a post wakes a loop that waits");
  ok(loop_clock_ms() - begin < WAIT_MS / 2, "at once");
  pthread_join(late, NULL);
  forget();
}

/* --- children --- */

static pid_t ended_pid;
static int ended_status;
static bool ended_ours; /* is its number still taken when its end is told? */

static void child_ended(pid_t pid, int status, void *arg) {
  ended_ours = kill(pid, 0) == 0;
  ended_pid = pid;
  ended_status = status;
  note_arg(arg);
}

static pid_t child(unsigned wait_ms, int code) {
  pid_t pid = fork();
  if (pid < 0) bail_out("fork");
  if (pid) return pid;
  struct timespec ts = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
  nanosleep(&ts, NULL);
  _exit(code);
}

/* Waits until the child is a zombie, without reaping it. */
static void wait_zombie(pid_t pid) {
  siginfo_t info;
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
}

static bool reaped(pid_t pid) {
  return waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static void test_children(void) {
  pid_t pid = child(30, 7);
  is_int(loop_on_child(loop, pid, child_ended, "c"), 0, "a child is watched");
  turn_until(1);
  is_str(trail, "c", "its end is told");
  ok(ended_pid == pid && WIFEXITED(ended_status) && WEXITSTATUS(ended_status) == 7,
     "with its pid and status");
  ok(ended_ours, "while its number is nobody else's yet");
  ok(reaped(pid), "it is reaped then");
  for (int i = 0; i < 3; i++) loop_turn(loop, 1);
  is_str(trail, "c", "told once");
  forget();

  pid = child(0, 3);
  wait_zombie(pid);
  for (int i = 0; i < 3; i++) loop_turn(loop, 5); /* its signal comes and goes */
  loop_on_child(loop, pid, child_ended, "z");
  is_str(trail, "", "one that has ended before it was watched: not told within the call");
  turn_until(1);
  is_str(trail, "z", "but told");
  ok(ended_pid == pid && WEXITSTATUS(ended_status) == 3, "with its pid and status");
  forget();

  pid = child(60000, 0);
  loop_on_child(loop, pid, child_ended, "k");
  kill(pid, SIGKILL);
  turn_until(1);
  ok(!strcmp(trail, "k") && WIFSIGNALED(ended_status) && WTERMSIG(ended_status) == SIGKILL,
     "one that is killed");
  forget();

  pid_t other = child(0, 0); /* not ours to reap: a library's */
  pid = child(60000, 0);
  loop_on_child(loop, pid, child_ended, "f");
  wait_zombie(other);
  for (int i = 0; i < 3; i++) loop_turn(loop, 5);
  is_int(waitpid(other, NULL, WNOHANG), other, "children that nobody watches are left alone");
  other = child(0, 0); /* it hides those that end after it */
  wait_zombie(other);
  pid_t hidden = child(0, 5);
  loop_on_child(loop, hidden, child_ended, "h");
  turn_until(1);
  ok(!strcmp(trail, "h") && WEXITSTATUS(ended_status) == 5, "and do not hide who ended after them");
  ok(waitpid(other, NULL, WNOHANG) == other, "nor are they reaped then");
  forget();
  loop_forget_child(loop, pid);
  kill(pid, SIGKILL);
  wait_zombie(pid);
  uint64_t end = loop_clock_ms() + WAIT_MS;
  while (kill(pid, 0) == 0 && loop_clock_ms() < end) loop_turn(loop, 10);
  ok(reaped(pid) && !*trail, "a forgotten one is reaped all the same, and not told");

  pid = child(0, 0);
  waitpid(pid, NULL, 0);
  ended_status = 0;
  loop_on_child(loop, pid, child_ended, "s");
  turn_until(1);
  is_str(trail, "s", "one that somebody else has reaped is told");
  ok(ended_status != 0, "not as a success: how it ended is not known");
  forget();
}

static pid_t many[20];

static void one_of_many(pid_t pid, int status, void *arg) {
  (void)status;
  (void)arg;
  for (int i = 0; i < 20; i++)
    if (many[i] == pid) {
      many[i] = 0;
      note('m');
    }
  if (strlen(trail) == 1) { /* the list changes while it is walked */
    pid_t more = child(0, 0);
    loop_on_child(loop, more, child_ended, "n");
    loop_forget_child(loop, -1);
  }
}

static void test_many_children(void) {
  for (int i = 0; i < 20; i++) {
    many[i] = child(0, 0);
    loop_on_child(loop, many[i], one_of_many, NULL);
  }
  for (int i = 0; i < 20; i++) wait_zombie(many[i]); /* signals of all fall into one */
  turn_until(21);
  is_int(strlen(trail), 21, "many that end together, and one started from a callback");
  forget();
}

/* --- signals, run and stop --- */

static void on_signal(int signo, void *arg) {
  note_arg(arg);
  if (signo == SIGUSR1) loop_stop(loop);
}

static void test_run(void) {
  is_int(loop_on_signal(loop, SIGUSR1, on_signal, "s"), 0, "a signal is watched");
  struct deferred d = {0};
  loop_defer(loop, &d, note_arg, "d");
  kill(getpid(), SIGUSR1);
  loop_run(loop);
  is_str(trail, "ds", "what was deferred before runs first; a signal's handler can stop the loop");
  forget();
}

static struct deferred last;
static void at_free(void *arg) {
  note_arg(arg);
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  loop = loop_new(log);
  if (!loop) bail_out("no loop");
  ok(loop_log(loop) == log, "a loop has its log");
  test_timers();
  test_again();
  test_time();
  test_jitter();
  test_deferred();
  test_turn_order();
  test_free_later();
  test_post();
  test_children();
  test_many_children();
  test_run();

  loop_defer(loop, &last, at_free, "l");
  loop_free_later(loop, malloc(10));
  loop_post(loop, note_arg, "p");
  loop_on_child(loop, 999999, child_ended, "c");
  loop_free(loop);
  is_str(trail, "l", "freeing runs what is deferred, and drops the rest");
  loop_free(NULL);
  log_free(log);
  return done_testing();
}
