/* The HTTP transport's way over several addresses: which one gets a request, and which is passed
 * over, for how long.
 */
#include "http_fixture.h"

/* Is at an address for a while. The name of where it went, "" : nowhere. */
static const char *goes(struct http_visit *v, struct http_addrs *l, bool any) {
  const struct http_addr *a = http_visit_go(v, l, any);

  return a ? a->name : "";
}

/* Goes to one that is to have this name. */
static void goes_to(struct http_visit *v, struct http_addrs *l, const char *name) {
  *v = (struct http_visit){0};
  is_str(goes(v, l, true), name, "goes to %s", name);
}

/* The parts of test_addrs(), in their order: three addresses a, b and c, all of them well at first.
 */

/* Fewest running, in turn among equals. */
static void fewest_running_is_next(struct http_addrs *l, struct http_visit v[8]) {
  char health[512];

  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  http_visit_leave(&v[1]);
  goes_to(&v[1], l, "b:2");
  goes_to(&v[3], l, "c:3");
  goes_to(&v[4], l, "a:1");
  goes_to(&v[5], l, "b:2");
  http_visit_leave(&v[1]);
  http_visit_leave(&v[5]);
  for (int i = 0; i < 2; i++) goes_to(&v[1 + 4 * i], l, "b:2");
  is_str(goes(&v[1], l, false), "c:3", "one that goes on: not where it was");
  is_str(goes(&v[1], l, false), "a:1", "nor where it was before");
  is_str(goes(&v[1], l, false), "", "and nowhere when it has been everywhere");
  for (size_t i = 0; i < l->n; i++) l->list[i].running = 0; /* all leave */
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 0, "all are well");
}

/* Not reached: for a second, then one finds out. */
static void unreached_rests_for_a_second(struct host *h, struct http_addrs *l,
                                         struct http_visit v[8]) {
  char health[512];

  l->next = 0;
  goes_to(&v[0], l, "a:1");
  http_visit_unreachable(&v[0], l, "refused");
  like(host_last_log(h), "cannot reach a:1: refused; trying it in 1 s, using the other addresses",
       "says so");
  http_visit_leave(&v[0]);
  for (int i = 0; i < 4; i++) goes_to(&v[i], l, i % 2 ? "c:3" : "b:2");
  host_skip(h, 1000);
  goes_to(&v[4], l, "a:1");
  ok(v[4].probe, "the probe");
  goes_to(&v[5], l, "b:2");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 1, "one is not well");
  like(health,
       "1 of 3 addresses are passed over: a:1 cannot be reached for 1 s (refused), tried now;"
       " using the other addresses",
       "which, why, and what is done");
  http_visit_unanswered(&v[4], l, "reset"); /* but there was a connection */
  like(host_last_log(h), "a:1 is reachable again", "is back");
  for (size_t i = 0; i < l->n; i++) l->list[i].running = l->list[i].probes = 0;
}

/* Busy: as long as it says, and no longer. */
static void busy_are_passed_over(struct host *h, struct http_addrs *l, struct http_visit v[8]) {
  struct http_visit w;
  char health[512];

  l->next = 0;
  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  goes_to(&v[3], l, "a:1");
  goes_to(&v[4], l, "b:2");
  http_visit_busy(&v[0], l, 60000, "status 503");
  like(host_last_log(h), "a:1 is busy: status 503; trying it in 60 s, using the other", "says so");
  http_visit_busy(&v[3], l, 7000, "status 503");
  http_visit_busy(&v[1], l, 0, "status 503");
  http_visit_answered(&v[4], l);
  is_int((intmax_t)http_addrs_wait_ms(l), 0, "one takes requests");
  http_visit_busy(&v[2], l, 7000, "status 503");
  like(host_last_log(h),
       "c:3 is busy: status 503; trying it in 7 s, none of the others is well either",
       "the last one");
  is_int((intmax_t)http_addrs_wait_ms(l), 0, "one did not say: the topic's own pace");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 3, "none is well");
  for (size_t i = 0; i < 5; i++) http_visit_leave(&v[i]);
  w = (struct http_visit){0};
  is_str(goes(&w, l, false), "", "none is to be had");
  is_str(goes(&w, l, true), "c:3", "but for one that has to go somewhere");
  http_visit_leave(&w);
}

