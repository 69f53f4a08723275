/* What a worker's answer means, polluted, cut and wrong ones included. */
#include "dispatch/request_answer.h"

#include "tap.h"

#include <time.h>

#define PATH "msg/reply"

static struct pb_result answer(int code, const char *body) {
  return (struct pb_result){.size = sizeof(struct pb_result),
                            .outcome = PB_ANSWERED,
                            .code = code,
                            .body = body,
                            .body_len = body ? strlen(body) : 0};
}

static void ping_case(const char *name, int want, int code, const char *topics, const char *body) {
  struct pb_result r = answer(code, body);
  char message[512] = "";
  r.topics = topics;
  is_int(request_answer_ping(&r, PATH, message, sizeof message), want, "ping: %s", name);
  ok(*message != 0, "ping: %s: in words", name);
}

static void test_ping(void) {
  ping_case("the header names it", 200, 200, "msg/reply", "");
  ping_case("amid others", 200, 200, "a/b, msg/reply ,c/d", "");
  ping_case("the body names it", 200, 200, NULL, "msg/reply");
  ping_case("the body's JSON list names it", 200, 200, "", "[\"a/b\",\"msg/reply\"]");
  ping_case("notices before the list", 200, 200, NULL,
            "<br />\n<b>Notice</b>: Undefined index in /w.php on line 3<br />\na/b,msg/reply");
  ping_case("notices behind the list", 200, 200, NULL, "msg/reply<br />\nWarning: x");
  ping_case("only a longer name", 404, 200, "msg/reply2,xmsg/reply", "msg/reply/x");
  ping_case("only a part of the name", 404, 200, "msg,reply,msg/", "/reply");
  ping_case("nothing", 404, 200, NULL, NULL);
  ping_case("empty lists", 404, 200, "", "");
  ping_case("code 404", 404, 404, "msg/reply", "no");
  ping_case("code 500, named all the same", 500, 500, "msg/reply", "msg/reply");
  ping_case("no verdict", 500, 0, NULL, NULL);
  ping_case("no verdict, but a page", 500, 0, NULL, "<html>");

  struct pb_result r = answer(200, "");
  char message[512];
  r.topics = "a/b";
  request_answer_ping(&r, PATH, message, sizeof message);
  is_str(message, "the worker does not register msg/reply; it registers: a/b",
         "says what is there");
  r = answer(500, "no database");
  request_answer_ping(&r, PATH, message, sizeof message);
  is_str(message, "the worker answered code 500: no database", "says what the worker said");

  char *large = malloc(100000), small[9];
  memset(large, 'x', 99999);
  large[99999] = 0;
  r = answer(404, large);
  r.topics = large;
  memset(small, 'y', sizeof small);
  request_answer_ping(&r, PATH, small, 8);
  ok(strlen(small) == 7 && small[8] == 'y', "the message is cut where the room ends");
  r = answer(200, "msg/reply\0rest");
  r.body_len = 14;
  is_int(request_answer_ping(&r, PATH, message, sizeof message), 404,
         "a NUL does not end a name in the body");
  free(large);
}

static void test_reason(void) {
  struct pb_result r = answer(500, "body");
  size_t len;
  r.detail = "stderr";
  r.detail_len = 6;
  is_str(request_answer_reason(&r, &len), "body", "the worker's own words first");
  r.code = 0;
  is_str(request_answer_reason(&r, &len), "stderr", "without a verdict what is on its stderr");
  is_int(len, 6, "and its length");
  r.detail_len = 0;
  is_str(request_answer_reason(&r, &len), "body", "without that the page it sent");
  r = (struct pb_result){.outcome = PB_LOST};
  is_str(request_answer_reason(&r, &len), "", "nothing at all is no NULL");
  is_int(len, 0, "and empty");
}

#define JOBS 3
static const char ids[JOBS][21] = {"18446744073709551615", "9223372036854775809", "7"};

/* `want`: the codes of the three jobs. */
static void jobs_case(const char *name, const struct pb_result *r, const int want[JOBS],
                      const char *last_message) {
  struct request_verdict v[JOBS] = {{0}};
  request_answer_jobs(r, ids, JOBS, v);
  for (int i = 0; i < JOBS; i++) is_int(v[i].code, want[i], "%s: job %d", name, i);
  if (last_message)
    is_mem(v[JOBS - 1].message, v[JOBS - 1].message_len, last_message, strlen(last_message),
           "%s: message", name);
  for (int i = 0; i < JOBS; i++) free(v[i].message);
}

