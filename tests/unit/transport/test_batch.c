/* What a worker gets to see: the jobs' JSON and the form around it. */
#include "transport/batch.h"
#include "config/settings.h"

#include "tap.h"

#include <ctype.h>
#include <jansson.h>

#define NOW_MS UINT64_C(1700000000123)

static const struct topic_settings topic = {.name = "reply", .path = "msg/reply", .attempts = 3};

static struct job job_of(const char *content, size_t len) {
  return (struct job){.id = UINT64_C(9223372036854775809),
                      .trace = 77,
                      .gateway = {0x7f000001, 12017},
                      .content = content,
                      .content_len = len};
}

static struct pb_batch *data_batch(const struct topic_settings *t, struct job *jobs, size_t n) {
  struct pb_batch *b = batch_new(n);
  if (!b) bail_out("no memory");
  b->type = PB_BATCH_DATA;
  b->topic = t;
  b->now_unix_ms = NOW_MS;
  snprintf(b->trace, sizeof b->trace, "5-2130706433-12017");
  for (size_t i = 0; i < n; i++) batch_push(b, &jobs[i]);
  return b;
}

/* As a worker's form parser does it, straight from the standard; NULL: not a form. */
static char *form_decode(const char *text, size_t len, size_t *ret_len) {
  char *out = malloc(len + 1), *p = out;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '+') {
      *p++ = ' ';
    } else if (c == '%') {
      char hex[3] = {0};
      if (len - i < 3 || !isxdigit((unsigned char)text[i + 1]) ||
          !isxdigit((unsigned char)text[i + 2])) {
        free(out);
        return NULL;
      }
      memcpy(hex, text + i + 1, 2);
      *p++ = (char)strtoul(hex, NULL, 16);
      i += 2;
    } else if (isalnum(c) || c == '-' || c == '_' || c == '.') {
      *p++ = (char)c;
    } else { /* nothing else may stand there unescaped */
      free(out);
      return NULL;
    }
  }
  *p = 0;
  *ret_len = (size_t)(p - out);
  return out;
}

/* The decoded value of one field, or NULL. */
static char *form_field(const char *form, size_t len, const char *name, size_t *ret_len) {
  size_t n = strlen(name);
  const char *p = form, *end = form + len;
  while (p < end) {
    const char *stop = memchr(p, '&', (size_t)(end - p));
    if (!stop) stop = end;
    if ((size_t)(stop - p) > n && !memcmp(p, name, n) && p[n] == '=')
      return form_decode(p + n + 1, (size_t)(stop - p) - n - 1, ret_len);
    p = stop < end ? stop + 1 : end;
  }
  return NULL;
}

static void test_members(void) {
  struct job job = job_of("hi", 2);
  struct buf out = {0};
  batch_job_json(&out, &job, true, NOW_MS);
  is_str(buf_text(&out),
         "{\"id\":\"9223372036854775809\",\"inTraceId\":\"77-2130706433-12017\",\"content\":\"hi\","
         "\"retrying\":0,\"RetryTimes\":1,\"RetryTime\":1700000000,\"IsRetry\":true,"
         "\"BeginRetry\":false,\"RetryResidueTime\":0}",
         "members of a first attempt, in the order that workers know");
  out.len = 0;
  job.failed = 2;
  job.expires_ms = NOW_MS + 90500;
  batch_job_json(&out, &job, false, NOW_MS);
  is_str(buf_text(&out),
         "{\"id\":\"9223372036854775809\",\"inTraceId\":\"77-2130706433-12017\",\"content\":\"hi\","
         "\"retrying\":2,\"RetryTimes\":3,\"RetryTime\":1700000000,\"IsRetry\":false,"
         "\"BeginRetry\":true,\"RetryResidueTime\":90}",
         "members of a third attempt with a time to live");
  out.len = 0;
  job.expires_ms = NOW_MS - 1;
  batch_job_json(&out, &job, false, NOW_MS);
  like(buf_text(&out), "\"RetryResidueTime\":0}", "what has expired has no time left, not less");
  out.len = 0;
  job.failed = UINT32_MAX;
  batch_job_json(&out, &job, false, NOW_MS);
  like(buf_text(&out), "\"RetryTimes\":4294967296,", "attempts do not wrap around");
  buf_free(&out);
}

/* The content survives: JSON, and JSON in the form, read by others' parsers, are the same bytes. */
static void content_case(const char *name, const char *content, size_t len, bool text) {
  struct job job = job_of(content, len);
  struct pb_batch *b = data_batch(&topic, &job, 1);
  size_t json_len, form_len, jobs_len = 0;
  const char *json = batch_json(b, &json_len), *form = batch_form(b, &form_len);
  char *jobs = form_field(form, form_len, "jobs", &jobs_len);
  ok(jobs != NULL, "%s: the form can be decoded", name);
  is_mem(jobs, jobs_len, json, json_len, "%s: the form's jobs are the JSON", name);

  json_error_t at;
  json_t *list = json_loadb(json, json_len, JSON_ALLOW_NUL, &at);
  if (!list) diag("%s at %d", at.text, at.position);
  const json_t *first = json_array_get(list, 0), *got = json_object_get(first, "content");
  const char *encoding = json_string_value(json_object_get(first, "encoding"));
  ok(json_is_string(got), "%s: the JSON is sound", name);
  if (text) {
    is_mem(json_string_value(got), json_string_length(got), content, len, "%s: byte for byte",
           name);
    is_str(encoding, NULL, "%s: no encoding is named", name);
  } else {
    is_str(encoding, "base64", "%s: the encoding is named", name);
    ok(!memmem(json, json_len, "\xef\xbf\xbd", 3), "%s: nothing is replaced", name);
  }
  json_decref(list);
  free(jobs);
  batch_free(b);
}

