/* core/config/shared_*.c: the text of the shared configuration is read, printed in one form and
 * compared, and no secret is left in clear in what is kept.
 */
#include "tap.h"
#include "base/secret.h"
#include "config/settings.h"
#include "config/shared_text.h"

#include <errno.h>
#include <pepperbus/transport.h>

/* --- a plugin with a secret, and a sealer that can be looked through --- */

struct http_topic {
  const char *entry, *authorization;
};

static const struct pb_option http_topic_options[] = {
    {.name = "entry", .type = PB_OPT_STRING, .offset = offsetof(struct http_topic, entry)},
    {.name = "authorization",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_SECRET,
     .offset = offsetof(struct http_topic, authorization)},
    {0}};
static const struct pb_transport http = {.option_size = sizeof(struct pb_option),
                                         .run_type = "http",
                                         .topic_options = http_topic_options,
                                         .topic_conf_size = sizeof(struct http_topic)};
static const struct pb_transport *const transports[] = {&http};
static const struct settings_types types = {.transports = transports, .n = 1};

#define KEY_A "00112233445566aa"
#define KEY_B "00112233445566bb"

/* "enc:KEY:", the length of the section's name and key, and the secret in hex. */
static int seal_by(const char *key_id, const char *kind, const char *name, const char *key,
                   const char *plain, char **ret) {
  size_t len = strlen(plain), size = 2 * len + 64;
  char *text = malloc(size);
  int n = snprintf(text, size, "enc:%s:%zu/", key_id, strlen(kind) + strlen(name) + strlen(key));
  for (size_t i = 0; i < len; i++) n += sprintf(text + n, "%02x", (unsigned char)plain[i]);
  *ret = text;
  return 0;
}

static int seal(void *arg, const char *kind, const char *name, const char *key, const char *plain,
                char **ret) {
  return seal_by(arg, kind, name, key, plain, ret);
}

static int unseal(void *arg, const char *kind, const char *name, const char *key,
                  const char *sealed, char **ret) {
  char head[64];
  snprintf(head, sizeof head, "enc:%s:%zu/", (const char *)arg,
           strlen(kind) + strlen(name) + strlen(key));
  if (strncmp(sealed, head, strlen(head))) return -EBADMSG;
  const char *hex = sealed + strlen(head);
  size_t len = strlen(hex) / 2;
  *ret = calloc(1, len + 1);
  for (size_t i = 0; i < len; i++) {
    unsigned c = 0;
    sscanf(hex + 2 * i, "%2x", &c);
    (*ret)[i] = (char)c;
  }
  return 0;
}

static const struct sealer sealer = {.seal = seal, .open = unseal, .arg = (void *)(uintptr_t)KEY_A};

/* --- helpers --- */

static char said[20000];

static struct shared_sections *read_text(const char *text) {
  struct shared_sections *s = NULL;
  memset(said, 0, sizeof said);
  FILE *out = fmemopen(said, sizeof said, "w");
  int rc = shared_read("t", text, strlen(text), &s, out);
  fclose(out);
  if ((rc == 0) != (s != NULL)) bail_out("rc %d with sections at %p", rc, (void *)s);
  return s;
}

static struct shared_sections *sound(const char *text) {
  struct shared_sections *s = read_text(text);
  if (!s) bail_out("%s", said);
  return s;
}

static void bad(const char *text, const char *line) {
  struct shared_sections *s = read_text(text);
  ok(!s, "refused");
  is_str(said, line, "and says why");
  shared_free(s);
}

static void prints(const struct shared_sections *s, const char *want, const char *name) {
  size_t len;
  char *text = shared_print(s, &len);
  is_str(text, want, "%s", name);
  is_int(len, strlen(want), "%s: its length", name);
  free(text);
}

static void prints_masked(const struct shared_sections *s, const char *want, const char *name) {
  size_t len;
  char *text = shared_print_masked(s, &types, &len);
  is_str(text, want, "%s", name);
  free(text);
}

