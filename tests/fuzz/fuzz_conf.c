/* INI text through all of the configuration: lines, values, references, and out again. What was
 * accepted and dumped must be accepted again, and come out the same.
 */
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_pool {
  const char *const *address;
  uint64_t idle_ms;
};

struct fuzz_topic {
  const char *entry, *token;
  int64_t number;
  uint64_t size;
  int flag, choice;
  struct pb_range range;
};

static const struct pb_option pool_options[] = {
    {"address", PB_OPT_LIST, 0, offsetof(struct fuzz_pool, address), 0, 0, NULL, "a:1", NULL},
    {"idle", PB_OPT_DURATION, 0, offsetof(struct fuzz_pool, idle_ms), 0, 60000, NULL, "5ms", NULL},
    {0}};
static const struct pb_option topic_options[] = {
    {"entry", PB_OPT_STRING, 0, offsetof(struct fuzz_topic, entry), 0, 0, NULL, NULL, NULL},
    {"token", PB_OPT_STRING, PB_OPT_SECRET, offsetof(struct fuzz_topic, token), 0, 0, NULL, NULL,
     NULL},
    {"number", PB_OPT_INT, 0, offsetof(struct fuzz_topic, number), -9, 0, NULL, NULL, NULL},
    {"size", PB_OPT_SIZE, 0, offsetof(struct fuzz_topic, size), 0, 0, NULL, NULL, NULL},
    {"flag", PB_OPT_BOOL, 0, offsetof(struct fuzz_topic, flag), 0, 0, NULL, NULL, NULL},
    {"choice", PB_OPT_CHOICE, 0, offsetof(struct fuzz_topic, choice), 0, 0, "a,bb,ccc", NULL, NULL},
    {"range", PB_OPT_RANGE, 0, offsetof(struct fuzz_topic, range), 0, 0, NULL, NULL, NULL},
    {0}};
static const struct pb_transport cgi = {.option_size = sizeof(struct pb_option),
                                        .run_type = "cgi",
                                        .caps = PB_CAP_CHUNK,
                                        .pool_options = pool_options,
                                        .pool_conf_size = sizeof(struct fuzz_pool),
                                        .topic_options = topic_options,
                                        .topic_conf_size = sizeof(struct fuzz_topic)};
static const struct pb_transport *const all[] = {&cgi};
static const struct settings_types types = {.transports = all, .n = 1};

/* Not inlined: gcc 12 then takes the text for the stream's own variable (-Wdangling-pointer). */
__attribute__((noinline)) static char *dump(const struct settings *s) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  if (!f) abort();
  settings_dump(s, f);
  fclose(f);
  return text;
}

/* The user's line says from which file; it is not the point. */
static const char *body(const char *text) {
  return strchr(text, '\n');
}

static void check_round_trip(const struct settings *s, FILE *errors) {
  struct settings *again = NULL;
  char *first = dump(s), *second;
  if (settings_parse("fuzz", first, strlen(first), &types, errors, &again) < 0) {
    fputs(first, stderr);
    settings_parse("fuzz", first, strlen(first), &types, stderr, &again);
    abort();
  }
  second = dump(again);
  if (strcmp(body(first), body(second))) {
    fprintf(stderr, "%s\n---\n%s\n", first, second);
    abort();
  }
  for (size_t i = 0; i < s->n_topics; i++) {
    const struct topic_settings *t = s->topics[i];
    if (settings_topic(s, t->path, strlen(t->path)) != t || !t->queue || !t->storage ||
        !t->transport || !t->conf || !t->pool_conf || !*t->password)
      abort();
  }
  free(first);
  free(second);
  settings_unref(again);
}

static int open_secret(void *arg, const char *kind, const char *name, const char *key,
                       const char *sealed, char **ret) {
  (void)arg, (void)kind, (void)name, (void)key;
  if (strlen(sealed) % 2) return -1;
  *ret = strdup("in clear");
  return 0;
}

/* The same text as a shared configuration: it makes no sound file unsound, takes nothing away from
 * it, and whatever it leaves is whole. */
static void check_shared(const uint8_t *data, size_t size, bool applying) {
  static const char file[] = "[storage main]\naddress = 127.0.0.1:6379\n[queue own]\n"
                             "password = 0123456789ab\n[topic own/t]\nrun_type = pull\n";
  const struct shared_text shared = {.text = (const char *)data,
                                     .len = size,
                                     .number = 1,
                                     .applying = applying,
                                     .open = open_secret};
  struct settings_types both = types;
  struct settings *s = NULL;
  char *said = NULL;
  size_t len = 0;
  FILE *errors = open_memstream(&said, &len);
  if (!errors) abort();
  both.shared = &shared;
  int rc = settings_parse("own.ini", file, sizeof file - 1, &both, errors, &s);
  fclose(errors);
  if (!strncmp(said, "own.ini", 7) || strstr(said, "\nown.ini:")) abort();
  if (rc && !len) abort();
  free(said);
  if (rc) return;
  const struct topic_settings *own = settings_topic(s, "own/t", 5);
  if (!own || own->shared || own->broken || strcmp(own->storage->name, "main")) abort();
  for (size_t i = 0; i < s->n_topics; i++) {
    const struct topic_settings *t = s->topics[i];
    if (!t->queue || !t->storage || !*t->password || (t->storage->broken && !t->broken) ||
        (!t->broken && !t->pulled && (!t->transport || !t->conf || !t->pool_conf)))
      abort();
  }
  settings_unref(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct settings *s = NULL;
  char *said = NULL;
  size_t said_len = 0;
  FILE *errors = open_memstream(&said, &said_len);

  if (!errors) abort();
  if (settings_parse("fuzz", data, size, &types, errors, &s) == 0) {
    check_round_trip(s, errors);
    settings_unref(s);
  } else {
    fflush(errors);
    if (!said_len) abort(); /* refused without a word */
  }
  fclose(errors);
  free(said);
  check_shared(data, size, false);
  check_shared(data, size, true);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
