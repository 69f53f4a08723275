/* Text of any bytes as JSON. */
#include "base/json_text.h"

#include "tap.h"

#include <string.h>

static void text_is(json_t *o, const char *want, size_t len, const char *name) {
  ok(json_is_string(o) && json_string_length(o) == len &&
         memcmp(json_string_value(o), want, len) == 0,
     "%s", name);
  json_decref(o);
}

int main(void) {
  text_is(json_cstr("a \"b\"\n\xe4\xbd\xa0"), "a \"b\"\n\xe4\xbd\xa0", 9, "UTF-8 stays");
  text_is(json_cstr(""), "", 0, "the empty text");
  text_is(json_text("a\0b", 3), "a\0b", 3, "a zero byte stays");
  text_is(json_cstr("a\xff\"\n\xc3"), "a\xef\xbf\xbd\"\n\xef\xbf\xbd", 9,
          "each byte that is not UTF-8 becomes U+FFFD");
  text_is(json_text("\0\xff", 2), "\0\xef\xbf\xbd", 4, "beside a zero byte, too");
  json_t *none = json_cstr(NULL);
  ok(json_is_null(none), "no text is null");
  json_decref(none);
  return done_testing();
}
