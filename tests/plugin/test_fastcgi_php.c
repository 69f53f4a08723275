/* The FastCGI transport against a real php-fpm. Against a responder that misbehaves:
 * test_fastcgi.c.
 */
#include "fastcgi_fixture.h"

static struct host_inst *php(struct host_pool *p, const struct fixture *f, const char *script) {
  char entry[200];

  snprintf(entry, sizeof entry, "%s/%s", f->dir, script);
  return topic(p, entry);
}

static void put_scripts(const struct fixture *f) {
  char text[600];

  put_file(f, "ok.php", "<?php header('Code: 200'); echo 'fine';");
  put_file(
      f, "ping.php",
      "<?php header('Code: 200'); header('Consume-Topics: a/b,msg/reply');"
      "header('Error-Code: 42'); echo $_POST['type'], ' ', "
      "$_SERVER['HTTP_X_PEPPERBUS_TRACE'] ?? '?', ' ', "
      "$_SERVER['HTTP_IS_PEPPER_BUS_REQUEST'] ?? '?', ' ', "
      "$_SERVER['HTTP_X_PEPPERBUS_SIGNATURE'] ?? 'unsigned', ' ', "
      "$_SERVER['HTTP_TRACEPARENT'] ?? '?', ' ', $_SERVER['HTTP_X_PEPPERBUS_TIMEOUT'] ?? '?';");
  put_file(f, "fatal.php", "<?php call_me_not();");
  put_file(f, "exit.php", "<?php exit(3);");
  put_file(f, "before.php", "<?php echo 'too soon'; flush(); header('Code: 200');");
  put_file(f, "warn.php", "<?php header('Code: 200'); echo $undefined; echo 'fine';");
  put_file(f, "stderr.php", "<?php error_log('some trouble'); header('Code: 200');");
  put_file(f, "kill.php", "<?php posix_kill(getmypid(), 9); sleep(1);");
  snprintf(text, sizeof text,
           "<?php touch('%s/begun'); while (file_exists('%s/hold')) { usleep(1000); "
           "clearstatcache(); } header('Code: 200'); echo 'held';",
           f->dir, f->dir);
  put_file(f, "held.php", text);
  put_file(f, "nap.php", "<?php usleep(20000); header('Code: 200');");
  put_file(f, "params.php",
           "<?php header('Code: 200'); echo $_SERVER['HTTP_TRACEPARENT'] ?? '?', ' ', "
           "$_SERVER['HTTP_X_PEPPERBUS_SIGNATURE'] ?? '?';");
  put_file(f, "size.php", "<?php header('Code: 200'); echo strlen($_POST['jobs'] ?? '');");
  snprintf(text, sizeof text,
           "<?php file_put_contents('%s/ledger', $_POST['id'] . ' ' . getmypid() . \"\\n\", "
           "FILE_APPEND); usleep(rand(0, 3000)); header('Code: 200'); echo $_POST['id'];",
           f->dir);
  put_file(f, "ledger.php", text);
  snprintf(text, sizeof text,
           "<?php file_put_contents('%s/ledger', $_POST['id'] . ' ' . getmypid() . \"\\n\", "
           "FILE_APPEND); for ($i = 0; $i < 20000; $i++) md5($i); header('Code: 200'); "
           "echo $_POST['id'];",
           f->dir);
  put_file(f, "work.php", text);
}

