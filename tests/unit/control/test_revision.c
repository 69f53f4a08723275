/* core/control/revision.c: what was written comes back, and nothing in it can be changed. */
#include "tap.h"
#include "control/revision.h"

#include <errno.h>

static struct seal seal_of(unsigned char fill) {
  struct seal s;
  unsigned char key[SEAL_KEY_LEN];
  memset(key, fill, sizeof key);
  if (seal_init(&s, key)) bail_out("no seal");
  return s;
}

static const struct revision sample = {.number = 42,
                                       .at_ms = 1790000000000,
                                       .restored = 7,
                                       .base_hash = "abcd",
                                       .cluster = "prod",
                                       .by = "lin",
                                       .from = "10.0.0.7",
                                       .comment = "小改动 \"x\"",
                                       .text = "[queue q]\npassword = sha256:a:b\n"};

static void test_round(void) {
  struct seal s = seal_of(1), other = seal_of(2);
  struct revision r;
  struct pb_err err = {.text = ""};
  size_t len = 0;
  char *text = revision_write(&sample, &s, &len);
  ok(text, "written");
  is_int(revision_read(text, len, &r, &err), 0, "read");
  is_int(r.number, 42, "number");
  is_int(r.at_ms, 1790000000000, "time");
  is_int(r.restored, 7, "restored");
  is_str(r.base_hash, "abcd", "base");
  is_str(r.by, "lin", "author");
  is_str(r.from, "10.0.0.7", "from where");
  is_str(r.comment, sample.comment, "comment");
  is_str(r.text, sample.text, "sections");
  is_int(revision_verify(&r, &s, "prod"), 0, "verified");
  is_int(revision_verify(&r, &s, "test"), -EXDEV, "not for another cluster");
  is_int(revision_verify(&r, &other, "prod"), -EBADMSG, "not with another key");
  revision_done(&r);
  revision_done(&r);
  free(text);
}

/* Whatever is changed, the mark tells. */
static void test_forged(void) {
  struct seal s = seal_of(1);
  struct pb_err err = {.text = ""};
  size_t len = 0;
  char *text = revision_write(&sample, &s, &len);
  static const char *const members[] = {"number", "at_ms", "restored", "base_hash", "cluster",
                                        "by",     "from",  "comment",  "text",      "hmac"};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    struct revision r;
    json_t *o = json_loadb(text, len, 0, NULL), *v = json_object_get(o, members[i]);
    if (json_is_integer(v))
      json_integer_set(v, json_integer_value(v) + 1);
    else
      json_string_set(v, "other");
    char *forged = json_dumps(o, JSON_COMPACT);
    is_int(revision_read(forged, strlen(forged), &r, &err), 0, "%s changed: can be read",
           members[i]);
    is_int(revision_verify(&r, &s, r.cluster), -EBADMSG, "and is not believed");
    revision_done(&r);
    json_object_del(o, members[i]);
    free(forged);
    forged = json_dumps(o, JSON_COMPACT);
    is_int(revision_read(forged, strlen(forged), &r, &err), -EINVAL, "nor is it one without");
    free(forged);
    json_decref(o);
  }
  free(text);
}

static void test_refused(void) {
  struct seal s = seal_of(1);
  struct revision r = sample, got;
  struct pb_err err = {.text = ""};
  size_t len = 0;
  static const char *const bad[] = {
      "", "{}", "[]", "null", "\"number\"", "{\"number\":1}", "{\"number\":-1}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    is_int(revision_read(bad[i], strlen(bad[i]), &got, &err), -EINVAL, "no revision: %s", bad[i]);
  like(err.text, "not a revision", "and why");
  char *words = malloc(REVISION_WORDS_MAX + 2);
  memset(words, 'x', REVISION_WORDS_MAX + 1);
  words[REVISION_WORDS_MAX + 1] = 0;
  r.comment = words;
  ok(!revision_write(&r, &s, &len), "a comment that is too long is not written");
  r.comment = "\xff";
  ok(!revision_write(&r, &s, &len), "nor one that is not UTF-8");
  r = sample;
  char *text = revision_write(&r, &s, &len);
  char *twice = malloc(len + 32);
  snprintf(twice, len + 32, "{\"by\":\"eve\",%s", text + 1);
  is_int(revision_read(twice, strlen(twice), &got, &err), -EINVAL, "one member twice is refused");
  free(twice);
  free(text);
  free(words);
}

int main(void) {
  test_round();
  test_forged();
  test_refused();
  return done_testing();
}