static int seal_text(struct shared_sections *s, const struct shared_sections *base) {
  memset(said, 0, sizeof said);
  FILE *out = fmemopen(said, sizeof said, "w");
  int rc = shared_seal(s, base, &types, &sealer, out);
  fclose(out);
  return rc;
}

static void differ(const char *from, const char *to, const char *want, const char *name) {
  struct shared_sections *a = sound(from), *b = sound(to);
  struct shared_changes *c = shared_compare(a, b);
  char text[4096] = "";
  FILE *out = fmemopen(text, sizeof text, "w");
  shared_changes_print(c, out);
  fclose(out);
  is_str(text, want, "%s", name);
  shared_changes_free(c);
  shared_free(a);
  shared_free(b);
}

/* --- form --- */

static void test_form(void) {
  struct shared_sections *s = sound("; a comment\n"
                                    "[queue  q]   # another\n"
                                    "  password=\"a;b \\\" c\\\\\" ; comment\n"
                                    "max_length =   5\n"
                                    "comment =\n\n\n"
                                    "[system live]\n"
                                    "title = \xe7\x9b\xb4\xe6\x92\xad \" # no\n");
  static const char want[] = "[queue q]\n"
                             "password = a;b \" c\\\n"
                             "max_length = 5\n"
                             "comment =\n"
                             "\n"
                             "[system live]\n"
                             "title = \xe7\x9b\xb4\xe6\x92\xad \"\n";
  prints(s, want, "one form, in the order of the text");
  is_int(shared_n(s), 2, "two sections");
  is_int(shared_at(s, 1)->line, 8, "and where they stood");
  is_str(shared_value(shared_find(s, "queue", "q"), "max_length"), "5", "a value by its key");
  ok(!shared_find(s, "queue", "live") && !shared_find(s, "topic", "q"), "no other ones");
  struct shared_sections *again = sound(want), *copy = shared_copy(s);
  prints(again, want, "which is read as the same");
  prints(copy, want, "so is a copy");
  shared_free(again);
  shared_free(copy);
  shared_free(s);
  s = sound("");
  prints(s, "", "nothing is nothing");
  ok(!shared_find(s, "queue", "q"), "and has no section");
  shared_free(s);
  shared_free(NULL);
}

static void test_bad_form(void) {
  bad("key = 1\n", "t:1: key stands before the first section; write [server] above it\n");
  bad("[queue q]\n[topic q/t]\n[queue q]\n",
      "t:3: [queue q]: this section stands here twice, first in line 1; delete or rename one\n");
  bad("[queue q]\npassword = geheim\npassword = secret\n",
      "t:3: [queue q] password: stands here twice; delete one of them\n");
  char text[20000], *at = text;
  at += sprintf(at, "[queue q]\n");
  for (int i = 0; i < 513; i++) at += sprintf(at, "k%d = 1\n", i);
  bad(text, "t:1: [queue q]: 513 keys; at most 512 are allowed\n");
  at = text + sprintf(text, "[queue ");
  memset(at, 'n', 300);
  strcpy(at + 300, "]\n");
  ok(!read_text(text), "an endless name is refused");
}

static void test_edit(void) {
  struct shared_sections *s = sound("[queue a]\nmax_length = 1\n[queue b]\n");
  struct shared_entry entries[] = {{"max_length", "7"}, {"title", "x ; y"}};
  struct shared_section changed = {
      .kind = "queue", .name = "a", .entries = entries, .n_entries = 2};
  struct shared_section added = {.kind = "system", .name = "live"};
  is_int(shared_put(s, &changed, NULL), 0, "a section is changed in its place");
  is_int(shared_put(s, &added, NULL), 0, "and another one added");
  prints(s, "[queue a]\nmax_length = 7\ntitle = \"x ; y\"\n\n[queue b]\n\n[system live]\n",
         "as it is printed");
  ok(shared_remove(s, "queue", "a") && !shared_remove(s, "queue", "a"), "one is removed");
  prints(s, "[queue b]\n\n[system live]\n", "and gone");
  ok(shared_find(s, "system", "live") == shared_at(s, 1), "the others are found where they are");
  static const char *const values[] = {"1\n[user eve]\nrole = admin", "a\rb\x01", "\xff"};
  for (size_t i = 0; i < 3; i++) {
    entries[0].value = values[i];
    is_int(shared_put(s, &changed, NULL), -EINVAL, "no text gets out of its value (%zu)", i);
  }
  entries[0].value = "1";
  changed.name = "a]\n[user eve";
  is_int(shared_put(s, &changed, NULL), -EINVAL, "nor out of its name");
  prints(s, "[queue b]\n\n[system live]\n", "nothing is left of them");
  for (int i = 0; i < 200; i++) {
    char name[16];
    snprintf(name, sizeof name, "n%d", i);
    shared_put(s, &(struct shared_section){.kind = "node", .name = name}, NULL);
  }
  is_str(shared_find(s, "node", "n199")->name, "n199", "two hundred more are found");
  shared_free(s);
}