static void test_php(const struct fixture *f, bool tcp) {
  static const struct expectation all[] = {
      {"ok.php", PB_ANSWERED, 200, "fine", NULL},
      {"none.php", PB_ANSWERED, 0, "File not found.\n", "has no script"},
      {"fatal.php", PB_ANSWERED, 0, NULL, "undefined function call_me_not"},
      {"exit.php", PB_ANSWERED, 0, "", "no Code header"},
      {"before.php", PB_ANSWERED, 0, NULL, "Its output begins: too soon"},
      {"stderr.php", PB_ANSWERED, 200, "", "some trouble"},
      {"kill.php", PB_LOST, 0, "", "was the worker killed"},
  };
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;
  struct host_pool *p;
  struct host_inst *good;
  struct host_ticket *t;
  char *big = malloc(7u << 20);

  if (!big) bail_out("no memory");
  fpm_start(&m, f, tcp, 2, NULL);
  p = host_pool(h, NULL, option("address", m.address), NULL);
  good = php(p, f, "ok.php");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const struct expectation *e = &all[i];
    struct host_inst *in = php(p, f, e->script);

    for (int again = 0; again < 2; again++) {
      t = one(h, in);
      is_outcome(t, e->outcome, e->script);
      is_int(t->code, e->code, "%s: code", e->script);
      if (e->body) is_str(t->body, e->body, "%s: body", e->script);
      if (e->detail) like(t->detail, e->detail, "%s: detail", e->script);
      is_outcome(one(h, good), PB_ANSWERED, "the next request is not touched");
    }
  }
  t = one(h, php(p, f, "warn.php"));
  is_int(t->code, 200, "a warning in the body does not hide the verdict");
  like(t->body, "Undefined variable", "the warning is in the body");
  t = host_submit(php(p, f, "ping.php"), NULL, 0);
  ok(host_wait(h, t, WAIT), "ping");
  is_str(t->topics, "a/b,msg/reply", "Consume-Topics");
  is_str(t->error_code, "42", "Error-Code");
  like(t->body, "ping ", "the form arrives");
  like(t->body,
       "-2130706433-12017 true unsigned 00-40000000000000017f0000012ef10000-4000000000000002-01 ",
       "trace and marker arrive as headers");
  like(t->body, "-01 60000", "and the timeout");
  host_sign(h, true);
  t = host_submit(php(p, f, "ping.php"), NULL, 0);
  ok(host_wait(h, t, WAIT), "ping");
  like(t->body, " true t=1,v1=host 00-", "the signature, where the topic has a key");
  host_sign(h, false);
  memset(big, 'j', 7u << 20);
  memcpy(big, "jobs=", 5);
  t = host_submit(php(p, f, "size.php"), big, 7u << 20);
  ok(host_wait(h, t, WAIT), "7 MB body");
  is_str(t->body, "7340027", "7 MB arrive");
  free(big);
  host_free(h, "php-fpm");
  fpm_stop(&m);
}

/* Keeps `window` requests of ledger.php running and notes how each ended. */
struct load {
  struct host_inst *in;
  unsigned next, total, running, ended;
  unsigned by_outcome[PB_REFUSED + 1];
  uint8_t outcome[20000];
  unsigned window;
};

static void load_submit(struct load *l) {
  char form[40];
  int n = snprintf(form, sizeof form, "type=data&id=%u", l->next);

  if (!host_submit(l->in, form, (size_t)n)) bail_out("submit refused");
  l->next++;
  l->running++;
}

static void load_ended(struct host_ticket *t, void *arg) {
  struct load *l = arg;
  /* Ticket ids count from the first one of this host, which made nothing before. */
  unsigned id = (unsigned)t->id - 1;

  l->running--;
  l->ended++;
  l->by_outcome[t->outcome]++;
  if (t->outcome == PB_ANSWERED && t->code == 200 && (unsigned)atoi(t->body) != id)
    fail("request %u got the answer of %s", id, t->body);
  if (t->outcome == PB_ANSWERED && t->code != 200) diag("%u: %s", id, t->detail);
  l->outcome[id] = (uint8_t)t->outcome;
  /* A worker that is away: the core would slow down; here the next turn tries again. */
  if (l->next < l->total) load_submit(l);
}

static bool load_is_over(void *arg) {
  const struct load *l = arg;

  return l->ended == l->total;
}

static void load_begin(struct load *l, struct host *h, struct host_inst *in, unsigned window,
                       unsigned total) {
  *l = (struct load){.in = in, .window = window, .total = total};
  host_on_complete(h, load_ended, l);
  for (unsigned i = 0; i < window; i++) load_submit(l);
}

/* Compares the notes of both sides: nothing run twice, nothing answered that did not run. When no
 * script runs any more that could write. */
