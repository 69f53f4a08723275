/* core/base/seal.c and base64.c: published vectors, and what must not open. */
#include "tap.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/seal.h"

#include <errno.h>

static size_t unhex(const char *hex, unsigned char *ret) {
  size_t n = strlen(hex) / 2;
  for (size_t i = 0; i < n; i++) sscanf(hex + 2 * i, "%2hhx", &ret[i]);
  return n;
}

/* RFC 5869, appendix A. */
static void test_hkdf(void) {
  static const struct {
    const char *key, *salt, *info, *okm;
  } cases[] = {
      {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
       "f0f1f2f3f4f5f6f7f8f9",
       "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
      {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2"
       "d"
       "2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
       "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8"
       "d"
       "8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
       "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcd"
       "d"
       "dedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
       "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e5"
       "9"
       "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
      {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
       "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    unsigned char key[128], salt[128], info[128], want[128], got[128];
    size_t key_len = unhex(cases[i].key, key), salt_len = unhex(cases[i].salt, salt);
    size_t info_len = unhex(cases[i].info, info), len = unhex(cases[i].okm, want);
    is_int(seal_hkdf(key, key_len, salt, salt_len, info, info_len, got, len), 0, "case %zu", i + 1);
    is_mem(got, len, want, len, "its key");
  }
}

/* RFC 4648, chapter 10. */
static void test_base64(void) {
  static const char *const cases[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct buf to = {0}, from = {0};
    base64_add(&to, cases[i][0], strlen(cases[i][0]));
    is_str(buf_text(&to), cases[i][1], "\"%s\"", cases[i][0]);
    ok(base64_decode(&from, cases[i][1], strlen(cases[i][1])), "and back");
    is_str(buf_text(&from), cases[i][0], "the same");
    buf_free(&to);
    buf_free(&from);
  }
  static const char *const bad[] = {"Zg",   "Zg=",  "Zg===", "=Zg=", "Zh==",     "Zm9=",
                                    "Z===", "====", "Zm 9",  "Zm9-", "Zg==Zg==", "Zm9v\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct buf b = {0};
    buf_add_text(&b, "was");
    ok(!base64_decode(&b, bad[i], strlen(bad[i])), "\"%s\" is refused", bad[i]);
    is_str(buf_text(&b), "was", "and nothing is added");
    buf_free(&b);
  }
}

static void key_of(unsigned char fill, struct seal *s) {
  unsigned char key[SEAL_KEY_LEN];
  memset(key, fill, sizeof key);
  if (seal_init(s, key)) bail_out("no seal");
}

static void test_keys(void) {
  struct seal s, again, other;
  key_of(1, &s);
  key_of(1, &again);
  key_of(2, &other);
  is_mem(&s, sizeof s, &again, sizeof again, "one key makes the same keys");
  is_int(strspn(s.id, "0123456789abcdef"), 16, "its id: 16 hex digits");
  ok(strcmp(s.id, other.id), "another key has another one");
  for (int i = 0; i < SEAL_USES; i++)
    for (int k = 0; k < i; k++)
      ok(memcmp(s.keys[i], s.keys[k], SEAL_KEY_LEN), "uses %d and %d have two keys", i, k);
  seal_done(&s);
  struct seal none = {.id = ""};
  is_mem(&s, sizeof s, &none, sizeof none, "wiped");
}

static void test_closed(void) {
  struct seal s, other;
  struct buf a = {0}, b = {0}, out = {0};
  const struct seal_part about[] = {SEAL_TEXT("prod"), SEAL_TEXT("storage"), SEAL_TEXT("main"),
                                    SEAL_TEXT("password")};
  const struct seal_part moved[] = {SEAL_TEXT("prod"), SEAL_TEXT("storag"), SEAL_TEXT("emain"),
                                    SEAL_TEXT("password")};
  key_of(1, &s);
  key_of(2, &other);
  is_int(seal_close(&s, SEAL_SECRETS, about, 4, "hunter2", 7, &a), 0, "closed");
  is_int(seal_close(&s, SEAL_SECRETS, about, 4, "hunter2", 7, &b), 0, "and once more");
  like(buf_text(&a), "enc:", "its form");
  ok(strcmp(buf_text(&a), buf_text(&b)), "twice the same text is two texts");
  unlike(buf_text(&a), "hunter2", "nothing is to be read");
  is_int(seal_open(&s, SEAL_SECRETS, about, 4, a.data, a.len, &out), 0, "opened");
  is_mem(out.data, out.len, "hunter2", 7, "what it was");
  is_int(seal_open(&s, SEAL_SECRETS, moved, 4, a.data, a.len, &out), -EBADMSG,
         "not as another section's, whose name and kind run together the same way");
  is_int(seal_open(&s, SEAL_SECRETS, about, 3, a.data, a.len, &out), -EBADMSG, "nor a part less");
  is_int(seal_open(&s, SEAL_REQUESTS, about, 4, a.data, a.len, &out), -EBADMSG, "nor as a request");
  is_int(seal_open(&other, SEAL_SECRETS, about, 4, a.data, a.len, &out), -ENOKEY, "another key");
  is_mem(out.data, out.len, "hunter2", 7, "and nothing was added");
  int opened = 0;
  for (size_t i = 0; i < a.len; i++) {
    char was = a.data[i];
    a.data[i] = (char)(was ^ 1);
    opened += seal_open(&s, SEAL_SECRETS, about, 4, a.data, a.len, &out) == 0;
    a.data[i] = was;
    opened += seal_open(&s, SEAL_SECRETS, about, 4, a.data, i, &out) == 0;
  }
  is_int(opened, 0, "with a bit changed, or cut, it does not open");
  buf_free(&a);
  is_int(seal_close(&s, SEAL_SECRETS, about, 4, "", 0, &a), 0, "nothing can be closed");
  out.len = 0;
  is_int(seal_open(&s, SEAL_SECRETS, about, 4, a.data, a.len, &out), 0, "and opened");
  is_int(out.len, 0, "it is nothing");
  buf_free(&a);
  buf_free(&b);
  buf_free(&out);
}

static void test_marks(void) {
  struct seal s;
  char mark[2 * SEAL_MARK_LEN + 1], other[2 * SEAL_MARK_LEN + 1];
  const struct seal_part one[] = {SEAL_TEXT("a"), SEAL_TEXT("bc")};
  const struct seal_part two[] = {SEAL_TEXT("ab"), SEAL_TEXT("c")};
  key_of(1, &s);
  is_int(seal_mark(&s, SEAL_REVISIONS, one, 2, mark), 0, "marked");
  ok(seal_is_mark(&s, SEAL_REVISIONS, one, 2, mark, 64), "and known");
  ok(!seal_is_mark(&s, SEAL_REVISIONS, one, 2, mark, 63), "not a part of it");
  ok(!seal_is_mark(&s, SEAL_REVISIONS, two, 2, mark, 64), "parts are kept apart");
  ok(!seal_is_mark(&s, SEAL_REQUESTS, one, 2, mark, 64), "so are uses");
  is_int(seal_mark(&s, SEAL_REVISIONS, two, 2, other), 0, "another one");
  ok(strcmp(mark, other), "differs");
  is_int(seal_digest("abc", 3, mark), 0, "SHA-256");
  is_str(mark, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "of abc");
}

int main(void) {
  test_hkdf();
  test_base64();
  test_keys();
  test_closed();
  test_marks();
  return done_testing();
}
