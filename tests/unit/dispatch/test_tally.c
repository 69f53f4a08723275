/* What the log says of failed jobs: the first at once, then numbers every ten seconds. */
#include "unit/fake_loop.h"

#include "dispatch/tally.h"

#include "tap.h"

static FILE *said;
static struct log *logger;
static struct loop *loop;
static struct tally *tally;
static long read_to;

static void begin(void) {
  if (!(said = tmpfile())) bail_out("tmpfile: %m");
  logger = log_new(fileno(said));
  loop = loop_new(logger);
  tally = NULL;
  read_to = 0;
}

static void end(void) {
  is_int(loop->n_timers, 0, "no timer is left");
  loop_free(loop);
  log_free(logger);
  fclose(said);
}

static void failed(enum tally_kind kind, uint64_t id, int code, const char *why) {
  tally_add(&tally, loop, "q/t", kind, id, code, why, why ? strlen(why) : 0);
}

/* The one line that the log has more than before; "": none. */
static void says(const char *want, const char *name) {
  char line[1000] = "", more[1000];
  fseek(said, read_to, SEEK_SET);
  if (!fgets(line, sizeof line, said)) line[0] = 0;
  if (fgets(more, sizeof more, said)) fail("two lines: %s", more);
  fseek(said, 0, SEEK_END);
  read_to = ftell(said);
  if (*want)
    like(line, want, "%s", name);
  else
    is_str(line, "", "%s", name);
}

static void test_lines(void) {
  begin();
  failed(TALLY_RETRIED, 7, 500, "boom");
  says("q/t: 1 attempt failed, 1 to be tried again; the latest, job 7 (code 500): boom",
       "the first failed job is logged at once");
  failed(TALLY_RETRIED, 8, 500, "boom");
  failed(TALLY_RETRIED, 9, 0, "lost");
  failed(TALLY_DEAD, 10, 404, "not\nmine");
  loop_advance(loop, 9999);
  says("", "those that follow within ten seconds wait");
  loop_advance(loop, 1);
  says("3 attempts failed, 2 to be tried again, 1 job dead; the latest, job 10 (code 404): not",
       "then one line has their numbers and the latest reason");
  failed(TALLY_EXPIRED, 11, 0, "its TTL is over");
  failed(TALLY_EXPIRED, 12, 0, "its TTL is over");
  loop_advance(loop, 10000);
  says("0 attempts failed, 2 jobs dead; the latest, job 12 (code 0): its TTL is over",
       "a job that expired had no attempt; numbers begin anew");
  loop_advance(loop, 60000);
  says("", "while nothing fails nothing is said");
  failed(TALLY_DEAD, 13, 500, NULL);
  says("1 attempt failed, 1 job dead; the latest, job 13 (code 500): ",
       "after that the next one is logged at once again");
  tally_free(tally);
  says("", "what was said is not said again at the end");
  end();
}

static void test_end(void) {
  begin();
  tally_free(NULL);
  failed(TALLY_RETRIED, 7, 500, "boom");
  says("job 7", "one line");
  failed(TALLY_RETRIED, 8, 500, "boom");
  tally_free(tally);
  says("1 attempt failed, 1 to be tried again; the latest, job 8", "the end says the rest");
  end();
}

int main(void) {
  test_lines();
  test_end();
  return done_testing();
}