static void load_compare(const struct load *l, const struct fixture *f, const char *what) {
  unsigned id, pid, runs[sizeof l->outcome] = {0}, twice = 0, never = 0, ghosts = 0;
  char path[200];
  FILE *in;

  snprintf(path, sizeof path, "%s/ledger", f->dir);
  in = fopen(path, "r");
  while (in && fscanf(in, "%u %u", &id, &pid) == 2)
    if (id < l->total) runs[id]++;
  if (in) fclose(in);
  unlink(path);
  for (unsigned i = 0; i < l->total; i++) {
    if (runs[i] > 1) twice++;
    if (l->outcome[i] == PB_ANSWERED && !runs[i]) never++;
    if ((l->outcome[i] == PB_UNREACHABLE || l->outcome[i] == PB_BUSY) && runs[i]) ghosts++;
  }
  is_int(twice, 0, "%s: no job ran twice", what);
  is_int(never, 0, "%s: what was answered ran", what);
  is_int(ghosts, 0, "%s: what never reached a worker did not run", what);
  diag("%s: %u answered, %u lost, %u unreachable, %u busy", what, l->by_outcome[PB_ANSWERED],
       l->by_outcome[PB_LOST], l->by_outcome[PB_UNREACHABLE], l->by_outcome[PB_BUSY]);
}

static void test_php_max_requests(const struct fixture *f, bool tcp) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;

  fpm_start(&m, f, tcp, 2, "pm.max_requests = 3\n");
  load_begin(&l, h, php(host_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 2,
             50);
  ok(host_until(h, load_is_over, &l, WAIT), "50 requests with pm.max_requests = 3 end");
  is_int(l.by_outcome[PB_ANSWERED], 50, "all are answered");
  fpm_stop(&m);
  load_compare(&l, f, "pm.max_requests");
  host_free(h, "pm.max_requests");
}

static void test_php_reload(const struct fixture *f, bool tcp) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;

  fpm_start(&m, f, tcp, 4, "pm.max_requests = 50\n");
  load_begin(&l, h, php(host_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 4,
             1200);
  for (int i = 0; i < 3; i++) {
    uint64_t until = host_now_ms(h) + 200;

    while (host_now_ms(h) < until && l.ended < l.total) host_turn(h, 10);
    kill(m.pid, SIGUSR2);
  }
  ok(host_until(h, load_is_over, &l, WAIT), "reload under load: everything ends");
  ok(l.by_outcome[PB_ANSWERED] > 1100, "nearly everything is answered");
  fpm_stop(&m);
  load_compare(&l, f, "reload");
  host_free(h, "reload");
}

/* With process_control_timeout set, children finish their scripts before they end: then a reload
 * costs nothing at all, kept connections included. */
static void test_php_graceful_reload(const struct fixture *f, bool tcp) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;
  int reloads = 0, ready;

  fpm_start_graceful(&m, f, tcp, 4, 20, NULL);
  load_begin(&l, h, php(host_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 4,
             20000);
  while (reloads < 12 && l.ended < l.total) {
    uint64_t until = host_now_ms(h) + WAIT;

    ready = fpm_ready_count(f);
    kill(m.pid, SIGUSR2);
    while (fpm_ready_count(f) == ready && host_now_ms(h) < until) host_turn(h, 5);
    ok(host_now_ms(h) < until, "reload %d is over", ++reloads);
    until = l.ended + 100;
    while (l.ended < until && l.ended < l.total) host_turn(h, 10);
  }
  l.total = l.next; /* enough */
  ok(host_until(h, load_is_over, &l, WAIT), "reloads under load: everything ends");
  is_int(l.by_outcome[PB_ANSWERED], l.total, "%d reloads: every request is answered", reloads);
  fpm_stop(&m);
  load_compare(&l, f, "graceful reload");
  host_free(h, "graceful reload");
}

/* The child that has written the last whole line, or 0. */
static pid_t last_child(const char *path) {
  char text[200];
  unsigned id, pid;
  FILE *in = fopen(path, "r");
  size_t len;
  char *end, *line;

  if (!in) return 0;
  if (fseek(in, -(long)sizeof text + 1, SEEK_END) < 0) rewind(in);
  len = fread(text, 1, sizeof text - 1, in);
  fclose(in);
  text[len] = 0;
  end = strrchr(text, '\n'); /* what follows is being written */
  if (!end) return 0;
  *end = 0;
  line = strrchr(text, '\n');
  return line && sscanf(line, "%u %u", &id, &pid) == 2 && pid > 1 ? (pid_t)pid : 0;
}

