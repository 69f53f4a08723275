/* The signature of a failure: what is normalised, what is told apart. */
#include "job/signature.h"

#include "tap.h"

#include <string.h>

static void test_rows(void) {
  static const struct {
    const char *message, *text;
  } rows[] = {
      {"", ""},
      {"no luck", "no luck"},
      {"user 17 of 4711 not found", "user # of # not found"},
      {"user42 has 3.14 of 2026-11-30T22:15:04", "user# has #.# of #-#-#T#:#:#"},
      {"Duplicate entry 'a@b.c-123' for key \"email\"",
       "Duplicate entry 'a@b.c-#' for key \"email\""},
      {"job 123e4567-e89b-12d3-a456-426614174000 is gone", "job <uuid> is gone"},
      {"(123E4567-E89B-12D3-A456-426614174000)", "(<uuid>)"},
      {"123e4567-e89b-12d3-a456-4266141740001", "<hex>-e#b-#d#-a#-#"},
      {"at 0x7ffd1234, 0XAB", "at <hex>, <hex>"},
      {"commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit <hex>"},
      {"deadbeef and defaced stay", "deadbeef and defaced stay"},
      {"12345678 is a number", "# is a number"},
      {"abc1234 is too short", "abc# is too short"},
      {"key_0123abcd: x0123abcd", "key_<hex>: x#abcd"},
      {"  many\t\tspaces \r\n and\001lines  ", "many spaces and lines"},
      {"na\xc3\xafve 5\xe2\x82\xac", "na\xc3\xafve #\xe2\x82\xac"},
      {"bad \xff\xc3 bytes \xe2\x82", "bad ?? bytes ??"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct signature s;
    signature_of(500, rows[i].message, strlen(rows[i].message), &s);
    is_str(s.text, rows[i].text, "%s", rows[i].text);
    if (s.len != strlen(s.text)) fail("its length");
  }
}

static void test_id(void) {
  struct signature a, b;
  char text[SIGNATURE_ID_LEN + 1];
  uint64_t id;
  signature_of(500, "user 1 not found", 16, &a);
  signature_of(500, "user 22 not found", 17, &b);
  ok(a.id == b.id && a.code == 500, "two users, one signature");
  signature_of(502, "user 1 not found", 16, &b);
  ok(a.id != b.id, "another code is another signature");
  signature_of(-5, "", 0, &b);
  ok(b.id != 0 && b.len == 0, "no message has one, too");
  signature_format(a.id, text);
  /* A cursor, a link or a kept hash may have it: it never changes. */
  is_str(text, "0ff012c9edd2b4ff", "the id of a known message");
  ok(signature_parse(text, &id) && id == a.id, "it is read again");
  static const char *const bad[] = {
      "", "1", "0000000000000000", "00000000000000001", "000000000000000g", "ABCDEF0000000000"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(!signature_parse(bad[i], &id), "'%s' is no id", bad[i]);
}

static void test_cut(void) {
  char long_one[4096];
  struct signature a, b;
  memset(long_one, 'z', sizeof long_one);
  signature_of(1, long_one, sizeof long_one, &a);
  is_int(a.len, SIGNATURE_TEXT_MAX, "a long message is cut");
  for (size_t i = 0; i + 3 <= sizeof long_one; i += 3) memcpy(long_one + i, "\xe2\x82\xac", 3);
  signature_of(1, long_one, sizeof long_one, &a);
  is_int(a.len, SIGNATURE_TEXT_MAX - SIGNATURE_TEXT_MAX % 3, "between two characters");
  memset(long_one, '7', sizeof long_one);
  long_one[SIGNATURE_LOOK] = 'x';
  signature_of(1, long_one, sizeof long_one, &a);
  signature_of(1, long_one, SIGNATURE_LOOK, &b);
  ok(a.id == b.id && a.len == 1, "what lies behind the first bytes does not count");
}

int main(void) {
  test_rows();
  test_id();
  test_cut();
  return done_testing();
}