static void each_case(const char *name, const char *body, int a, int b, int c,
                      const char *last_message) {
  struct pb_result r = answer(207, body);
  jobs_case(name, &r, (const int[JOBS]){a, b, c}, last_message);
}

static void test_jobs(void) {
  struct pb_result r = answer(200, "fine");
  jobs_case("200", &r, (const int[JOBS]){200, 200, 200}, "");
  r = answer(500, "no");
  jobs_case("500", &r, (const int[JOBS]){500, 500, 500}, "no");
  r = answer(0, "<b>Fatal error</b>");
  jobs_case("no verdict", &r, (const int[JOBS]){0, 0, 0}, "<b>Fatal error</b>");
  r = answer(0, NULL);
  jobs_case("no verdict and no body", &r, (const int[JOBS]){0, 0, 0}, "");
  r = (struct pb_result){.outcome = PB_LOST, .code = 0, .detail = "gone", .detail_len = 4};
  jobs_case("lost", &r, (const int[JOBS]){0, 0, 0}, "gone");
  r.code = 200;
  jobs_case("lost, though 200 came", &r, (const int[JOBS]){500, 500, 500}, "gone");
}

/* What a list says of each job. */
static void test_each(void) {
  each_case("in order",
            "[{\"id\":\"18446744073709551615\",\"code\":200},"
            "{\"id\":\"9223372036854775809\",\"code\":500,\"msg\":\"x\"},"
            "{\"id\":\"7\",\"code\":404,\"msg\":\"y\"}]",
            200, 500, 404, "y");
  each_case("backwards, with strangers",
            "[{\"id\":\"7\",\"code\":200,\"msg\":\"ok\"},5,null,[],{},{\"id\":\"9\",\"code\":200},"
            "{\"id\":\"9223372036854775809\",\"code\":200},"
            "{\"id\":\"18446744073709551615\",\"code\":200}]",
            200, 200, 200, "ok");
  each_case("one is not named",
            "[{\"id\":\"18446744073709551615\",\"code\":200},{\"id\":\"9223372036854775809\","
            "\"code\":200}]",
            200, 200, 500, "the worker's 207 list does not name this job");
  each_case("a number for an id", "[{\"id\":7,\"code\":200}]", 500, 500, 200, NULL);
  each_case("a negative number is no id", "[{\"id\":-1,\"code\":200}]", 500, 500, 500, NULL);
  each_case("other types of ids", "[{\"id\":7.0,\"code\":200},{\"id\":true,\"code\":200}]", 500,
            500, 500, NULL);
  each_case("no code", "[{\"id\":\"7\"}]", 500, 500, 500,
            "the worker's 207 list gives this job no code");
  each_case("a code that is text", "[{\"id\":\"7\",\"code\":\"200\"}]", 500, 500, 500,
            "the worker's 207 list gives this job no code");
  each_case("a code that would wrap around to 200", "[{\"id\":\"7\",\"code\":4294967496}]", 500,
            500, 500, "the worker's 207 list gives this job no code");
  each_case("a message that is no text", "[{\"id\":\"7\",\"code\":500,\"msg\":{\"a\":1}}]", 500,
            500, 500, "");
  each_case("named twice: the first counts",
            "[{\"id\":\"7\",\"code\":500},{\"id\":\"7\",\"code\":200}]", 500, 500, 500, NULL);
  each_case("an empty list", "[]", 500, 500, 500, "the worker's 207 list does not name this job");
}