static void test_php_killed(const struct fixture *f, bool tcp) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  unsigned kills = 0;
  char path[200];
  struct fpm m;
  pid_t pid;

  snprintf(path, sizeof path, "%s/ledger", f->dir);
  fpm_start(&m, f, tcp, 3, NULL);
  load_begin(&l, h, php(host_pool(h, NULL, option("address", m.address), NULL), f, "ledger.php"), 3,
             800);
  while (l.ended < l.total && kills < 15) {
    uint64_t until = host_now_ms(h) + 20;

    while (host_now_ms(h) < until && l.ended < l.total) host_turn(h, 5);
    pid = last_child(path);
    if (pid && kill(pid, SIGKILL) == 0) kills++;
  }
  ok(host_until(h, load_is_over, &l, WAIT), "children killed: everything ends");
  ok(l.by_outcome[PB_LOST] <= kills, "at most one request lost for each of %u kills", kills);
  fpm_stop(&m);
  load_compare(&l, f, "children killed");
  host_free(h, "children killed");
}

/* More requests than children, and no end of them: whoever waits must get its turn, for a kept
 * connection would hold its child until there is no more work. */
static void test_contended(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;
  struct host_pool *p;
  struct host_inst *in;
  struct host_ticket *first, *running[3];
  unsigned turns = 0;

  fpm_start(&m, f, false, 1, NULL);
  p = host_pool(h, NULL, option("address", m.address), NULL);
  in = php(p, f, "nap.php");
  running[0] = host_submit(in, "a=b", 3);
  host_turn(h, 5);
  first = host_submit(in, "a=b", 3);
  for (uint64_t until = host_now_ms(h) + WAIT; !first->completions;) {
    if (host_now_ms(h) > until) break;
    if (running[0]->completions) {
      running[0] = host_submit(in, "a=b", 3);
      turns++;
    }
    host_turn(h, 10);
  }
  ok(first->completions, "a request that waits gets its turn while others go on (%u passed)",
     turns);
  ok(host_wait(h, running[0], WAIT), "the last one");
  ok(host_stats(h)->loads && host_stats(h)->load.idle == -1, "the host is told of the queue");
  host_free(h, "contended");
  fpm_stop(&m);
}

static void test_php_params(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;
  struct host_inst *in;
  struct host_ticket *t;

  fpm_start(&m, f, false, 1, NULL);
  in = php(host_pool(h, NULL, option("address", m.address), NULL), f, "params.php");
  t = host_submit(in, "a=b", 3);
  ok(host_wait(h, t, WAIT), "a request");
  is_str(t->body, "00-40000000000000017f0000012ef10000-4000000000000002-01 ?",
         "its trace context, and no signature without a key");
  host_sign(h, true);
  t = host_submit(in, "a=b", 3);
  ok(host_wait(h, t, WAIT), "a signed request");
  is_str(t->body, "00-40000000000000017f0000012ef10000-4000000000000002-01 t=1,v1=host",
         "its trace context and signature");
  host_free(h, "parameters");
  fpm_stop(&m);
}

struct told {
  const struct host_stats *stats;
  int workers;
};

static bool is_told(void *arg) {
  const struct told *t = arg;

  /* Of a page that was read when all rested, that is not true yet. */
  return t->stats->load.workers == t->workers && t->stats->load.idle < t->workers;
}

