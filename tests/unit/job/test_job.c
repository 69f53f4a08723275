/* The stored form of a job: what goes in comes out, and nothing else is taken for one. */
#include "job/job.h"

#include "tap.h"

static char *stored(const struct job_head *h, const void *content, size_t n, size_t *len) {
  unsigned char head[JOB_HEAD_MAX];
  size_t k = job_encode_head(h, head);
  char *p = malloc(k + n + 1);
  memcpy(p, head, k);
  memcpy(p + k, content, n);
  *len = k + n;
  return p;
}

static struct job *round_trip(const struct job_head *h, const void *content, size_t n) {
  char field[JOB_FIELD_MAX];
  size_t len;
  job_field((struct gateway){0x7f000001, 12017}, field);
  char *blob = stored(h, content, n, &len);
  struct job *job = job_decode(field, strlen(field), blob, len);
  if (!job) free(blob);
  return job;
}

static void test_round_trip(void) {
  static const struct job_head heads[] = {
      {.id = 1000, .trace = 1000},
      {.id = 1000, .trace = 874},
      {.id = 1000, .trace = 873},
      {.id = 1000, .trace = 1001},
      {.id = UINT64_MAX, .trace = 1, .expires_ms = 5, .own_retry = true, .retry_ms = 0},
      {.id = 7, .trace = 7, .own_retry = true, .retry_ms = UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
    const struct job_head *h = &heads[i];
    struct job *job = round_trip(h, "a\0b", 3);
    ok(job != NULL, "form %zu is read", i);
    if (!job) continue;
    ok(job->id == h->id && job->trace == h->trace, "%zu: id and trace", i);
    ok(job->expires_ms == h->expires_ms && job->own_retry == h->own_retry &&
           (!h->own_retry || job->retry_ms == h->retry_ms),
       "%zu: extension", i);
    is_mem(job->content, job->content_len, "a\0b", 3, "%zu: content", i);
    ok(job->gateway.ipv4 == 0x7f000001 && job->gateway.port == 12017, "%zu: gateway", i);
    job_free(job);
  }
  struct job *job = round_trip(&heads[0], "", 0);
  ok(job && job->content_len == 0, "an empty job is a job");
  job_free(job);
}

static void test_size(void) {
  unsigned char head[JOB_HEAD_MAX];
  struct job_head h = {.id = 9, .trace = 9};
  is_int(job_encode_head(&h, head), 9, "a plain head has 9 bytes");
  h = (struct job_head){.id = 1, .trace = 5, .expires_ms = 1, .own_retry = true, .retry_ms = 1};
  ok(job_encode_head(&h, head) <= JOB_HEAD_MAX, "the largest head fits");
}

static void test_refused(void) {
  static const char *const fields[] = {
      "", "1", "2:1:1", "1:1:1:1", "1:x:1", "data", "1:00000000000000000000000001:1"};
  struct job_head h = {.id = 1, .trace = 5, .expires_ms = 7};
  size_t len;
  char *blob = stored(&h, "xyz", 3, &len);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    ok(!job_decode(fields[i], strlen(fields[i]), blob, len), "field \"%s\" is refused", fields[i]);
  bool refused = true;
  for (size_t n = 0; n < len - 3; n++) {
    char *cut = malloc(n + 1);
    memcpy(cut, blob, n);
    struct job *job = job_decode("1:1:1", 5, cut, n);
    refused &= !job;
    if (!job) free(cut);
    job_free(job);
  }
  ok(refused, "a form cut anywhere in its head is refused");
  free(blob);
}

static void test_list(void) {
  struct job a = {.content_len = 1}, b = {.content_len = 20}, c = {.content_len = 300};
  struct job_list l = {0};
  ok(!job_list_pop(&l), "a new list is empty");
  job_list_push(&l, &a);
  job_list_push(&l, &b);
  job_list_push_front(&l, &c);
  is_int(l.n, 3, "three jobs");
  is_int(l.bytes, 321, "of so many bytes");
  ok(job_list_pop(&l) == &c && job_list_pop(&l) == &a && job_list_pop(&l) == &b, "in order");
  ok(!job_list_pop(&l) && l.n == 0 && l.bytes == 0, "empty again");
  job_list_push_front(&l, &a);
  job_list_push(&l, &b);
  ok(job_list_pop(&l) == &a && job_list_pop(&l) == &b, "front first, then back");
}

int main(void) {
  test_round_trip();
  test_size();
  test_refused();
  test_list();
  return done_testing();
}
