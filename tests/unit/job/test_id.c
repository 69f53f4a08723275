/* Job ids: layout, order, both text forms. */
#include "job/id.h"

#include "tap.h"

static void test_layout(void) {
  struct id_source s;
  struct id_parts p;
  id_source_start(&s, 1023, ID_EPOCH_MS + 1000);
  uint64_t id = id_mint(&s, ID_EPOCH_MS + 5000);
  id_decode(id, &p);
  ok(id >> 63 == 1, "the version bit is set");
  is_int(p.unix_ms, ID_EPOCH_MS + 5000, "time survives");
  is_int(p.shard, 1023, "shard survives");
  is_int(p.sequence, 0, "the first of a millisecond");
  id_source_start(&s, 1024 + 7, ID_EPOCH_MS);
  id_decode(id_mint(&s, ID_EPOCH_MS + 9), &p);
  is_int(p.shard, 7, "a shard out of range is cut");
}

static void test_order(void) {
  struct id_source s;
  struct id_parts p;
  uint64_t last = 0, wall = ID_EPOCH_MS + 100000;
  bool rising = true;
  id_source_start(&s, 3, wall);
  for (int i = 0; i < 100000; i++) {
    uint64_t id = id_mint(&s, wall + (uint64_t)(i % 3)); /* a clock that goes back and forth */
    rising &= id > last;
    last = id;
  }
  ok(rising, "100,000 ids of a trembling clock rise");
  id_decode(last, &p);
  ok(p.unix_ms > wall && p.unix_ms < wall + 20, "a used-up millisecond runs a little ahead");
  id_source_start(&s, 3, p.unix_ms);
  ok(id_mint(&s, wall) > last, "a restart past the mark never repeats, whatever its clock says");
}

static void test_text(void) {
  static const char *const bad[] = {"",
                                    "-1",
                                    "1x",
                                    "18446744073709551616",
                                    "99999999999999999999",
                                    "D-",
                                    " 1",
                                    "D-zzzzzzzzzzzzzzzz-00pepperbus0000000000"};
  char text[ID_TEXT_MAX], disque[ID_DISQUE_LEN + 1], trace[ID_TRACE_MAX];
  uint64_t back;
  is_int(id_format(0, text), 1, "0 is one digit");
  is_int(id_format(UINT64_MAX, text), 20, "the largest has 20");
  is_str(text, "18446744073709551615", "and is written right");
  ok(id_parse(text, 20, &back) && back == UINT64_MAX, "and read back");
  id_format_disque(UINT64_C(0x8000000000000001), disque);
  is_int(strlen(disque), ID_DISQUE_LEN, "Disque's form has 40 characters");
  ok(id_parse(disque, ID_DISQUE_LEN, &back) && back == UINT64_C(0x8000000000000001),
     "and is read back");
  id_format_trace(42, (struct gateway){2130706433, 12017}, trace);
  is_str(trace, "42-2130706433-12017", "trace id");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(!id_parse(bad[i], strlen(bad[i]), &back), "\"%s\" is no id", bad[i]);
}

int main(void) {
  test_layout();
  test_order();
  test_text();
  return done_testing();
}