static void test_php_status(const struct fixture *f) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  const struct host_stats *st = host_stats(h);
  struct told told = {st, 3};
  char extra[300], status[200], text[400];
  struct host_pool *p;
  struct pool *pool;
  struct fpm m;
  unsigned loads;

  snprintf(status, sizeof status, "unix:%s/status.sock", f->dir);
  snprintf(extra, sizeof extra, "pm.status_path = /st\npm.status_listen = %s/status.sock\n",
           f->dir);
  fpm_start_graceful(&m, f, false, 3, 10, extra);
  p = host_pool(h, NULL, option("address", m.address), option("status", status), "status_path=/st",
                "status_interval=100ms", NULL);
  pool = host_plugin_pool(p);
  load_begin(&l, h, php(p, f, "work.php"), 2, 20000);
  ok(host_until(h, is_told, &told, WAIT), "three children are told");
  ok(st->load.idle >= 0 && st->load.idle <= 2, "and how many are idle: %d", st->load.idle);
  is_int(st->metrics[WORKERS], 3, "as a figure too");
  ok(st->metrics[START_TIME] > 1e9, "with the start time");
  for (uint64_t until = host_now_ms(h) + WAIT; st->metrics[CPU_SECONDS] <= 0;) {
    if (host_now_ms(h) > until) break;
    host_turn(h, 20);
  }
  ok(st->metrics[CPU_SECONDS] > 0 && st->metrics[CPU_SECONDS] < 20, "CPU time of the topic: %.2f s",
     st->metrics[CPU_SECONDS]);
  ok(st->metrics[MEMORY_PEAK] >= 2 << 20, "memory of its requests: %.0f", st->metrics[MEMORY_PEAK]);
  is_int(fastcgi.pool_health(pool, text, sizeof text), PB_HEALTH_OK, "its health is fine");
  like(text, "of 3 children active", "in words");
  /* The page shows seconds: a reload within the first one could not be told. */
  for (time_t began = (time_t)st->metrics[START_TIME]; time(NULL) <= began;) host_turn(h, 20);
  kill(m.pid, SIGUSR2);
  for (uint64_t until = host_now_ms(h) + WAIT; !st->metrics[RELOADS];) {
    if (host_now_ms(h) > until) break;
    host_turn(h, 20);
  }
  is_int(st->metrics[RELOADS], 1, "a reload shows");
  l.total = l.next;
  ok(host_until(h, load_is_over, &l, WAIT), "the load ends");
  is_int(l.by_outcome[PB_ANSWERED], l.total, "and cost nothing");
  for (uint64_t until = host_now_ms(h) + WAIT; pool->conns->watch->on;) {
    if (host_now_ms(h) > until) break;
    host_turn(h, 20);
  }
  ok(!pool->conns->watch->on, "an idle pool is not watched");
  loads = st->loads;
  for (int i = 0; i < 5; i++) host_turn(h, 20);
  is_int(st->loads, loads, "nothing more is told of it");
  fpm_stop(&m);
  load_compare(&l, f, "status");
  host_free(h, "status");

  h = tap_host(&fastcgi, HOST_REAL);
  fpm_start(&m, f, false, 1, NULL);
  p = host_pool(h, NULL, option("address", m.address), option("status", m.address), NULL);
  pool = host_plugin_pool(p);
  load_begin(&l, h, php(p, f, "ledger.php"), 1, 20000);
  /* Or "no answer within 5 s", when all stand still for so long; then it is asked again. */
  for (uint64_t until = host_now_ms(h) + WAIT; host_now_ms(h) < until;) {
    const char *why = fcgi_watch_why(pool->conns->watch);

    if (why && strstr(why, "pm.status_path")) break;
    host_turn(h, 20);
  }
  is_int(fastcgi.pool_health(pool, text, sizeof text), PB_HEALTH_DEGRADED, "no page is there");
  like(text, "pm.status_path", "and what to look at");
  l.total = l.next;
  ok(host_until(h, load_is_over, &l, WAIT), "the load ends");
  fpm_stop(&m);
  load_compare(&l, f, "no status");
  is_outcome(one(h, php(p, f, "ok.php")), PB_UNREACHABLE, "stopped");
  is_int(fastcgi.pool_health(pool, text, sizeof text), PB_HEALTH_DOWN, "down");
  like(text, "not reached", "in words");
  host_free(h, "no status");
}

