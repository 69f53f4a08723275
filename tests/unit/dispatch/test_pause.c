/* What a pause says of itself: as the storage has it, and for people. */
#include "dispatch/pause.h"

#include "tap.h"

static void test_parse(void) {
  struct topic_pause p;
  pause_parse("{\"since\":1700000000123,\"by\":\"ann\",\"reason\":\"deploy\"}", &p);
  is_int(p.since_ms, 1700000000123, "since when");
  is_str(p.by, "ann", "by whom");
  is_str(p.reason, "deploy", "and why");
  static const char *const others[] = {
      "1",    "",     "0", "{", "{\"since\":", "[1]", "{}", "{\"since\":-1,\"by\":7,\"reason\":[]}",
      "null", "ann 1"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    memset(&p, 0x55, sizeof p);
    pause_parse(others[i], &p);
    ok(!p.since_ms && !*p.by && !*p.reason, "nothing is known from: %s", others[i]);
  }
  char text[2000];
  snprintf(text, sizeof text, "{\"by\":\"%0300d\",\"reason\":\"%01000d\"}", 0, 0);
  pause_parse(text, &p);
  is_int(strlen(p.by), sizeof p.by - 1, "a long name is cut");
  is_int(strlen(p.reason), sizeof p.reason - 1, "a long reason, too");
}

static void words_are(const char *by, const char *reason, const char *want) {
  struct topic_pause p = {0};
  char text[200];
  snprintf(p.by, sizeof p.by, "%s", by);
  snprintf(p.reason, sizeof p.reason, "%s", reason);
  pause_words(&p, text, sizeof text);
  is_str(text, want, "in words: by \"%s\" for \"%s\"", by, reason);
}

int main(void) {
  struct topic_pause p = {.by = "ann"};
  char small[12];
  test_parse();
  words_are("", "", "paused by an operator");
  words_are("ann", "", "paused by an operator (ann)");
  words_are("", "deploy", "paused by an operator: deploy");
  words_are("ann", "deploy", "paused by an operator (ann): deploy");
  pause_words(&p, small, sizeof small);
  is_str(small, "paused by a", "as much of it as there is room for");
  return done_testing();
}