static void test_contents(void) {
  char all[128];
  for (int i = 0; i < 128; i++) all[i] = (char)i;
  content_case("nothing", "", 0, true);
  content_case("all of ASCII", all, sizeof all, true);
  content_case("JSON in JSON", "{\"a\":\"b\\\"c\\\\\"}", 14, true);
  content_case("a form in the form", "a=b&c=d+e%20f", 13, true);
  content_case("two, three and four bytes", "\xc3\xa4\xe4\xb8\xad\xf0\x9f\x9a\x8c", 9, true);
  content_case("the last code point", "\xf4\x8f\xbf\xbf", 4, true);
  content_case("line separators", "\xe2\x80\xa8\xe2\x80\xa9", 6, true);
  content_case("Latin-1",
               "gr\xfc\xdf"
               "e",
               6, false);
  content_case("GBK", "\xc4\xe3\xba\xc3", 4, false);
  content_case("overlong", "\xc0\xaf", 2, false);
  content_case("a surrogate", "\xed\xa0\x80", 3, false);
  content_case("past the last code point", "\xf4\x90\x80\x80", 4, false);
  content_case("a cut sequence", "ab\xe4\xb8", 4, false);
  content_case("a fault after a word of ASCII", "0123456789abcde\xff", 16, false);
}

static void test_escapes(void) {
  struct job job = job_of("\"\\/\b\f\n\r\t\0\x1f\x7f", 11);
  struct buf out = {0};
  batch_job_json(&out, &job, false, NOW_MS);
  like(buf_text(&out), "\"content\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\",",
       "short escapes where JSON has them");
  buf_free(&out);
}

