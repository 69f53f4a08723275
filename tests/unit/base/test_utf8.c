/* UTF-8: what is well-formed, and what must not be shown. */
#include "base/utf8.c"
#include "tap.h"

#define VALID(text) utf8_valid(text, sizeof(text) - 1)
static void valid(void) {
  ok(VALID("") && VALID("abc") && VALID("01234567\x7f"), "ASCII");
  ok(VALID("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
     "the ends of each length");
  ok(!VALID("\x80") && !VALID("\xc0\xaf") && !VALID("\xc1\xbf"), "lone and overlong, two bytes");
  ok(!VALID("\xe0\x9f\xbf") && !VALID("\xf0\x8f\xbf\xbf"), "overlong, three and four");
  ok(!VALID("\xed\xa0\x80") && !VALID("\xf4\x90\x80\x80") && !VALID("\xf8\x88\x80\x80\x80"),
     "surrogates and beyond the last");
  ok(!VALID("12345678\xe4\xbd") && !VALID("1234567\xc3"), "cut off at the end");
  ok(VALID("1234567\xc3\xa9"
           "12345678"),
     "across the eight that are looked at together");
}

/* The length that utf8_unshown() tells of the beginning of `text`; its code in *ret. */
#define UNSHOWN(text, ret)                                                                         \
  (long long)utf8_unshown((const unsigned char *)text, sizeof(text) - 1, ret)
static void shown(void) {
  uint32_t code = 7;
  ok(!UNSHOWN("a", &code) && !UNSHOWN(" ", &code) && !UNSHOWN("~", &code), "ASCII is shown");
  ok(!UNSHOWN("\xc3\xa9", &code) && !UNSHOWN("\xe4\xbd\xa0", &code) &&
         !UNSHOWN("\xf0\x9f\x98\x80", &code),
     "letters and signs of two, three and four bytes are shown");
  is_int(code, 7, "and no code is told of them");
}

static void unshown(void) {
  static const struct {
    const char *text, *name;
    size_t len;
    uint32_t code;
  } all[] = {
      {"\x1b[31m", "the escape of a terminal", 1, 0x1b},
      {"\nx", "a new line", 1, '\n'},
      {"\x7f", "DEL", 1, 0x7f},
      {"\xc2\x9bx", "a control of two bytes (C1)", 2, 0x9b},
      {"\xe2\x80\xa8", "what breaks lines", 3, 0x2028},
      {"\xe2\x80\xaeyes", "what turns text around", 3, 0x202e},
      {"\xef\xbb\xbf", "a byte order mark", 3, 0xfeff},
      {"\xf3\xa0\x81\x81", "a tag of four bytes", 4, 0xe0041},
      {"\x80x", "a byte that is no UTF-8", 1, UTF8_BYTE | 0x80},
      {"\xe4\xbd", "a sequence that is cut off", 1, UTF8_BYTE | 0xe4},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    uint32_t code = 0;
    size_t len = utf8_unshown((const unsigned char *)all[i].text, strlen(all[i].text), &code);
    ok(len == all[i].len && code == all[i].code, "not shown: %s", all[i].name);
  }
}

int main(void) {
  valid();
  shown();
  unshown();
  return done_testing();
}