static void busy_come_back_when_they_said(struct host *h, struct http_addrs *l,
                                          struct http_visit v[8]) {
  char health[512];

  host_skip(h, 1000);
  for (int i = 0; i < 3; i++) goes_to(&v[i], l, "b:2"); /* not one at a time: it was never silent */
  for (int i = 0; i < 3; i++) http_visit_leave(&v[i]);
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 2, "its time is over");
  host_skip(h, 6000);
  http_visit_answered(&v[0], l);
  like(host_last_log(h), "b:2 takes requests again", "and it answers");
  goes_to(&v[0], l, "c:3");
  http_visit_answered(&v[0], l);
  http_visit_leave(&v[0]);
  host_skip(h, 52999);
  for (int i = 0; i < 4; i++) goes_to(&v[i], l, i % 2 ? "c:3" : "b:2");
  host_skip(h, 1);
  goes_to(&v[4], l, "a:1"); /* the longest of its wishes holds */
  http_visit_answered(&v[4], l);
  for (size_t i = 0; i < 5; i++) http_visit_leave(&v[i]);
}

/* Silent three times in a row. */
static void silent_thrice_is_mute(struct host *h, struct http_addrs *l, struct http_visit v[8]) {
  for (int i = 0; i < 3; i++) {
    l->next = 0;
    goes_to(&v[0], l, "a:1");
    if (i < 2)
      http_visit_unanswered(&v[0], l, "closed");
    else
      http_visit_answered(&v[0], l); /* all over again */
    http_visit_leave(&v[0]);
  }
  for (int i = 0; i < 3; i++) {
    is_int(l->list[0].state, HTTP_ADDR_WELL, "%d requests without an answer in a row", i);
    l->next = 0;
    goes_to(&v[i], l, "a:1");
    http_visit_unanswered(&v[i], l, "closed");
    if (i < 2) http_visit_leave(&v[i]);
  }
  like(host_last_log(h),
       "a:1 does not answer: 3 requests in a row, the last: closed; trying it in 1"
       " s, using the other addresses",
       "says so");
}

static void mute_is_tried_by_one_at_a_time(struct host *h, struct http_addrs *l,
                                           struct http_visit v[8]) {
  static const unsigned pauses_s[] = {2, 4, 8, 16, 30, 30};
  struct http_visit w;
  char health[512];

  host_skip(h, 999);
  goes_to(&v[3], l, "b:2");
  host_skip(h, 1);
  for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
    goes_to(&v[4], l, "a:1");
    ok(v[4].probe, "the probe");
    host_skip(h, 100000);
    w = (struct http_visit){0};
    ok(http_visit_go(&w, l, false) != &l->list[0], "alone, however long it takes");
    http_visit_leave(&w);
    http_visit_unanswered(&v[2], l, "one that was there before"); /* says nothing new */
    http_visit_unanswered(&v[4], l, "closed");
    http_visit_leave(&v[4]);
    is_int((intmax_t)(l->list[0].until_ms - host_now_ms(h)), (intmax_t)pauses_s[i] * 1000,
           "the pause after probe %zu", i + 1);
    host_skip(h, pauses_s[i] * 1000 - 1);
    w = (struct http_visit){0};
    ok(http_visit_go(&w, l, false) != &l->list[0], "passed over");
    http_visit_leave(&w);
    host_skip(h, 1);
  }
  goes_to(&v[4], l, "a:1");
  http_visit_connected(&v[4], l);
  http_visit_leave(&v[4]);
  is_int(l->list[0].state, HTTP_ADDR_MUTE, "that it takes connections is no answer");
  http_visit_answered(&v[2], l); /* late */
  like(host_last_log(h), "a:1 answers again", "a late answer is one");
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 0, "all are well");
}