/* Workers print other text around their list. */
static void test_each_amid_text(void) {
  each_case("notices behind the list", "[{\"id\":\"7\",\"code\":200}]<br />\n<b>Notice</b>: x", 500,
            500, 200, NULL);
  each_case("notices before the list",
            "<br />\n<b>Warning</b>: Array [0] in /w.php on line 3 {\"a\":1}<br />\n"
            "[{\"id\":\"7\",\"code\":200}]",
            500, 500, 200, NULL);
  each_case("a log line, and a beginning that is none",
            "[23-Nov-2026 10:00:00] PHP Notice: [{x}] [{] [\n[ {\"id\":\"7\",\"code\":200}]", 500,
            500, 200, NULL);
  each_case("another value before the list", "{\"debug\":[1]}\n[{\"id\":\"7\",\"code\":200}]", 500,
            500, 200, NULL);
  each_case("an echo of the jobs before the list",
            "[{\"id\":\"7\",\"content\":\"x\"}][{\"id\":\"7\",\"code\":200}]", 500, 500, 200, NULL);
  each_case("and behind it", "[{\"id\":\"7\",\"code\":200}] [] [{\"id\":\"7\",\"content\":\"x\"}]",
            500, 500, 200, NULL);
  each_case("of two lists the last", "[{\"id\":\"7\",\"code\":200}][{\"id\":\"7\",\"code\":500}]",
            500, 500, 500, NULL);
  each_case("a list within another value", "{\"jobs\":[{\"id\":\"7\",\"code\":200}]}", 500, 500,
            500,
            "the worker answered 207 but its body is not a JSON list of outcomes (it is another "
            "value)");
  each_case("a list within one that is cut off",
            "[{\"id\":\"8\",\"msg\":[{\"id\":\"7\",\"code\":200}]},{\"id\"", 500, 500, 500, NULL);
  each_case("only other text", "done", 500, 500, 500,
            "the worker answered 207 but its body is not a JSON list of outcomes (there is none in "
            "it)");
}

/* Ids have 64 bits, which JSON's numbers may not hold. */
static void test_each_numbers(void) {
  each_case("bare ids of 64 bits",
            "[{\"id\":18446744073709551615,\"code\":200},"
            "{\"id\":9223372036854775809,\"code\":404},{\"id\":\"7\",\"code\":200}]",
            200, 404, 200, NULL);
  each_case("are compared digit for digit",
            "[{\"id\":18446744073709551614,\"code\":200},{\"id\":9223372036854775808,\"code\":200},"
            "{\"id\":7,\"code\":200}]",
            500, 500, 200, NULL);
  each_case("a number that nothing holds spoils only its job",
            "noise [{\"id\":99999999999999999999999,\"code\":200},"
            "{\"id\":-9223372036854775809,\"code\":200},"
            "{\"id\":\"9223372036854775809\",\"code\":1e999},"
            "{\"id\":\"18446744073709551615\",\"code\":200,"
            "\"msg\":\"\\\\\\\"18446744073709551616\"},{\"id\":\"7\",\"code\":500,\"msg\":\"a "
            "18446744073709551616\"}]",
            200, 500, 500, "a 18446744073709551616");
}

static void test_each_is_no_list(void) {
  each_case("no body", NULL, 500, 500, 500, NULL);
  each_case("an object", "{\"id\":\"7\",\"code\":200}", 500, 500, 500,
            "the worker answered 207 but its body is not a JSON list of outcomes (it is another "
            "value)");
  each_case("cut off", "[{\"id\":\"7\",\"code\":200},{\"id\"", 500, 500, 500, NULL);
  each_case("no JSON", "fine, all of them", 500, 500, 500, NULL);
}

/* PHP's var_export() of an object has NULs: one job's words must not be the others' end. The body
 * ends where its length says. */
static void test_each_bytes(void) {
  static const char nul[] = "[{\"id\":\"18446744073709551615\",\"code\":200},"
                            "{\"id\":\"9223372036854775809\",\"code\":500,\"msg\":\"a\\u0000b\"},"
                            "{\"id\":\"7\\u0000x\",\"code\":200}]";
  struct pb_result r = answer(207, nul);
  struct request_verdict v[JOBS] = {{0}};
  request_answer_jobs(&r, ids, JOBS, v);
  is_int(v[0].code, 200, "NUL in a message: the other jobs keep their outcome");
  is_int(v[1].code, 500, "the job itself too");
  is_mem(v[1].message, v[1].message_len, "a\0b", 3, "and its message is whole");
  is_int(v[2].code, 500, "an id that goes on behind a NUL is another id");
  for (int i = 0; i < JOBS; i++) {
    free(v[i].message);
    v[i] = (struct request_verdict){0};
  }

  /* The body ends where its length says, not at a NUL behind it. */
  char *exact = malloc(25);
  memcpy(exact, "[{\"id\":\"7\",\"code\":200}]  ", 25);
  r = answer(207, NULL);
  r.body = exact;
  r.body_len = 23;
  jobs_case("no NUL behind the body", &r, (const int[JOBS]){500, 500, 200}, NULL);
  free(exact);

  /* Only an answer can have been a success. */
  r = (struct pb_result){.outcome = PB_LOST, .code = 207, .body = nul, .body_len = strlen(nul)};
  request_answer_jobs(&r, ids, JOBS, v);
  bool none = true;
  for (int i = 0; i < JOBS; i++) none &= v[i].code != 200;
  ok(none, "a list that came with a broken connection is not believed");
  for (int i = 0; i < JOBS; i++) free(v[i].message);
}

