/* Whatever a worker answers: ping lists, 207 lists, texts.
 *
 * Byte 0 of the input is the outcome, byte 1 chooses the code, byte 2 says how many of the bytes
 * that follow are the header `Consume-Topics`; the rest is the body, given without a NUL behind it.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_request_answer.c -ljansson
 *   cc -DFUZZ_STANDALONE ...; fuzz_request_answer tests/fuzz/corpus/request_answer    runs the
 * corpus
 */
#include "dispatch/request_answer.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JOBS 4

static void check_ping(const struct pb_result *r) {
  char message[600], small[16];
  memset(small, 0x55, sizeof small);
  int code = request_answer_ping(r, "msg/reply", message, sizeof message);
  if (code != WORKER_OK && code != WORKER_UNREGISTERED && code != WORKER_FAILED) __builtin_trap();
  if (code == WORKER_OK && r->code != WORKER_OK) __builtin_trap();
  if (strlen(message) >= sizeof message) __builtin_trap();
  if (request_answer_ping(r, "msg/reply", small, 8) != code) __builtin_trap();
  if (strlen(small) >= 8 || small[8] != 0x55) __builtin_trap();
}

static void check_jobs(const struct pb_result *r) {
  static const char ids[JOBS][21] = {"18446744073709551615", "9223372036854775809", "7", "8"};
  struct request_verdict v[JOBS] = {{0}};
  request_answer_jobs(r, ids, JOBS, v);
  for (int i = 0; i < JOBS; i++) {
    if (!v[i].message != !v[i].message_len) __builtin_trap();
    if (v[i].code == WORKER_OK && r->outcome != PB_ANSWERED) __builtin_trap();
    if (v[i].code == WORKER_OK && r->code != WORKER_OK && r->code != WORKER_EACH) __builtin_trap();
    /* A success in a list names its job. */
    if (v[i].code == WORKER_OK && r->code == WORKER_EACH && r->body_len < strlen(ids[i]))
      __builtin_trap();
    if (v[i].message_len) { /* all of it can be read */
      volatile char last = v[i].message[v[i].message_len - 1];
      (void)last;
    }
    free(v[i].message);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const int codes[] = {0, 200, 207, 404, 500, -1};
  if (size < 3) return 0;
  size_t topics_len = data[2], left = size - 3;
  if (topics_len > left) topics_len = left;
  char *topics = malloc(topics_len + 1), *body = malloc(left - topics_len + !(left - topics_len));
  if (!topics || !body) abort();
  memcpy(topics, data + 3, topics_len);
  topics[topics_len] = 0;
  memcpy(body, data + 3 + topics_len, left - topics_len);

  struct pb_result r = {.size = sizeof r,
                        .outcome = data[0] % (PB_REFUSED + 1),
                        .code = codes[data[1] % (sizeof codes / sizeof *codes)],
                        .topics = topics_len ? topics : NULL,
                        .body = body,
                        .body_len = left - topics_len};
  check_ping(&r);
  check_jobs(&r);
  /* The same bytes as what the transport said. */
  r.detail = r.body;
  r.detail_len = r.body_len;
  r.body = NULL;
  r.body_len = 0;
  check_ping(&r);
  check_jobs(&r);
  free(topics);
  free(body);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
