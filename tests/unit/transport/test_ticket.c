/* Requests with a transport: each ends once, whatever the transport says of it, and when. */
#include "unit/transport/transport_fixture.h"

static void test_complete(void) {
  begin();
  fake.mode = AT_ONCE;
  pb_ticket t = submit_rc(0, "taken, and completed within submit()");
  ok(t && t == fake.last, "the ticket is the one that the transport has");
  is_int(done.n, 0, "the completion is put off");
  turns(1);
  is_int(done.n, 1, "to the end of the turn");
  ok(!done.inside, "it never comes from within the call");
  ok(done.outcome == PB_ANSWERED && done.code == 200, "outcome and code");
  is_str(done.body, "inside", "its text was copied");
  turns(2);
  is_int(done.n, 1, "once");

  fake.mode = TAKE;
  pb_ticket second = submit_rc(0, "another is taken");
  ok(second != t && second, "its ticket is another");
  turns(2);
  is_int(done.n, 1, "nothing comes until it is completed");
  struct pb_result r = result(PB_ANSWERED, 500, "no");
  r.error_code = "E1";
  r.topics = "a/b,c/d";
  r.detail = "stderr\0more";
  r.detail_len = 11;
  fake.host->complete(fake.inst, second, &r);
  r = result(PB_ANSWERED, 200, "twice");
  fake.host->complete(fake.inst, second, &r);
  is_int(logged(STALE), 1, "completed again in one turn: the log says so");
  turns(1);
  is_int(done.n, 2, "and ignored");
  ok(done.code == 500 && !strcmp(done.body, "no"), "the first counts");
  ok(!strcmp(done.error_code, "E1") && !strcmp(done.topics, "a/b,c/d") &&
         !strcmp(done.detail, "stderr"),
     "all of its texts came");
  complete(second, PB_ANSWERED, 200, "late");
  turns(1);
  ok(done.n == 2 && logged(STALE) == 2, "completed again a turn later: logged, ignored");

  pb_ticket third = submit_rc(0, "a third is taken");
  ok(third != second, "a ticket's number is not used again at once");
  complete(second, PB_ANSWERED, 200, "stale");
  complete(t, PB_ANSWERED, 200, "stale");
  complete(0, PB_ANSWERED, 200, "none");
  complete(UINT64_MAX, PB_ANSWERED, 200, "none");
  complete(third + (UINT64_C(1) << 32), PB_ANSWERED, 200, "none");
  turns(1);
  is_int(done.n, 2, "a stale ticket ends nobody else's request");
  ok(logged(STALE) > 2, "each is logged, until the log holds back what it says so often");

  struct {
    uint32_t size, outcome;
    int32_t code;
  } old = {sizeof old, PB_BUSY, 0}; /* as a plugin of a version with fewer members has it */
  struct pb_result bytes;
  memset(&bytes, 0xff, sizeof bytes);
  memcpy(&bytes, &old, sizeof old);
  fake.host->complete(fake.inst, third, &bytes);
  turns(1);
  ok(done.n == 3 && done.outcome == PB_BUSY, "a shorter result is taken");
  ok(!*done.body && !*done.detail && !strcmp(done.topics, "(none)"),
     "members that it lacks are empty");

  third = submit_rc(0, "one more");
  r = result(PB_ANSWERED, 200, NULL);
  r.body_len = 1000;
  r.detail_len = 1000;
  fake.host->complete(fake.inst, third, &r);
  turns(1);
  ok(done.n == 4 && !done.body_len && !done.detail_len, "lengths without texts are nothing");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("completions");
}

static void test_many(void) {
  enum { N = 500 };
  static pb_ticket tickets[N];
  begin();
  for (int i = 0; i < N; i++)
    if (instance_submit(inst, batch, on_done, &done, &tickets[i], &err)) fail("submit %d", i);
  bool differ = true;
  for (int i = 1; i < N; i++) differ &= tickets[i] != tickets[i - 1];
  ok(differ, "many at a time, each its own ticket");
  for (int i = N; i-- > 0;) complete(tickets[i], PB_ANSWERED, 200, "x");
  turns(1);
  is_int(done.n, N, "all are completed, in any order");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("many");
}

static pb_ticket again;

static void submit_again(void *arg, const struct pb_result *r) {
  on_done(arg, r);
  fake.mode = AT_ONCE;
  instance_submit(inst, batch, on_done, arg, &again, &err);
}

static void test_chain(void) {
  pb_ticket t;
  begin();
  fake.mode = AT_ONCE;
  instance_submit(inst, batch, submit_again, &done, &t, &err);
  turns(1);
  is_int(done.n, 2, "a completion may submit the next one, which completes in the same turn");
  ok(again != t, "with a ticket of its own");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("a chain");
}