static void own_code(const char *code, const char *body, int verdict, const char *want) {
  struct pb_result r = answer(verdict, body);
  struct request_verdict v = {0};
  r.error_code = code;
  request_answer_jobs(&r, ids, 1, &v);
  is_mem(v.message ? v.message : "", v.message_len, want, strlen(want), "Error-Code: %s",
         code ? code : "(none)");
  free(v.message);
}

static void test_error_code(void) {
  own_code("E42", "disk full", 500, "disk full (error code E42)");
  own_code("-7", "", 500, "(error code -7)");
  own_code("0", "disk full", 500, "disk full");
  own_code("1", "disk full", 500, "disk full");
  own_code("", "disk full", 500, "disk full");
  own_code(NULL, "disk full", 500, "disk full");
  own_code("0123456789012345678901234567890123456789x", "no", 422,
           "no (error code 0123456789012345678901234567890123456789)");
  own_code("E42", "fine", 200, "");
  char body[3001], want[3001];
  memset(body, 'x', 3000);
  body[3000] = 0;
  /* @case V1: of a long message the beginning, the end and the code are kept */
  memcpy(body + 3000 - 15, "ValueError: 042", 15);
  snprintf(want, sizeof want, "%.757s [...] %s (error code E42)", body, body + 3000 - 1136);
  own_code("E42", body, 500, want);
  memcpy(body + 756, "\xc3\xa4", 2); /* not cut within a character */
  snprintf(want, sizeof want, "%.756s [...] %s (error code E42)", body, body + 3000 - 1136);
  own_code("E42", body, 500, want);
  own_code("0", body, 500, body);
}

static void test_many(void) {
  enum { N = 1000 };
  static char many[N][21];
  char *body = malloc(N * 64), *p = body;
  struct request_verdict *v = calloc(N, sizeof *v);
  *p++ = '[';
  for (int i = 0; i < N; i++) {
    snprintf(many[i], sizeof many[i], "%d", 1000 + i);
    p += sprintf(p, "%s{\"id\":\"%d\",\"code\":%d}", i ? "," : "", 1000 + (i * 7) % N,
                 (i * 7) % N % 2 ? 200 : 500);
  }
  strcpy(p, "]");
  struct pb_result r = answer(207, body);
  request_answer_jobs(&r, many, N, v);
  bool right = true;
  for (int i = 0; i < N; i++) right &= v[i].code == (i % 2 ? 200 : 500);
  ok(right, "a thousand jobs in another order, each its own");
  for (int i = 0; i < N; i++) free(v[i].message);
  free(v);
  free(body);
}

/* What looks like the beginning of a list again and again does not take quadratic time: this would
 * be minutes. */
static void test_vain(void) {
  enum { LEN = 2 << 20 };
  static const char *const pieces[] = {"[{",
                                       "[ {\"id\":\"7\",\"a\":", "[{\"a\":\"bcdefghijklmnop\"}",
                                       "[{}\n", "[{\"a\":99999999999999999999}x"};
  char *body = malloc(LEN + 64);
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    size_t len = 0, step = strlen(pieces[i]);
    for (; len < LEN; len += step) memcpy(body + len, pieces[i], step);
    body[len] = 0;
    clock_t before = clock();
    each_case("beginnings without end", body, 500, 500, 500, NULL);
    double took = (double)(clock() - before) / CLOCKS_PER_SEC;
    ok(took < 5, "2 MB of %s: %.3f s", pieces[i], took);
  }
  free(body);
}

int main(void) {
  test_vain();
  test_ping();
  test_reason();
  test_jobs();
  test_each();
  test_each_amid_text();
  test_each_numbers();
  test_each_is_no_list();
  test_each_bytes();
  test_error_code();
  test_many();
  return done_testing();
}