/* None answers: requests go on. */
static void when_all_are_mute_all_are_used(struct http_addrs *l, struct http_visit v[8]) {
  struct http_visit w;
  char health[512];

  for (size_t i = 0; i < l->n; i++) l->list[i].running = l->list[i].probes = 0;
  for (int i = 0; i < 9; i++) {
    w = (struct http_visit){0};
    http_visit_go(&w, l, true);
    http_visit_unanswered(&w, l, "closed");
    http_visit_leave(&w);
  }
  is_int((intmax_t)http_addrs_health(l, health, sizeof health), 3, "none answers");
  like(health, "3 of 3 addresses are passed over: a:1 does not answer for 0 s (", "says so");
  like(health,
       ", c:3 does not answer for 0 s (3 requests in a row, the last: closed), tried in 1 s; "
       "none of the others",
       "of each of them");
  l->next = 0;
  goes_to(&v[0], l, "a:1");
  goes_to(&v[1], l, "b:2");
  goes_to(&v[2], l, "c:3");
  goes_to(&v[3], l, "a:1");
}

static void test_addrs(void) {
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p = host_pool(h, NULL, "address=a:1,b:2,c:3", "connect_timeout=3s", NULL);
  struct http_addrs *l = &inside(p)->addrs;
  struct http_visit v[8];

  fewest_running_is_next(l, v);
  unreached_rests_for_a_second(h, l, v);
  busy_are_passed_over(h, l, v);
  busy_come_back_when_they_said(h, l, v);
  silent_thrice_is_mute(h, l, v);
  mute_is_tried_by_one_at_a_time(h, l, v);
  when_all_are_mute_all_are_used(l, v);
  host_free(h, "addresses");
}

/* Two servers of which each does what it is told. */
struct pair {
  unsigned *shared[2];
  pid_t pid[2];
  char addr[2][64];
};

static void pair_begin(struct pair *d) {
  for (int i = 0; i < 2; i++) {
    int port = 0, fd = server_listen("0", 64, &port);

    if (fd < 0) bail_out("listen: %s", strerror(errno));
    snprintf(d->addr[i], sizeof d->addr[i], "127.0.0.1:%d", port);
    d->shared[i] = server_memory();
    d->pid[i] = fork();
    if (d->pid[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      server_serve(fd, d->shared[i]);
    }
    close(fd);
  }
}

static void pair_end(struct pair *d) {
  for (int i = 0; i < 2; i++) {
    kill(d->pid[i], SIGKILL);
    waitpid(d->pid[i], NULL, 0);
  }
}

static void tell(const struct pair *d, int which, const char *how) {
  unsigned at = 0;

  while (strcmp(server_told[at], how) != 0) at++;
  __atomic_store_n(d->shared[which] + SERVER_TOLD, at, __ATOMIC_SEQ_CST);
}

/* Requests that came to it since the last call. */
static unsigned came(const struct pair *d, int which) {
  return __atomic_exchange_n(d->shared[which] + SERVER_SERVED, 0, __ATOMIC_SEQ_CST);
}

/* Waits for so many since then: they are on their way. */
static void until_came(struct host *h, const struct pair *d, int which, unsigned n) {
  if (!host_until(h, has_reached, &(struct reach){d->shared[which] + SERVER_SERVED, n}, WAIT))
    fail("%u requests do not come", n);
}

/* Of eight requests: how many are not completed. */
static unsigned count_late(struct host_ticket *const t[8]) {
  unsigned late = 0;

  for (int i = 0; i < 8; i++) late += !t[i]->completions;
  return late;
}

static bool four_are_late(void *arg) {
  return count_late(arg) <= 4;
}

static void nobody_is_there(struct host_pool *p) {
  const struct http_addrs *l = &inside(p)->addrs;

  for (size_t i = 0; i < l->n; i++)
    ok(!l->list[i].running && !l->list[i].probes, "%s: no request is there", l->list[i].name);
}

/* `n` jobs, one after the other. Returns how many of them were done. */
static unsigned jobs(struct host *h, struct host_inst *in, unsigned n) {
  unsigned done = 0;

  for (unsigned i = 0; i < n; i++) {
    struct host_ticket *t = one(h, in);

    done += t->outcome == PB_ANSWERED && t->code == 200;
  }
  return done;
}

static struct host_pool *pool_of(struct host *h, const struct pair *d) {
  char both[140];

  snprintf(both, sizeof both, "%s,%s", d->addr[0], d->addr[1]);
  return host_pool(h, NULL, option("address", both), NULL);
}

/* One of them says 503. */
static void one_of_two_is_busy(struct host *h, struct host_pool *p, struct host_inst *in,
                               struct pair *d) {
  struct host_ticket *t[8];
  char health[512];
  unsigned wrong = 0, a;

  tell(d, 0, "503");
  for (int i = 0; i < 8; i++) t[i] = host_submit(in, "a", 1);
  for (int i = 0; i < 8; i++) {
    host_wait(h, t[i], WAIT);
    wrong += t[i]->outcome != PB_ANSWERED || t[i]->code != 200;
  }
  is_int(wrong, 0, "503 of one of two: the other one does the jobs");
  is_int(jobs(h, in, 20), 20, "and those that follow");
  a = came(d, 0); /* fewer when its first answer came before all were sent */
  ok(a >= 1 && a <= 4, "the busy one had its half of the first, and no more (%u)", a);
  is_int(came(d, 1), 28, "each job was done once");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, " is busy for 0 s (status 503), tried in 1 s; using the other addresses",
       "says why");
  like(health, d->addr[0], "names it");
  host_skip(h, 1000);
  is_int(jobs(h, in, 10), 10, "tried again after a second, still busy");
  is_int(came(d, 0), 1, "by one request");
  host_skip(h, 1000);
  tell(d, 0, "ok");
  came(d, 1);
  is_int(jobs(h, in, 10), 10, "not busy any more");
  is_int(came(d, 0), 5, "gets its half again");
  is_int(came(d, 1), 5, "and the other one its own");
  like(host_last_log(h), "takes requests again", "the log says so");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_OK, "ok");
}