/* --- full, refused, cancelled --- */

static void test_full(void) {
  begin();
  fake.mode = FULL;
  submit_rc(-EAGAIN, "full");
  fake.host->ready(fake.inst);
  fake.host->ready(fake.inst);
  is_int(done.ready, 0, "ready() is put off");
  turns(1);
  is_int(done.ready, 1, "and told once a turn");
  fake.mode = NEVER;
  submit_rc(-EMSGSIZE, "cannot be carried");
  is_str(err.text, "too large for it", "it says why");
  turns(1);
  is_int(done.n, 0, "what was not taken is not completed");
  complete(fake.last, PB_ANSWERED, 200, "x");
  turns(1);
  ok(done.n == 0 && logged(STALE) == 1, "its ticket is stale: a completion is logged, ignored");

  fake.mode = BOTH;
  submit_rc(0, "completed and refused in one: the completion counts");
  turns(1);
  ok(done.n == 1 && done.code == 200, "and comes once");

  fake.host->ready(fake.inst);
  fake.drain_at_once = true;
  instance_close(inst, 1000);
  turns(2);
  is_int(done.ready, 1, "who closes is not told that there is room");
  fake.host->ready(fake.plugin);
  fake.host->drained(fake.plugin);
  turns(1);
  pass("ready() and drained() for a plugin's owner do nothing");
  end("full");
}

/* A text that cannot be kept spoils its own request, not the next one with that ticket's memory. */
static void test_no_memory(void) {
  begin();
  struct pb_result r = result(PB_ANSWERED, 200, "x");
  r.body_len = SIZE_MAX;
  fake.host->complete(fake.inst, submit_rc(0, "taken"), &r);
  turns(1);
  ok(done.n == 1 && done.outcome == PB_GARBLED, "an answer that does not fit into memory");
  complete(submit_rc(0, "taken"), PB_ANSWERED, 200, "fits");
  turns(1);
  ok(done.n == 2 && done.outcome == PB_ANSWERED, "the next one does");
  is_str(done.body, "fits", "with its text");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("no memory");
}

static void test_cancel(void) {
  begin();
  pb_ticket t = submit_rc(0, "taken");
  instance_cancel(inst, t);
  ok(fake.cancels == 1 && fake.cancelled == t, "the transport is asked to cancel");
  turns(1);
  is_int(done.n, 0, "the request ends when the transport says so");
  complete(t, PB_TIMEOUT, 0, NULL);
  instance_cancel(inst, t);
  is_int(fake.cancels, 1, "what is completed is not cancelled");
  turns(1);
  ok(done.n == 1 && done.outcome == PB_TIMEOUT, "the completion comes");
  instance_cancel(inst, t);
  instance_cancel(inst, 0);
  instance_cancel(inst, 12345);
  is_int(fake.cancels, 1, "nor is a stale ticket");
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("cancel");
}

/* Two descriptors are ready in one turn; each callback completes a request. */
static unsigned done_before[2], io_n;
static pb_ticket io_ticket[2];
static void on_answer(int fd, unsigned events, void *arg) {
  char byte;
  (void)events;
  (void)arg;
  if (read(fd, &byte, 1) != 1) bail_out("read");
  done_before[io_n] = done.n;
  complete(io_ticket[io_n++], PB_ANSWERED, 200, "read");
  if (done.n != done_before[io_n - 1]) fail("a completion acted within the plugin's callback");
}

static void test_answers(void) {
  int fds[2][2];
  begin();
  fake.mode = TAKE;
  io_n = 0;
  for (int i = 0; i < 2; i++) {
    if (pipe(fds[i]) || write(fds[i][1], "x", 1) != 1) bail_out("pipe");
    io_ticket[i] = submit_rc(0, "a request is taken");
    fake.host->io_set(fake.inst, fds[i][0], PB_IO_READ, on_answer, NULL);
  }
  turns(1);
  is_int(done.n, 2, "two are answered in one turn");
  ok(io_n == 2 && done_before[0] == 0 && done_before[1] == 1,
     "the first is acted on before the second is read: its worker waits");
  for (int i = 0; i < 2; i++) {
    fake.host->io_del(fake.inst, fds[i][0]);
    close(fds[i][0]);
    close(fds[i][1]);
  }
  instance_close(inst, 0);
  turn_until(&fake.destroyed, 1);
  end("answers");
}

int main(void) {
  world_begin();
  test_complete();
  test_many();
  test_chain();
  test_full();
  test_no_memory();
  test_cancel();
  test_answers();
  return world_end();
}
