/* The configuration as text: dumped, as a sample, as reference and manual. */
#include "unit/config/settings_fixture.h"

static char *dump(const struct settings *s) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  settings_dump(s, f);
  fclose(f);
  return text;
}

static void test_dump(void) {
  struct settings *a = good(RICH, "a rich file");
  char *text = dump(a);
  unlike(text, "hush", "no secret is dumped");
  unlike(text, "sha256", "nor a hash");
  like(text, "password = ********", "but masked");
  struct settings *b = load(text);
  if (!b) bail_out("%s\n%s", text, said);
  like(said, "warning: t.ini:", "the mask of a user's password is one in clear");
  char *again = dump(b);
  is_str(again, text, "what was dumped is read to the same");
  ok(server_equal(&a->server, &b->server), "server");
  is_int(b->n_topics, a->n_topics, "topics");
  for (size_t i = 0; i < a->n_topics; i++) {
    const struct topic_settings *x = a->topics[i], *y = b->topics[i];
    ok(!strcmp(x->path, y->path) && x->here == y->here && x->enabled == y->enabled &&
           x->backoff.to_ms == y->backoff.to_ms && settings_pool_equal(x->pool, y->pool) &&
           !strcmp(x->storage->name, y->storage->name),
       "topic %s", x->path);
  }
  ok(settings_storage_equal(a->storages[1], b->storages[1]), "a storage without a secret");
  is_str(((const struct direct_topic *)b->topics[1]->conf)->command, "a \" \\ b ; c", "quotes");
  is_int(b->queues[0]->retain_ms, 36 * 3600000, "retain");
  is_int(b->queues[1]->max_bytes, 1234567, "an odd number of bytes");
  ok(b->topics[1]->password == b->queues[0]->password, "a queue's password stays the queue's");
  is_int(b->users[0]->n_systems, 2, "a user's systems");
  free(text);
  free(again);
  settings_unref(a);
  settings_unref(b);
}

static char *made(void (*fn)(const struct settings_types *, FILE *)) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  fn(&types, f);
  fclose(f);
  return text;
}

/* Takes the ';' away from sections and keys; the text of comments has a blank behind it. */
static char *uncomment(const char *text) {
  char *out = strdup(text), *to = out;
  for (const char *p = text; *p; p++)
    if (*p != ';' || (p > text && p[-1] != '\n') || p[1] == ' ') *to++ = *p;
  *to = 0;
  return out;
}

static void test_sample(void) {
  char *text = made(settings_sample), *bare = uncomment(text);
  settings_unref(good(text, "the sample as it stands"));
  const char *const both_keys[] = {"max_clients", "idle", "entry", "backoff", "role", "lease"};
  for (size_t i = 0; i < sizeof both_keys / sizeof *both_keys; i++)
    like(text, both_keys[i], "the sample has %s", both_keys[i]);
  unlike(text, "rounds", "but no deprecated key");
  /* Without its comment signs all but what only one run type has is sound. */
  struct settings *s = load(bare);
  ok(!s, "nobody wants all keys of all run types at once");
  for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
    ok(strstr(line, "command") || strstr(line, "[user admin]") || strstr(line, "warning: "), "%s",
       line);
  settings_unref(s);
  free(text);
  free(bare);

  text = made(settings_reference);
  like(text,
       "| `workers` | number, 1 to 100000 | `10` | **Workers.** Attempts at a time on one node. |",
       "a key with its title");
  like(text, "With `run_type = cgi`, also:", "keys of a plugin");
  like(text, "| `role` | choice: admin, operator or viewer | required |", "a choice");
  free(text);
}

static size_t times(const char *text, const char *what) {
  size_t n = 0;
  for (; (text = strstr(text, what)); text++) n++;
  return n;
}

/* What run types have alike stands in the reference and the manual once, under all their names. */
static void test_shared_options(void) {
  static const struct pb_option one[] = {
      {.name = "entry", .type = PB_OPT_STRING, .help = "Of the one."},
      {.name = "user", .type = PB_OPT_STRING, .offset = 8, .help = "Who runs it."},
      {.name = "nice", .type = PB_OPT_INT, .offset = 16, .max = 9},
      {0}};
  static const struct pb_option two[] = {
      {.name = "user", .type = PB_OPT_STRING, .help = "Who runs it."},
      {.name = "entry", .type = PB_OPT_STRING, .offset = 8, .help = "Of the other."},
      {.name = "nice", .type = PB_OPT_INT, .offset = 16, .max = 8},
      {0}};
  struct pb_transport t[3] = {{.run_type = "a", .topic_options = one},
                              {.run_type = "b", .topic_options = two},
                              {.run_type = "c", .topic_options = one}};
  const struct pb_transport *const list[] = {&t[0], &t[1], &t[2]};
  for (size_t i = 0; i < 3; i++) t[i].option_size = sizeof(struct pb_option);
  const struct settings_types before = types;
  types = (struct settings_types){.transports = list, .n = 3};
  char *text = made(settings_reference);
  is_int((int64_t)times(text, "| `user` |"), 1, "a key that all have alike stands there once");
  is_int((int64_t)times(text, "`run_type = a`, `b` or `c`, also:"), 1, "under the names of all");
  is_int((int64_t)times(text, "`run_type = a` or `c`, also:"), 1, "what two have under theirs");
  is_int((int64_t)times(text, "With `run_type = b`, also:"), 1, "what one has under its own");
  is_int((int64_t)(times(text, "Of the one.") + times(text, "Of the other.")), 2,
         "other keys of one name stay apart");
  is_int((int64_t)times(text, "| `nice` |"), 2, "those with other limits too");
  free(text);
  text = made(settings_manual);
  is_int((int64_t)times(text, "**user**"), 1, "the manual has it once as well");
  free(text);
  types = before;
}

/* A key that several sections have alike stands once, under all their names. */
static void test_keys_of_several_sections(void) {
  char *text = made(settings_reference);
  is_int((int64_t)times(text, "| `comment` |"), 1,
         "a key that sections have alike stands there once");
  like(text,
       "\nIn `[system]`, `[node]`, `[storage]`, `[pool]`, `[queue]`, `[topic]` and `[alert]`:\n",
       "under their names");
  like(text, "\nAlso `title` and `comment`: see [Keys of several sections]",
       "each of them says where to look");
  is_int((int64_t)times(text, "| `title` |"), 2, "another text of that name stays apart");
  is_int((int64_t)times(text, "### [system NAME]\n\nA group"), 1, "a section without other keys");
  free(text);
  text = made(settings_manual);
  is_int((int64_t)times(text, "**comment** (text)"), 1, "the manual has it once as well");
  like(text, "Also **password\\_file**, **title** and **comment**: see *Keys of several sections*.",
       "and says where to look");
  free(text);
}

int main(void) {
  test_dump();
  test_sample();
  test_shared_options();
  test_keys_of_several_sections();
  return done_testing();
}
