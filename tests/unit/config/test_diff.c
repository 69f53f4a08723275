/* What a reload says of the difference between two snapshots. */
#include "unit/config/settings_fixture.h"

/* What settings_changes() says where `was` of RICH, which is there once, is `is`. */
static void changes_are(const char *was, const char *is, const char *want, const char *name) {
  char text[sizeof RICH + 100], *said_of = NULL;
  size_t len = 0;
  const char *at = strstr(RICH, was);
  if (!at) bail_out("%s is not there", was);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RICH), RICH, is, at + strlen(was));
  struct settings *a = good(RICH, "before"), *b = good(text, "after");
  FILE *f = open_memstream(&said_of, &len);
  settings_changes(a, b, f);
  fclose(f);
  is_str(said_of, want, "%s", name);
  free(said_of);
  settings_unref(a);
  settings_unref(b);
}

/* @case V7: a reload names each section in which a secret is another one, and shows none */
static void test_changes(void) {
  changes_are("hush2", "hush2", "nothing changed\n", "the same");
  changes_are("hush\ndb", "hash\ndb", "changed: storage s\n", "a storage's password");
  changes_are("hush3", "hash3", "changed: topic q/own\n", "a secret of a transport");
  changes_are("hush2", "hash2", "changed: topic q/own\n", "a topic's password");
  changes_are("s:00", "s:01", "changed: user u\n", "a user's password");
  changes_are("max_connections = 4", "max_connections = 5", "changed: pool p\n", "no secret");
}

int main(void) {
  test_changes();
  return done_testing();
}