static void test_users(void) {
  struct shared_sections *old = sound("[user eve]\nrole = admin\n[queue q]\n[user ann]\n");
  struct shared_sections *now = sound("[user bob]\nrole = viewer\n[queue p]\n");
  shared_keep_users(old, now);
  prints(old, "[queue q]\n\n[user bob]\nrole = viewer\n",
         "an old revision comes back with the users of today");
  ok(!shared_find(old, "user", "eve") && shared_find(old, "user", "bob"), "and only with them");
  shared_free(old);
  shared_free(now);
}

/* --- differences --- */

static void test_compare(void) {
  differ("[queue q]\na = 1\nb = 2\n", "[queue q]\nb = 2\na = 1\n", "", "the order is no change");
  differ("[queue q]\na = 1\n[queue gone]\n", "[system s]\n[queue q]\na = 2\nc = 3\n",
         "added: system s\nchanged: queue q (a, c)\nremoved: queue gone\n",
         "what is added, changed and removed");
  differ("[queue q]\na = 1\nb = 2\n", "[queue q]\na = 1\n", "changed: queue q (b)\n",
         "a key that is gone");
  differ("[queue q]\npassword = sha256:x:y\n", "[queue q]\npassword = ********\n", "",
         "a mask is what was there");
  differ("[topic q/t]\nentry = /a.php\n", "[topic q/t]\nentry = ********\n",
         "changed: topic q/t (entry)\n", "nor for what is no secret");
  differ("[queue q]\n", "[queue q]\npassword = ********\n", "changed: queue q (password)\n",
         "but not where nothing was");
}

static const struct shared_change *change_of(struct shared_changes *c, const char *kind,
                                             const char *name) {
  for (size_t i = 0; i < shared_changes_n(c); i++)
    if (!strcmp(shared_changes_at(c, i)->kind, kind) &&
        !strcmp(shared_changes_at(c, i)->name, name))
      return shared_changes_at(c, i);
  bail_out("no change of %s %s", kind, name);
  return NULL;
}

static void test_systems(void) {
  struct shared_sections *from = sound("[system a]\n[queue q]\nsystem = a\n[topic q/t]\nx = 1\n"
                                       "[storage s]\nsystem = a\n[pool p]\nx = 1\n"
                                       "[queue moves]\nsystem = a\n[topic moves/t]\nx = 1\n");
  struct shared_sections *to =
      sound("[system a]\n[system b]\n[queue q]\nsystem = a\n"
            "[topic q/t]\nx = 2\n[storage s]\nsystem = b\n[pool p]\nx = 2\n"
            "[queue moves]\nsystem = b\n[topic moves/t]\nx = 2\n"
            "[topic else/t]\n");
  struct shared_changes *c = shared_compare(from, to);
  const struct shared_change *x = change_of(c, "topic", "q/t");
  is_str(x->system_before, "a", "a topic is its queue's system's");
  is_str(x->system_after, "a", "and stays there");
  x = change_of(c, "topic", "moves/t");
  is_str(x->system_before, "a", "its queue moves: before");
  is_str(x->system_after, "b", "and after");
  x = change_of(c, "queue", "moves");
  ok(!strcmp(x->system_before, "a") && !strcmp(x->system_after, "b"), "so does the queue");
  x = change_of(c, "storage", "s");
  ok(!strcmp(x->system_before, "a") && !strcmp(x->system_after, "b"), "and a storage");
  ok(!*change_of(c, "pool", "p")->system_after && !*change_of(c, "system", "b")->system_after,
     "pools and systems are nobody's but the admins'");
  x = change_of(c, "topic", "else/t");
  ok(!*x->system_before && !*x->system_after, "so is a topic of a queue that is not there");
  shared_changes_free(c);
  shared_free(from);
  shared_free(to);
  from = sound("[system only]\n");
  to = sound("[system only]\n[queue q]\n[topic q/t]\n");
  c = shared_compare(from, to);
  is_str(change_of(c, "topic", "q/t")->system_after, "only", "the only system need not be named");
  shared_changes_free(c);
  shared_free(from);
  shared_free(to);
}

