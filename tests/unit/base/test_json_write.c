/* JSON without objects is what jansson reads. */
#include "base/json_write.c"
#include "tap.h"

#include <jansson.h>

static void members(void) {
  struct buf b = {0};
  json_write_begin(&b, NULL);
  json_write_text(&b, "a", "x\"\n\\\xff");
  json_write_text(&b, "none", NULL);
  json_write_begin(&b, "empty");
  json_write_end(&b);
  json_write_begin(&b, "in");
  json_write_u64(&b, "most", UINT64_MAX);
  json_write_some(&b, "no", 0);
  json_write_some(&b, "some", 7);
  json_write_end(&b);
  json_write_bool(&b, "yes", true);
  json_write_bool(&b, "no", false);
  json_write_end(&b);
  is_str(buf_text(&b),
         "{\"a\":\"x\\\"\\n\\\\\xef\xbf\xbd\",\"none\":null,\"empty\":{},"
         "\"in\":{\"most\":9223372036854775807,\"no\":null,\"some\":7},\"yes\":true,\"no\":false}",
         "commas, escapes, bounds");
  json_t *o = json_loadb(b.data, b.len, 0, NULL);
  ok(json_object_size(o) == 6, "jansson reads all of it");
  json_decref(o);
  buf_free(&b);
}

static void milli_is(double v, const char *want) {
  struct buf b = {0};
  json_write_begin(&b, NULL);
  json_write_milli(&b, "v", v);
  json_write_end(&b);
  is_str(buf_text(&b), want, "%g", v);
  buf_free(&b);
}

static void numbers(void) {
  milli_is(0, "{\"v\":0.0}");
  milli_is(-1, "{\"v\":0.0}");
  milli_is(0.0004, "{\"v\":0.0}");
  milli_is(0.0016, "{\"v\":0.002}");
  milli_is(12.5, "{\"v\":12.5}");
  milli_is(1.25, "{\"v\":1.25}");
  milli_is(99.9996, "{\"v\":100.0}");
  milli_is(1e30, "{\"v\":1000000000000000.0}");
}

int main(void) {
  members();
  numbers();
  return done_testing();
}