/* Both of them. */
static void both_are_busy(struct host *h, struct host_pool *p, struct host_inst *in,
                          struct pair *d) {
  struct host_ticket *t[1];
  char health[512];
  unsigned a, b;

  tell(d, 0, "503-late");
  tell(d, 1, "503-7");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "both say 503");
  is_int((intmax_t)t[0]->retry_after_ms, 7000, "the soonest Retry-After");
  like(t[0]->detail, "no other address takes the request, the first may in 7 s", "says so");
  a = came(d, 0);
  b = came(d, 1);
  ok(a == 1 && b == 1, "both were asked, once");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "and the next job");
  is_int(came(d, 0) + came(d, 1), 1, "asks one of them alone");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  host_skip(h, 7000);
  tell(d, 1, "ok");
  is_int(jobs(h, in, 10), 10, "one is back");
  is_int(came(d, 1), 10, "and does them all");
  host_skip(h, 292999);
  is_int(jobs(h, in, 4), 4, "for as long as max_retry_after grants the other one");
  is_int(came(d, 0), 0, "it is left alone");
  host_skip(h, 1);
  is_int(jobs(h, in, 4), 4, "then");
  is_int(came(d, 0), 1, "it is tried");
}

/* Without Retry-After the topic keeps its own pace, or it would rest for seconds whenever it
 * finds out how much the workers bear. */
static void busy_without_a_wish(struct host *h, struct host_inst *in, struct pair *d) {
  struct host_ticket *t[1];

  host_skip(h, 300000);
  tell(d, 0, "503");
  tell(d, 1, "503");
  t[0] = one(h, in);
  is_outcome(t[0], PB_BUSY, "both say 503 and no more");
  is_int((intmax_t)t[0]->retry_after_ms, 0, "no Retry-After of theirs");
  like(t[0]->detail, "status 503; no other address takes the request", "says so");
}