static bool entry_differs(const char *from, const char *to) {
  struct shared_sections *a = sound(from), *b = sound(to);
  struct shared_changes *c = shared_compare(a, b);
  bool is = change_of(c, "topic", "q/t")->entry;
  shared_changes_free(c);
  shared_free(a);
  shared_free(b);
  return is;
}

static void test_entry(void) {
  ok(entry_differs("", "[topic q/t]\nentry = /a.php\n"), "a new worker");
  ok(entry_differs("", "[topic q/t]\npool = p\n"), "a new topic whose pool says how it runs");
  ok(!entry_differs("", "[topic q/t]\nworkers = 1\n"), "a topic without one");
  ok(entry_differs("[topic q/t]\nentry = /a.php\n", "[topic q/t]\nentry = /b.php\n"),
     "another one");
  ok(entry_differs("[topic q/t]\nrun_type = cgi\n", "[topic q/t]\nrun_type = http\n"),
     "another run type");
  ok(!entry_differs("[topic q/t]\nentry = /a.php\nworkers = 1\n",
                    "[topic q/t]\nentry = /a.php\nworkers = 2\n"),
     "something else");
  ok(!entry_differs("[topic q/t]\nentry = /a.php\n", ""), "its end is none");
#define POOLS "[pool a]\nrun_type = cgi\n[pool b]\nrun_type = cgi\n[pool c]\nrun_type = http\n"
  ok(!entry_differs(POOLS "[topic q/t]\npool = a\n", POOLS "[topic q/t]\npool = b\n"),
     "another pool of the same run type is none");
  ok(entry_differs(POOLS "[topic q/t]\npool = a\n", POOLS "[topic q/t]\npool = c\n"),
     "one of another run type is one");
  ok(entry_differs(POOLS "[topic q/t]\npool = a\n", POOLS "[topic q/t]\npool = local\n"),
     "one that is not known here counts as one");
}

/* --- secrets --- */

#define SECRETS                                                                                    \
  "[storage main]\naddress = 10.0.0.1:6379\npassword = redis-pw\n\n"                               \
  "[queue q]\npassword = queue-pw\n\n"                                                             \
  "[topic q/t]\nrun_type = http\nentry = https://a.example/w\nauthorization = Bearer x\n"          \
  "signing_key = 0123456789abcdef0123\n\n"                                                         \
  "[user ann]\nrole = admin\npassword = user-pw\n"

static void test_mask(void) {
  struct shared_sections *s =
      sound(SECRETS "[topic q/other]\nrun_type = odd\nnew_key = v\ntitle = t\n"
                    "[queue e]\npassword =\n");
  prints_masked(s,
                "[storage main]\naddress = 10.0.0.1:6379\npassword = ********\n\n"
                "[queue q]\npassword = ********\n\n"
                "[topic q/t]\nrun_type = http\nentry = https://a.example/w\n"
                "authorization = ********\nsigning_key = ********\n\n"
                "[user ann]\nrole = admin\npassword = ********\n\n"
                "[topic q/other]\nrun_type = odd\nnew_key = ********\ntitle = t\n\n"
                "[queue e]\npassword =\n",
                "secrets are masked, and keys that nobody knows");
  ok(shared_key_is_secret(NULL, "topic", "authorization"), "without plugins theirs are secrets");
  ok(shared_key_is_secret(&types, "nonsense", "title"), "so is everything of an unknown section");
  ok(!shared_key_is_secret(&types, "user", "role"), "a role is none");
  shared_free(s);
  s = sound("[queue q]\ntitle = enc:" KEY_A ":QUJD\n");
  prints_masked(s, "[queue q]\ntitle = ********\n", "a sealed text is masked wherever it stands");
  shared_free(s);
}