/* A page that cannot be read is not waited for: connections are kept all the same. */
static void test_php_no_page(const struct fixture *f) {
  static struct load l;
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  const struct host_stats *st = host_stats(h);
  char status[200];
  struct host_pool *p;
  struct fpm m;
  const struct fcgi_watch *watch;
  uint64_t asked = 0;
  double before;
  unsigned ended, again = 0, let_go = 0;

  snprintf(status, sizeof status, "unix:%s/none.sock", f->dir);
  fpm_start(&m, f, false, 2, NULL);
  p = host_pool(h, NULL, option("address", m.address), option("status", status),
                "status_interval=100ms", NULL);
  load_begin(&l, h, php(p, f, "ledger.php"), 1, 20000);
  watch = ((const struct pool *)host_plugin_pool(p))->conns->watch;
  for (uint64_t until = host_now_ms(h) + WAIT; again < 3 && host_now_ms(h) < until;) {
    host_turn(h, 20);
    again += watch->pages[0].asked_ms != asked;
    asked = watch->pages[0].asked_ms;
  }
  is_int(again, 3, "it is asked again and again");
  before = st->metrics[CONNECTIONS];
  ended = l.ended;
  for (uint64_t until = host_now_ms(h) + WAIT; l.ended < ended + 1000;) {
    if (host_now_ms(h) > until) break;
    host_turn(h, 20);
    let_go += watch->sampling;
  }
  is_int(let_go, 0, "no connection is let go for it");
  /* That a child comes back late, or that requests wait, may cost some. */
  ok(l.ended >= ended + 1000 && st->metrics[CONNECTIONS] - before < l.ended - ended,
     "%u requests on %.0f new connections", l.ended - ended, st->metrics[CONNECTIONS] - before);
  l.total = l.next;
  ok(host_until(h, load_is_over, &l, WAIT), "the load ends");
  fpm_stop(&m);
  load_compare(&l, f, "no page");
  host_free(h, "no page");
}

static bool has_begun(void *arg) {
  return access(arg, F_OK) == 0;
}

static bool one_is_busy(void *arg) {
  struct host_ticket **t = arg;

  for (int i = 0; i < 12; i++)
    if (t[i]->outcome == PB_BUSY) return true;
  return false;
}

static void test_php_slots(const struct fixture *f) {
  struct host *h = tap_host(&fastcgi, HOST_REAL);
  struct fpm m;
  struct host_pool *p;
  struct host_inst *in;
  struct host_ticket *t, *all[12];
  unsigned busy = 0, answered = 0;
  char begun[100], hold[100];

  snprintf(begun, sizeof begun, "%s/begun", f->dir);
  snprintf(hold, sizeof hold, "%s/hold", f->dir);
  fpm_start(&m, f, false, 1, "listen.backlog = 1\n");
  p = host_pool(h, NULL, option("address", m.address), NULL);
  in = php(p, f, "held.php");
  put_file(f, "hold", "");
  t = host_submit(in, "a=b", 3);
  ok(host_until(h, has_begun, begun, WAIT), "a script runs");
  host_cancel(t);
  for (int i = 0; i < 5; i++) host_turn(h, 20);
  is_int(t->completions, 0, "cancelled: the slot stays taken while the script runs");
  unlink(hold);
  ok(host_wait(h, t, WAIT), "and comes back when it ends");
  is_outcome(t, PB_TIMEOUT, "cancelled script");
  is_outcome(one(h, php(p, f, "ok.php")), PB_ANSWERED, "its child takes the next");
  put_file(f, "hold", "");
  for (int i = 0; i < 12; i++) all[i] = host_submit(in, "a=b", 3);
  ok(host_until(h, one_is_busy, all, WAIT), "full backlog: the kernel says so");
  unlink(hold);
  for (int i = 0; i < 12; i++) {
    if (!host_wait(h, all[i], WAIT)) fail("no completion");
    if (all[i]->outcome == PB_BUSY) busy++;
    if (all[i]->outcome == PB_ANSWERED) answered++;
  }
  ok(busy > 0 && busy + answered == 12, "%u are busy, the others answered", busy);
  fpm_stop(&m);
  is_outcome(one(h, in), PB_UNREACHABLE, "php-fpm stopped");
  host_free(h, "slots");
}

int main(void) {
  struct fixture f;

  if (!fpm_find()) skip_all("no php-fpm found");
  fixture_begin(&f);
  put_scripts(&f);
  for (int tcp = 0; tcp < 2; tcp++) {
    test_php(&f, tcp);
    test_php_max_requests(&f, tcp);
    test_php_reload(&f, tcp);
    test_php_graceful_reload(&f, tcp);
    test_php_killed(&f, tcp);
  }
  test_php_slots(&f);
  test_php_params(&f);
  test_php_status(&f);
  test_php_no_page(&f);
  test_contended(&f);
  fixture_end(&f);
  return done_testing();
}