/* What is no matter of the address. */
static void busy_service_is_no_busy_address(struct host *h, struct host_pool *p,
                                            struct host_inst *in, struct pair *d) {
  struct host_ticket *t[1];

  host_skip(h, 300000);
  tell(d, 1, "ok");
  tell(d, 0, "ok");
  is_int(jobs(h, in, 4), 4, "both are fine");
  came(d, 0), came(d, 1);
  t[0] = one(h, topic(p, "unix:", "429"));
  is_outcome(t[0], PB_BUSY, "429");
  is_int((intmax_t)t[0]->retry_after_ms, 7000, "with its Retry-After");
  is_int(came(d, 0) + came(d, 1), 1, "is the service's: the other one is not asked");
  is_str(one(h, topic(p, "unix:", "503-code"))->body, "done all the same", "503 with a verdict");
  is_int(came(d, 0) + came(d, 1), 1, "is one");
  t[0] = one(h, topic_with(p, "unix:", "503-code", "body=content", NULL));
  is_outcome(t[0], PB_BUSY, "503 of a webhook");
  is_int(came(d, 0) + came(d, 1), 2, "both were asked");
}

static void test_busy_address(void) {
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p;
  struct host_inst *in;
  struct pair d;

  pair_begin(&d);
  p = pool_of(h, &d);
  in = topic(p, "unix:", "told");
  is_int(jobs(h, in, 10), 10, "both are fine");
  is_int(came(&d, 0), 5, "half of the jobs here");
  is_int(came(&d, 1), 5, "half of them there");
  one_of_two_is_busy(h, p, in, &d);
  both_are_busy(h, p, in, &d);
  busy_without_a_wish(h, in, &d);
  busy_service_is_no_busy_address(h, p, in, &d);
  nobody_is_there(p);
  host_free(h, "busy address");
  pair_end(&d);
}

/* One of them hangs, with eight slots. */
static void one_of_two_hangs(struct host *h, struct host_pool *p, struct host_inst *in,
                             struct pair *d, struct host_ticket *t[8]) {
  char health[512];
  unsigned done = 0, stuck = 0, n = 0;

  tell(d, 0, "wait");
  for (int i = 0; i < 8; i++) t[i] = host_submit(in, "a", 1);
  while (done < 200 && n++ < 4000) {
    host_turn(h, 20);
    for (int i = 0; i < 8; i++)
      if (t[i]->completions) {
        done += t[i]->outcome == PB_ANSWERED;
        t[i] = host_submit(in, "a", 1);
      }
  }
  ok(done >= 200, "one of two hangs: the other one goes on");
  until_came(h, d, 0, 4);
  is_int(came(d, 0), 4, "the one that hangs has half of the slots, and no more");
  host_until(h, four_are_late, t, WAIT);
  for (int i = 0; i < 8; i++)
    if (!t[i]->completions) {
      t[stuck++] = t[i];
      host_cancel(t[i]);
      if (stuck < 3) is_int(inside(p)->addrs.list[0].state, HTTP_ADDR_WELL, "deadline %u", stuck);
    }
  is_int(stuck, 4, "its four requests are at their deadline");
  like(host_last_log(h),
       "does not answer: 3 requests in a row, the last: no answer by the deadline",
       "the log says so");
  like(host_last_log(h), d->addr[0], "and names it");
  is_int(jobs(h, in, 20), 20, "now all slots go to the other one");
  is_int(came(d, 0), 0, "and none to this one");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DEGRADED,
         "degraded");
  like(health, " does not answer for 0 s (3 requests in a row, the last: no answer by", "says so");
}

/* After a second, one request tries it; nothing follows while that one hangs. */
static void one_request_tries_it(struct host *h, struct host_inst *in, struct pair *d,
                                 struct host_ticket *t[8]) {
  struct host_ticket *probe;

  host_skip(h, 1000);
  for (int i = 4; i < 8; i++) t[i] = host_submit(in, "a", 1);
  for (int i = 5; i < 8; i++) host_wait(h, t[i], WAIT);
  probe = t[4];
  until_came(h, d, 0, 1);
  is_int(came(d, 0), 1, "a second later one request tries it");
  is_int(probe->completions, 0, "and hangs");
  host_cancel(probe);
  host_skip(h, 5000);
  is_int(jobs(h, in, 10), 10, "as long as it is there");
  is_int(came(d, 0), 0, "there is no second one");
  like(host_last_log(h), "does not answer", "and nothing more in the log");
  host_skip(h, 60000);
  for (int i = 0; i < 4; i++) ok(host_wait(h, t[i], 1000), "hung up after hangup_after");
  ok(host_wait(h, probe, 1000), "and so is the probe");
  is_outcome(probe, PB_TIMEOUT, "the probe");
}