static void test_seal(void) {
  struct shared_sections *s = sound(SECRETS);
  is_int(seal_text(s, NULL), 0, "secrets are sealed");
  is_str(said, "", "without a word");
  size_t len;
  char *text = shared_print(s, &len);
  ok(!strstr(text, "redis-pw") && !strstr(text, "queue-pw") && !strstr(text, "Bearer") &&
         !strstr(text, "0123456789abcdef0123") && !strstr(text, "user-pw"),
     "none is left in clear");
  free(text);
  const char *queue = shared_value(shared_find(s, "queue", "q"), "password");
  ok(!strncmp(queue, "sha256:", 7) && secret_matches(queue, "queue-pw", 8),
     "a queue's password is a hash of it");
  const char *user = shared_value(shared_find(s, "user", "ann"), "password");
  ok(*user == '$' && secret_matches(user, "user-pw", 7), "so is a user's, a slow one");
  is_str(shared_value(shared_find(s, "storage", "main"), "password"),
         "enc:" KEY_A ":19/72656469732d7077",
         "the password of Redis stays readable for who has the key");
  ok(shared_is_sealed(shared_value(shared_find(s, "topic", "q/t"), "signing_key")),
     "so does a key");
  is_str(shared_value(shared_find(s, "topic", "q/t"), "entry"), "https://a.example/w",
         "what is no secret stays as it is");

  /* What a form sends back. */
  char *masked = shared_print_masked(s, &types, &len), *stored = shared_print(s, &len);
  struct shared_sections *again = sound(masked);
  is_int(seal_text(again, s), 0, "masks are what is kept");
  prints(again, stored, "which is the same as before");
  shared_free(again);
  again = sound(stored);
  is_int(seal_text(again, s), 0, "so are hashes and sealed texts that did not change");
  prints(again, stored, "and the same as before");
  shared_free(again);
  again = sound(SECRETS);
  is_int(seal_text(again, s), 0, "secrets that are given once more, in clear");
  prints(again, stored, "change nothing where they are the kept ones");
  shared_free(again);
  free(masked);
  free(stored);
  shared_free(s);
}

static void test_places(void) {
  const char *given = "; of a person\n\n[pool p]\n\nrun_type  =  http\n; more\n[queue q]\n"
                      "password = x ; words\n";
  struct shared_sections *s = sound(given);
  size_t len;
  char *text = shared_print_in_place(s, &len);
  is_str(text, "\n\n[pool p]\n\nrun_type = http\n\n[queue q]\npassword = x\n",
         "each line where it was given");
  ok(len == strlen(text), "and its length");
  free(text);
  shared_free(s);
}

/* Sealed SECRETS are kept; `change` is applied instead: rc and what is said. */
static void seals(const char *change, int want, const char *line, const char *name) {
  struct shared_sections *base = sound(SECRETS "[pool p]\nrun_type = http\naddress = 10.0.0.9:80\n"
                                               "[topic q/p]\npool = p\nauthorization = a\n"
                                               "signing_key = 0123456789abcdef0123\n");
  if (seal_text(base, NULL)) bail_out("%s", said);
  struct shared_sections *s = sound(change);
  is_int(seal_text(s, base), want, "%s", name);
  is_str(said, line, "%s: what is said", name);
  shared_free(s);
  shared_free(base);
}

