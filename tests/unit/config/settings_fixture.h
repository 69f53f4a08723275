/* What the tests of the configuration share: two transports like those of plugins, a sound file to
 * start from, and a rich one; what is said of a text, or of a file.
 */
#ifndef PB_TESTS_SETTINGS_FIXTURE_H
#define PB_TESTS_SETTINGS_FIXTURE_H

#include "config/private.h"
#include "config/settings.h"

#include <errno.h>

#include "tap.h"

/* Two transports like those of plugins. "cgi" needs a pool, "direct" does not. */

struct cgi_pool {
  const char *const *address;
  uint64_t idle_ms;
  int64_t max_connections; /* the core has this key too */
};

struct cgi_topic {
  const char *entry, *token;
  int64_t rounds;
};

struct direct_topic {
  const char *command;
};

static int cgi_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct cgi_pool *pool = pool_conf;
  const struct cgi_topic *topic = topic_conf;
  if (pool && pool->idle_ms == 13) {
    snprintf(err->option, sizeof err->option, "idle");
    snprintf(err->text, sizeof err->text, "13 brings bad luck");
    return -EINVAL;
  }
  if (topic && topic->entry[0] != '/') {
    snprintf(err->option, sizeof err->option, "entry");
    snprintf(err->text, sizeof err->text, "an absolute path is needed");
    return -EINVAL;
  }
  return 0;
}

static const struct pb_option cgi_pool_options[] = {
    {"address", PB_OPT_LIST, PB_OPT_REQUIRED, offsetof(struct cgi_pool, address), 0, 0, NULL, NULL,
     "Where php-fpm listens."},
    {"idle", PB_OPT_DURATION, 0, offsetof(struct cgi_pool, idle_ms), 0, 60000, NULL, "5ms", NULL},
    {"max_connections", PB_OPT_INT, 0, offsetof(struct cgi_pool, max_connections), 0, 0, NULL, "16",
     NULL},
    {0}};
static const struct pb_option cgi_topic_options[] = {
    {"entry", PB_OPT_STRING, PB_OPT_REQUIRED, offsetof(struct cgi_topic, entry), 0, 0, NULL, NULL,
     "The PHP file."},
    {"token", PB_OPT_STRING, PB_OPT_SECRET, offsetof(struct cgi_topic, token), 0, 0, NULL, NULL,
     NULL},
    {"rounds", PB_OPT_INT, PB_OPT_DEPRECATED, offsetof(struct cgi_topic, rounds), 0, 9, NULL, "1",
     "No longer needed; delete it."},
    {0}};
static const struct pb_option direct_topic_options[] = {{"command", PB_OPT_STRING, PB_OPT_REQUIRED,
                                                         offsetof(struct direct_topic, command), 0,
                                                         0, NULL, NULL, "What is run."},
                                                        {0}};

static int cgi_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                           const void *topic_conf, struct pb_err *err) {
  if (!pool_conf || !topic_conf) return 0;
  if (topic->chunk == 79) return -ENOENT; /* and says nothing */
  if (topic->chunk == 78) {
    snprintf(err->option, sizeof err->option, "entry");
    snprintf(err->text, sizeof err->text, "there is no such file");
    return -ENOENT;
  }
  if (topic->chunk != 77) return 0;
  snprintf(err->option, sizeof err->option, "chunk");
  snprintf(err->text, sizeof err->text, "%s/%s and %u go ill together", topic->queue, topic->topic,
           topic->chunk);
  return -EINVAL;
}

static const struct pb_transport cgi = {.option_size = sizeof(struct pb_option),
                                        .run_type = "cgi",
                                        .summary = "php-fpm",
                                        .caps = PB_CAP_CHUNK,
                                        .pool_options = cgi_pool_options,
                                        .pool_conf_size = sizeof(struct cgi_pool),
                                        .topic_options = cgi_topic_options,
                                        .topic_conf_size = sizeof(struct cgi_topic),
                                        .check = cgi_check,
                                        .check_topic = cgi_check_topic};
static const struct pb_transport direct = {.option_size = sizeof(struct pb_option),
                                           .run_type = "direct",
                                           .topic_options = direct_topic_options,
                                           .topic_conf_size = sizeof(struct direct_topic)};