/* The next one is answered late. */
static void late_answer_is_one(struct host *h, struct host_pool *p, struct host_inst *in,
                               struct pair *d) {
  struct host_ticket *probe;
  char health[512];

  probe = host_submit(in, "a", 1);
  until_came(h, d, 0, 1);
  is_int(came(d, 0), 1, "tried once more");
  host_cancel(probe);
  for (int i = 0; i < 4; i++) host_turn(h, 10);
  is_int(probe->completions, 0, "past its deadline");
  tell(d, 0, "ok");
  ok(host_wait(h, probe, WAIT), "answered late");
  like(probe->detail, "answered after the deadline", "says so");
  like(host_last_log(h), "answers again", "a late answer is an answer");
  came(d, 1);
  is_int(jobs(h, in, 10), 10, "both are well");
  is_int(came(d, 0), 5, "it has its half again");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_OK, "ok");
}

/* One breaks its connections. */
static void one_breaks_connections(struct host *h, struct host_inst *in, struct pair *d) {
  tell(d, 0, "closes");
  came(d, 1);
  is_int(jobs(h, in, 30), 27, "three jobs are lost to one that closes connections");
  is_int(came(d, 0), 3, "then it is passed over");
  host_skip(h, 1000);
  is_int(jobs(h, in, 10), 9, "after a second it is tried again");
  host_skip(h, 1999);
  is_int(jobs(h, in, 10), 10, "then left alone for longer");
  host_skip(h, 1);
  tell(d, 0, "ok");
  is_int(jobs(h, in, 10), 10, "and back with the first answer");
  is_int(came(d, 0), 1 + 5, "with its half of the jobs");
}

/* Both do: nobody else is left, so jobs go on by turns. */
static void both_break_connections(struct host *h, struct host_pool *p, struct host_inst *in,
                                   struct pair *d) {
  char health[512];

  tell(d, 0, "closes");
  tell(d, 1, "closes");
  came(d, 0), came(d, 1);
  is_int(jobs(h, in, 20), 0, "both break connections");
  is_int(came(d, 0), 10, "by turns");
  is_int(came(d, 1), 10, "all the same");
  is_int(http.pool_health(host_plugin_pool(p), health, sizeof health), PB_HEALTH_DOWN, "down");
  tell(d, 1, "ok");
  jobs(h, in, 2);
  is_int(jobs(h, in, 10), 10, "one is back");
}

/* A topic that is destroyed takes its requests along. */
static void destroyed_topic_leaves(struct host *h, struct host_inst *in, struct pair *d,
                                   struct host_ticket *t[8]) {
  tell(d, 0, "wait");
  tell(d, 1, "wait");
  for (int i = 0; i < 4; i++) t[i] = host_submit(in, "a", 1);
  until_came(h, d, 0, 1);
  host_cancel(t[0]);
  host_drain(in);
  host_destroy(in);
}

static void test_mute_address(void) {
  struct host *h = tap_host(&http, HOST_VIRTUAL);
  struct host_pool *p;
  struct host_inst *in;
  struct host_ticket *t[8];
  struct pair d;

  pair_begin(&d);
  p = pool_of(h, &d);
  in = topic(p, "unix:", "told");
  one_of_two_hangs(h, p, in, &d, t);
  one_request_tries_it(h, in, &d, t);
  late_answer_is_one(h, p, in, &d);
  one_breaks_connections(h, in, &d);
  both_break_connections(h, p, in, &d);
  destroyed_topic_leaves(h, in, &d, t);
  nobody_is_there(p);
  host_free(h, "mute address");
  pair_end(&d);
}

int main(void) {
  test_addrs();
  for (int way = 0; way < 2; way++) {
    by_libcurl = way;
    diag("requests by %s", by_libcurl ? "libcurl" : "http_conn");
    test_busy_address();
    test_mute_address();
  }
  return done_testing();
}