static void test_address(void) {
  seals("[storage main]\naddress = 10.0.0.2:6379\npassword = ********\n", -EPERM,
        "[storage main] password: the address or its TLS check changed, so this has to be given "
        "again\n",
        "a kept password does not go to another address");
  seals("[storage main]\naddress = 10.0.0.2:6379\npassword = enc:" KEY_A ":19/72656469732d7077\n",
        -EPERM,
        "[storage main] password: the address or its TLS check changed, so this has to be given "
        "again\n",
        "nor does its sealed form");
  seals("[storage main]\naddress = 10.0.0.2:6379\npassword = redis-pw\n", 0, "",
        "given again it does");
  seals("[storage main]\naddress = 10.0.0.1:6379\ntls_verify = no\npassword = ********\n", -EPERM,
        "[storage main] password: the address or its TLS check changed, so this has to be given "
        "again\n",
        "another TLS check is another address");
  seals("[storage main]\naddress = 10.0.0.1:6379\nmax_inflight = 20\npassword = ********\n", 0, "",
        "another limit is none");
  seals("[queue q]\nsystem = b\npassword = ********\n", 0, "", "a hash goes nowhere");
  seals("[topic q/t]\nrun_type = http\nentry = https://b.example/w\nauthorization = ********\n"
        "signing_key = ********\n",
        -EPERM,
        "[topic q/t] authorization: the address or its TLS check changed, so this has to be given "
        "again\n[topic q/t] signing_key: the address or its TLS check changed, so this has to be "
        "given again\n",
        "another URL needs all secrets of the topic again, and says which");
  seals("[pool p]\nrun_type = http\naddress = 10.6.6.6:80\n[topic q/p]\npool = p\n"
        "authorization = ********\nsigning_key = ********\n",
        -EPERM,
        "[topic q/p] authorization: the address or its TLS check changed, so this has to be given "
        "again\n",
        "a pool that goes elsewhere takes no Authorization along");
  seals("[queue q]\ntitle = ********\n", -EINVAL,
        "[queue q] title: ******** stands for a secret, and this is none\n",
        "a mask where no secret is");
  seals("[queue new]\npassword = ********\n", -EINVAL,
        "[queue new] password: ******** stands for the value that is kept, and none is; write the "
        "value\n",
        "a mask that stands for nothing");
  seals("[storage main]\naddress = 10.0.0.1:6379\npassword = enc:" KEY_A ":20/abcd\n", -EINVAL,
        "[storage main] password: an encrypted text that is not the one that is kept; write the "
        "secret\n",
        "a sealed text of somewhere else");
}

static void test_no_key(void) {
  struct shared_sections *s = sound("[queue q]\npassword = queue-pw\n");
  is_int(shared_seal(s, NULL, &types, NULL, NULL), 0, "hashes need no key");
  shared_free(s);
  s = sound("[storage s]\npassword = x\n");
  is_int(shared_seal(s, NULL, &types, NULL, NULL), -ENOKEY, "sealing does");
  shared_free(s);
}

static void test_reseal(void) {
  const struct sealer to = {.seal = seal, .open = unseal, .arg = (void *)(uintptr_t)KEY_B};
  struct shared_sections *s = sound("[storage main]\naddress = a:1\npassword = redis-pw\n");
  if (seal_text(s, NULL)) bail_out("%s", said);
  is_int(shared_reseal(s, &sealer, &to, NULL), 0, "another key");
  prints(s, "[storage main]\naddress = a:1\npassword = enc:" KEY_B ":19/72656469732d7077\n",
         "the same secret under it");
  is_int(shared_reseal(s, &sealer, &to, NULL), -EBADMSG, "the old key opens nothing any more");
  shared_free(s);
  ok(shared_is_sealed("enc:" KEY_A ":QUJD=") && !shared_is_sealed("enc:" KEY_A ":") &&
         !shared_is_sealed("enc:xx:QUJD") && !shared_is_sealed("enc:" KEY_A ":QU JD") &&
         !shared_is_sealed("enc:"),
     "the form of a sealed text");
  ok(!strncmp(shared_sealed_key("enc:" KEY_A ":QUJD"), KEY_A, 16), "and where its key's id is");
}

int main(void) {
  test_form();
  test_bad_form();
  test_edit();
  test_users();
  test_compare();
  test_systems();
  test_entry();
  test_mask();
  test_seal();
  test_places();
  test_address();
  test_no_key();
  test_reseal();
  return done_testing();
}