static const struct pb_transport *const both[] = {&cgi, &direct};
static struct settings_types types = {.transports = both, .n = 2};

/* What a test starts from, 16 lines, sound. */
#define BASE                                                                                       \
  "[storage main]\n"                                                                               \
  "address = 127.0.0.1:6379\n"                                                                     \
  "[pool local]\n"                                                                                 \
  "run_type = cgi\n"                                                                               \
  "address = 127.0.0.1:9000\n"                                                                     \
  "[queue msg]\n"                                                                                  \
  "password = secret\n"                                                                            \
  "[topic msg/reply]\n"                                                                            \
  "pool = local\n"                                                                                 \
  "entry = /srv/w.php\n"

static char said[300000];

/* The passwords of these tests are short, and all but one have something else to look at. */
static bool weak_told;
static void take_weak_out(void) {
  char *line = strstr(said, "warning: "), *end;
  for (weak_told = false; line; line = strstr(line, "warning: ")) {
    end = strchr(line, '\n') + 1;
    char *weak = strstr(line, "it is shorter than 12 characters");
    if (weak && weak < end) {
      weak_told = true;
      memmove(line, end, strlen(end) + 1);
    } else {
      line = end;
    }
  }
}

static TAP_UNUSED struct settings *load(const char *text) {
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  int rc = settings_parse("t.ini", text, strlen(text), &types, out, &s);
  fclose(out);
  take_weak_out();
  if ((rc == 0) != (s != NULL)) bail_out("rc %d with a snapshot at %p", rc, (void *)s);
  return s;
}

static TAP_UNUSED struct settings *load_file(const char *path) {
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  settings_load(path, &types, out, &s);
  fclose(out);
  take_weak_out();
  return s;
}

/* Refused, with this line among what is said. */
static TAP_UNUSED void bad(const char *text, const char *line) {
  struct settings *s = load(text);
  ok(!s, "refused: %s", line);
  like(said, line, "and says so");
  settings_unref(s);
}

/* Refused, and nothing but this said. */
static TAP_UNUSED void bad_only(const char *text, const char *lines) {
  struct settings *s = load(text);
  ok(!s, "refused");
  is_str(said, lines, "and only that");
  settings_unref(s);
}

static TAP_UNUSED struct settings *good(const char *text, const char *name) {
  struct settings *s = load(text);
  ok(s != NULL, "%s", name);
  is_str(said, "", "without a word");
  if (!s) bail_out("%s", said);
  return s;
}

static TAP_UNUSED void warns(const char *text, const char *line) {
  struct settings *s = load(text);
  ok(s != NULL, "accepted: %s", line);
  like(said, line, "with a warning");
  settings_unref(s);
}

static TAP_UNUSED bool server_equal(const struct server_settings *a,
                                    const struct server_settings *b) {
  const struct kind *k = kind_get(SERVER);
  return options_equal(k->options, a, b, k->public_size);
}

/* One of everything. */
#define RICH                                                                                       \
  "[server]\nnode = n\nsystems = a\nlisten = h:1, unix:/x\n[system a]\ntitle = \"x ; y\"\n"        \
  "[system b]\n[storage s]\naddress = h:2\nsystem = a\npassword = hush\ndb = 2\n"                  \
  "[storage t]\nmanaged = yes\n[pool p]\nrun_type = cgi\naddress = x, y\nmax_connections = 4\n"    \
  "[queue q]\nsystem = a\npassword = hush\nretain = 36h\n[topic q/own]\nstorage = s\npool = p\n"   \
  "entry = \"/w # x.php\"\npassword = hush2\ntoken = hush3\nbackoff = 1500ms..1m\n"                \
  "[topic q/queues]\nstorage = t\nrun_type = direct\ncommand = \"a \\\" \\\\ b ; c\"\n"            \
  "[queue r]\nsystem = b\npassword = hush\nmax_bytes = 1234567\n[topic r/x]\nstorage = t\n"        \
  "pool = p\nentry = /x\nworkers = 3\nenabled = no\nstart_from = beginning\n"                      \
  "[user u]\nrole = operator\nsystems = a, b\n"                                                    \
  "password = sha256:s:0000000000000000000000000000000000000000000000000000000000000000\n"

#endif