static void test_base64(void) {
  static const struct {
    const char *content, *want;
    size_t len;
  } cases[] = {{"\xff", "/w==", 1},
               {"\xff\xfe", "//4=", 2},
               {"\xff\xfe\xfd", "//79", 3},
               {"\xff\0\0\xfb", "/wAA+w==", 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct job job = job_of(cases[i].content, cases[i].len);
    struct buf out = {0};
    char want[64];
    batch_job_json(&out, &job, false, NOW_MS);
    snprintf(want, sizeof want, "\"content\":\"%s\",", cases[i].want);
    like(buf_text(&out), want, "%zu bytes that are no text, in base64", cases[i].len);
    like(buf_text(&out), "\"RetryResidueTime\":0,\"encoding\":\"base64\"}",
         "%zu bytes: the encoding stands last", cases[i].len);
    buf_free(&out);
  }
}

static int base64_value(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *p = c ? strchr(digits, c) : NULL;
  return p ? (int)(p - digits) : -1;
}

/* Contents longer than the pieces in which they are written, around the pieces' borders. */
static void test_large(void) {
  static const size_t sizes[] = {3071, 3072, 3073, 4095, 4096, 4097, 12289, 3u << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t len = sizes[i];
    char *content = malloc(len);
    for (size_t k = 0; k < len; k++) content[k] = "a\"\\\n\x01 &+"[k * 7 % 8];
    content_case("large text", content, len, true);

    for (size_t k = 0; k < len; k++) content[k] = (char)(k * 131 + (k >> 8));
    content[0] = (char)0xff;
    content_case("large bytes", content, len, false);
    struct job job = job_of(content, len);
    struct buf out = {0};
    batch_job_json(&out, &job, false, NOW_MS);
    const char *text = buf_text(&out), *p = strstr(text, "\"content\":\"");
    bool same = p != NULL;
    size_t n = 0;
    unsigned bits = 0, have = 0;
    for (p = p ? p + 11 : ""; base64_value(*p) >= 0 && same; p++) {
      bits = bits << 6 | (unsigned)base64_value(*p);
      have += 6;
      if (have < 8) continue;
      have -= 8;
      same = n < len && (char)(bits >> have) == content[n];
      n++;
    }
    ok(same && n == len, "%zu bytes in base64 are whole", len);
    buf_free(&out);
    free(content);
  }
}

static void test_chunk(void) {
  struct job jobs[3] = {job_of("a", 1), job_of("\xff", 1), job_of("c", 1)};
  for (unsigned i = 0; i < 3; i++) jobs[i].id = 11 + i;
  struct pb_batch *b = data_batch(&topic, jobs, 3);
  size_t len;
  const char *json = batch_json(b, &len);
  json_t *list = json_loadb(json, len, 0, NULL);
  is_int(json_array_size(list), 3, "three jobs");
  for (unsigned i = 0; i < 3; i++) {
    char id[24];
    const json_t *job = json_array_get(list, i);
    snprintf(id, sizeof id, "%u", 11 + i);
    is_str(json_string_value(json_object_get(job, "id")), id, "job %u in its place", i);
    is_str(b->ids[i], id, "its id as text");
    is_int(json_object_get(job, "encoding") != NULL, i == 1, "encoding only where it is needed");
    ok(json_is_true(json_object_get(job, "IsRetry")), "three attempts: it retries by itself");
  }
  json_decref(list);
  size_t again;
  ok(batch_json(b, &again) == json && again == len, "built once");
  batch_free(b);

  struct topic_settings once = topic;
  once.attempts = 1;
  b = data_batch(&once, jobs, 1);
  json = batch_json(b, &len);
  ok(memmem(json, len, "\"IsRetry\":false,", 16), "one attempt: it does not retry by itself");
  batch_free(b);
}

static void test_form(void) {
  struct job job = job_of("x", 1);
  struct topic_settings odd = {.name = "r\xc3\xa4 &=", .path = "m+s/r\xc3\xa4 &=", .attempts = 1};
  struct pb_batch *b = data_batch(&odd, &job, 1);
  size_t len, n = 0;
  const char *form = batch_form(b, &len);
  static const struct {
    const char *name, *want;
  } fields[] = {{"IS_PEPPER_BUS_REQUEST", "true"},
                {"type", "data"},
                {"outTraceId", "5-2130706433-12017"},
                {"queue", "m+s"},
                {"topic", "r\xc3\xa4 &="}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    char *value = form_field(form, len, fields[i].name, &n);
    is_str(value, fields[i].want, "field %s", fields[i].name);
    free(value);
  }
  unsigned ands = 0;
  for (size_t i = 0; i < len; i++) ands += form[i] == '&';
  is_int(ands, 5, "six fields");
  size_t again;
  ok(batch_form(b, &again) == form && again == len, "built once");
  batch_free(b);
}

static void test_ping(void) {
  struct pb_batch *b = data_batch(&topic, NULL, 0);
  size_t len;
  b->type = PB_BATCH_PING;
  const char *form = batch_form(b, &len);
  static const char want[] = "IS_PEPPER_BUS_REQUEST=true&type=ping&outTraceId=5-2130706433-12017"
                             "&queue=msg&topic=reply";
  is_mem(form, len, want, sizeof want - 1, "a ping's form");
  const char *json = batch_json(b, &len);
  is_mem(json, len, "[]", 2, "a ping's JSON has no jobs");
  batch_free(b);
}

/* A batch is used again and again: nothing of the last one is left, and a rare large one does not
 * keep its memory. */
static void test_reset(void) {
  size_t big = 2u << 20, len;
  char *content = malloc(big);
  memset(content, '"', big);
  struct job large = job_of(content, big), small = job_of("s", 1);
  small.id = 4;
  struct pb_batch *b = data_batch(&topic, &large, 1);
  batch_form(b, &len);
  batch_json(b, &len);
  batch_reset(b);
  is_int(b->n, 0, "no jobs");
  ok(b->form.cap + b->json.cap < 1u << 20, "a large batch's memory is given back");
  batch_push(b, &small);
  const char *json = batch_json(b, &len);
  is_mem(json, 10, "[{\"id\":\"4\"", 10, "the next batch's JSON");
  ok(len < 300, "and nothing else");
  batch_form(b, &len);
  ok(len < 500, "nor in the form");
  const char *kept = b->json.data;
  batch_reset(b);
  ok(b->json.data == kept, "a small batch's memory is kept");
  batch_free(b);
  batch_free(NULL);
  free(content);
}

static void test_traceparent(void) {
  struct job jobs[1] = {job_of("x", 1)};
  struct pb_batch *b = data_batch(&topic, jobs, 1), *ping = batch_new(0);
  if (!ping) bail_out("no memory");
  b->trace_id = ping->trace_id = UINT64_C(0x8000000000000005);
  is_str(batch_traceparent(b), "00-000000000000004d7f0000012ef10000-8000000000000005-01",
         "the trace is the job's intake, the span this delivery");
  ping->type = PB_BATCH_PING;
  ping->gateway = (struct gateway){0x7f000001, 12017};
  is_str(batch_traceparent(ping), "00-80000000000000057f0000012ef10000-8000000000000005-01",
         "a ping is a trace of its own");
  batch_reset(b);
  batch_push(b, &jobs[0]);
  b->trace_id = 9;
  like(batch_traceparent(b), "-0000000000000009-01", "the next delivery has the next span");
  batch_free(b);
  batch_free(ping);
}

int main(void) {
  test_members();
  test_contents();
  test_escapes();
  test_base64();
  test_large();
  test_chunk();
  test_form();
  test_ping();
  test_reset();
  test_traceparent();
  return done_testing();
}
