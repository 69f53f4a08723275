/* Growing buffers, numbers, JSON strings. */
#include "base/buf.c"
#include "base/utf8.h"
#include "tap.h"

#include <pepperbus/text.h>

static void json_is(const char *in, size_t n, const char *want, const char *name) {
  struct buf b = {0};
  buf_add_json(&b, in, n);
  is_str(buf_text(&b), want, "%s", name);
  buf_free(&b);
}
#define JSON(in, want, name) json_is(in, sizeof(in) - 1, want, name)

static void growing(void) {
  struct buf b = {0};
  is_str(buf_text(&b), "", "zeroed is empty");
  buf_add(&b, NULL, 0);
  is_int(b.len, 0, "adding nothing");
  for (int i = 0; i < 1000; i++) buf_add(&b, "abc", 3);
  is_int(b.len, 3000, "length after many additions");
  ok(!memcmp(b.data + 2997, "abc", 3) && b.cap < 2 * 3000 + 256, "grows by doubling");
  buf_drop(&b, 2998);
  is_mem(b.data, b.len, "bc", 2, "the front is dropped");
  buf_drop(&b, 99);
  is_int(b.len, 0, "more than there is: all");
  buf_free(&b);
  ok(!b.data && !b.cap, "freed, and ready again");

  buf_add_text(&b, "x");
  ok(!buf_reserve(&b, SIZE_MAX) && b.failed, "what cannot be had fails");
  buf_add_text(&b, "x");
  is_int(b.len, 1, "a failed one takes nothing more");
  is_str(buf_text(&b), "", "and is an empty text");
  buf_free(&b);
  buf_add_text(&b, "y");
  is_str(buf_text(&b), "y", "freeing mends it");
  buf_free(&b);
}

static void numbers(void) {
  struct buf b = {0};
  buf_add_u64(&b, 0);
  buf_add_text(&b, " ");
  buf_add_u64(&b, UINT64_MAX);
  buf_printf(&b, " %s %d", "text", -7);
  is_str(buf_text(&b), "0 18446744073709551615 text -7", "numbers and formats");
  b.len = 0;
  for (int i = 0; i < 100; i++) buf_printf(&b, "%0100d", i);
  is_int(b.len, 10000, "formatting grows");
  buf_free(&b);
}

/* @case V1: a text that is too long keeps its beginning and its end, in whole characters */
static void excerpts(void) {
  char text[5000], shown[2001];
  is_int(pb_excerpt(shown, 10, "abc", 3), 3, "what fits is whole");
  is_str(shown, "abc", "and ends with a NUL");
  is_int(pb_excerpt(shown, 10, NULL, 0), 0, "nothing is nothing");
  memset(text, 'x', sizeof text);
  is_int(pb_excerpt(shown, 2001, text, 2000), 2000, "exactly as much as there is room for");
  ok(!strstr(shown, "[...]"), "is not cut");
  memcpy(text, "Traceback (most recent call last):", 34);
  memcpy(text + sizeof text - 15, "ValueError: 042", 15);
  is_int(pb_excerpt(shown, sizeof shown, text, sizeof text), 2000, "a long one fills the room");
  ok(!strncmp(shown, "Traceback (most", 15), "it begins as it did");
  is_str(shown + 2000 - 15, "ValueError: 042", "it ends as it did");
  ok(strstr(shown, " [...] "), "and shows that something is missing");
  for (size_t room = PB_EXCERPT_MIN; room < 200; room++)
    for (size_t at = 0; at < 3; at++) {
      size_t n = at, len;
      memset(text, 'x', at);
      while (n + 3 <= 1500) memcpy(text + n, "\xe4\xbd\xa0", 3), n += 3;
      len = pb_excerpt(shown, room, text, n);
      if (len >= room || shown[len] || !utf8_valid(shown, len)) fail("room %zu, at %zu", room, at);
    }
  pass("no character is cut in two, whatever the room");
  memset(text, 0x80, sizeof text);
  ok(pb_excerpt(shown, sizeof shown, text, sizeof text) > 1990, "bytes that are no text are kept");
}

static void json(void) {
  JSON("plain", "plain", "plain text stays");
  JSON("a\"b\\c", "a\\\"b\\\\c", "quotes and backslashes");
  JSON("\b\f\n\r\t", "\\b\\f\\n\\r\\t", "short escapes");
  JSON("\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\x7f", "control characters");
  JSON("\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80", "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80",
       "UTF-8 stays");
  JSON("a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd", "bytes that are none are replaced");
  JSON("", "", "nothing");
}

int main(void) {
  growing();
  numbers();
  excerpts();
  json();
  return done_testing();
}
