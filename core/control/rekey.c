/* Owns how the cluster gets another key: see rekey.h.
 *
 * The new key is first kept beside the key file, as FILE.next. Then the storage says that it is the
 * cluster's, the newest revision is written with it, and last the file takes its name. Between any
 * two steps the secrets can be opened by one of the two files, and the next try goes on.
 *
 * Must never happen: a key that secrets are sealed with is lost; a secret in clear outside of this
 * process.
 */
#include "control/rekey.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "control/key_file.h"
#include "control/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES_MAX 10 /* others who make a revision meanwhile */

struct rekey {
  struct control *c;
  bool reset;
  char *by, *from;
  rekey_fn fn;
  void *arg;
  char *path;                      /* FILE.next */
  struct control_text *old, *next; /* hold the keys; old NULL: this node has none */
  struct revision rev;             /* the newest one */
  char head_hash[REVISION_HASH_SIZE];
  uint64_t number; /* that is written with the new key */
  unsigned tries;
  char *text, *lines; /* sealed with the new key; what went wrong */
  size_t lines_len;
  json_t *lost;
  int rc;
  pthread_t thread;
  bool threaded;
  struct deferred begin;
};

/* --- the end --- */

static void rekey_free(struct rekey *x) {
  deferred_cancel(x->c->loop, &x->begin);
  if (x->threaded) pthread_join(x->thread, NULL);
  control_text_unref(x->old);
  control_text_unref(x->next);
  revision_done(&x->rev);
  json_decref(x->lost);
  free(x->by);
  free(x->from);
  free(x->path);
  free(x->text);
  free(x->lines);
  free(x);
}

static void rekey_tell(struct rekey *x, int status, const char *why) {
  struct control *c = x->c;
  struct rekey_result r = {.status = status,
                           .why = why ? why : "",
                           .number = x->number,
                           .id = x->next ? x->next->seal.id : "",
                           .key_file = c->key.path,
                           .lost = x->lost};
  c->rekey = NULL;
  x->fn(x->arg, &r);
  rekey_free(x);
}

void rekey_end(struct control *c) {
  if (c->rekey) rekey_tell(c->rekey, 503, "the broker stopped meanwhile\n");
}

/* The new file takes the name of the old one. */
static void rekey_finish(struct rekey *x) {
  struct control *c = x->c;
  char why[640];
  int rc = rename(x->path, c->key.path) ? -errno : 0;
  char *slash = strrchr(x->path, '/');
  if (slash) *slash = 0;
  int fd = open(slash && *x->path ? x->path : "/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  if (slash) *slash = '/';
  if (fd >= 0) {
    (void)fsync(fd);
    close(fd);
  }
  if (rc) {
    snprintf(why, sizeof why, "%.300s cannot become %.200s: %s\n", x->path, c->key.path,
             strerror(-rc));
    rekey_tell(x, 503, why);
    return;
  }
  log_info(c->log, "cluster", "%s %s the cluster's key: it is %s now", x->by,
           x->reset ? "reset" : "rotated", x->next->seal.id);
  key_replaced(&c->key, x->next->seal.id);
  follow_look(&c->follow);
  rekey_tell(x, 200, "");
}

/* --- writing --- */

static void rekey_look(struct rekey *x);

static void on_added(void *arg, enum store_rc rc, bool conflict, uint64_t number, const char *hash,
                     const char *why) {
  struct rekey *x = arg;
  (void)hash;
  if (rc) {
    rekey_tell(x, 503, why);
  } else if (conflict) {
    rekey_look(x);
  } else {
    x->number = number;
    rekey_finish(x);
  }
}

static void revision_make(struct rekey *x) {
  struct control *c = x->c;
  struct store *s = control_store(c);
  char hash[REVISION_HASH_SIZE];
  size_t len;
  struct revision r = {.number = x->rev.number + 1,
                       .at_ms = s && store_clock_ms(s) ? store_clock_ms(s) : loop_wall_ms(c->loop),
                       .restored = x->rev.restored,
                       .base_hash = x->head_hash,
                       .cluster = c->settings->cluster.name,
                       .by = x->by,
                       .from = x->from,
                       .comment = x->reset ? "the cluster's key was reset"
                                           : "the cluster's key was rotated",
                       .text = x->text};
  char *data = s ? revision_write(&r, &x->next->seal, &len) : NULL;
  if (data && !seal_digest(data, len, hash))
    store_revision_add(s, x->rev.number, x->head_hash, hash, data, len, on_added, x);
  else
    rekey_tell(x, 503, s ? "the revision cannot be written\n" : control_why(c));
  free(data);
}

static void on_said(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct rekey *x = arg;
  (void)count;
  if (rc)
    rekey_tell(x, 503, why);
  else if (x->text)
    revision_make(x);
  else
    rekey_finish(x);
}

/* From here on the other nodes ask for the new file. */
static void key_say(struct rekey *x) {
  struct store *s = control_store(x->c);
  if (s)
    key_say_id(s, x->next->seal.id, on_said, x);
  else
    rekey_tell(x, 503, control_why(x->c));
}

/* --- the text with its secrets, on a thread --- */

static void on_sealed(void *arg) {
  struct rekey *x = arg;
  if (x->threaded) pthread_join(x->thread, NULL);
  x->threaded = false;
  if (x->rc)
    rekey_tell(x, 409, x->lines);
  else
    key_say(x);
}

/* Takes every sealed value out of a section, and notes which ones those were. */
static int section_open(struct rekey *x, struct shared_sections *to, const struct shared_section *s,
                        FILE *errors) {
  struct shared_entry *entries = calloc(s->n_entries + 1, sizeof *entries);
  struct shared_section left = *s;
  char line[512];
  if (!entries) out_of_memory();
  left.entries = entries;
  left.n_entries = 0;
  for (size_t i = 0; i < s->n_entries; i++) {
    if (!shared_is_sealed(s->entries[i].value)) {
      entries[left.n_entries++] = s->entries[i];
      continue;
    }
    snprintf(line, sizeof line, "[%.40s %.128s] %.64s", s->kind, s->name, s->entries[i].key);
    json_array_append_new(x->lost, json_string(line));
  }
  int rc = left.n_entries == s->n_entries ? 0 : shared_put(to, &left, errors);
  free(entries);
  return rc;
}

static int sealed_drop(struct rekey *x, struct shared_sections *to,
                       const struct shared_sections *from, FILE *errors) {
  int rc = 0;
  for (size_t i = 0; i < shared_n(from) && !rc; i++)
    rc = section_open(x, to, shared_at(from, i), errors);
  return rc;
}

static void *seal_again(void *arg) {
  struct rekey *x = arg;
  struct shared_sections *s = NULL, *from;
  struct sealer to = control_text_sealer(x->next);
  FILE *errors = open_memstream(&x->lines, &x->lines_len);
  if (!errors) out_of_memory();
  x->rc = shared_read("text", x->rev.text, strlen(x->rev.text), &s, errors);
  if (!x->rc && x->reset) {
    from = shared_copy(s);
    x->rc = sealed_drop(x, s, from, errors);
    shared_free(from);
  } else if (!x->rc) {
    struct sealer was = control_text_sealer(x->old);
    x->rc = shared_reseal(s, &was, &to, errors);
  }
  if (!x->rc) x->text = shared_print(s, NULL);
  shared_free(s);
  fclose(errors);
  loop_post(x->c->loop, on_sealed, x);
  return NULL;
}

static void seal_begin(struct rekey *x) {
  sigset_t all, before;
  free(x->text);
  free(x->lines);
  x->text = x->lines = NULL;
  json_array_clear(x->lost);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  x->threaded = !pthread_create(&x->thread, NULL, seal_again, x);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!x->threaded) seal_again(x);
}

/* --- the newest revision --- */

static void on_revision(void *arg, enum store_rc rc, const struct store_revision *r,
                        const char *why) {
  struct rekey *x = arg;
  struct pb_err err = {.text = ""};
  const char *cluster = x->c->settings->cluster.name;
  revision_done(&x->rev);
  x->rev = (struct revision){.doc = NULL};
  if (rc || !r) {
    rekey_tell(x, 503, rc ? why : "the storage has no bytes of its newest revision\n");
  } else if (revision_read(r->data, r->len, &x->rev, &err)) {
    rekey_tell(x, 409, err.text);
  } else if (!revision_verify(&x->rev, &x->next->seal, cluster)) {
    x->number = x->rev.number; /* an earlier try has come so far */
    rekey_finish(x);
  } else if (!x->reset && revision_verify(&x->rev, &x->old->seal, cluster)) {
    rekey_tell(x, 409, "the newest revision was not written with the key of this node\n");
  } else {
    snprintf(x->head_hash, sizeof x->head_hash, "%s", r->hash);
    seal_begin(x);
  }
}

static void on_head(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct rekey *x = arg;
  struct store *s = control_store(x->c);
  if (rc || !s)
    rekey_tell(x, 503, rc ? why : control_why(x->c));
  else if (r)
    store_revision_get(s, r->number, on_revision, x);
  else
    key_say(x);
}

static void rekey_look(struct rekey *x) {
  struct store *s = control_store(x->c);
  if (s && x->tries++ < TRIES_MAX)
    store_revision_head(s, on_head, x);
  else
    rekey_tell(x, 503,
               s ? "others change the configuration all the time; try again\n" : control_why(x->c));
}

/* --- asking --- */

/* Reads FILE.next, or makes it. */
static int next_find(struct rekey *x, struct pb_err *err) {
  struct seal seal;
  int rc = key_file_read(x->path, &seal, err);
  if (rc == -ENOENT) rc = key_file_make(x->path, &seal, err);
  if (rc) return rc;
  x->next = control_text_draft("", 0, &seal, x->c->settings->cluster.name);
  seal_done(&seal);
  return 0;
}

static void rekey_begin(void *arg) {
  struct rekey *x = arg;
  struct control *c = x->c;
  struct pb_err err = {.text = ""};
  enum control_state state = control_state(c);
  if (c->stopped || !control_store(c)) {
    rekey_tell(x, 503, c->stopped ? "the broker is stopping\n" : control_why(c));
  } else if (c->key.state == KEY_NONE) {
    rekey_tell(x, 409, "the cluster has no key yet; the first change makes it\n");
  } else if (state == CONTROL_LOST || (!x->reset && !c->key.has)) {
    rekey_tell(x, 409, control_why(c));
  } else if (c->key.state == KEY_UNSAFE) { /* it may be the key: nothing is thrown away */
    rekey_tell(x, 409, c->key.why);
  } else if (x->reset && c->key.state == KEY_OK) {
    rekey_tell(x, 409, "this node has the cluster's key; rotate it, so that no secret is lost\n");
  } else if (next_find(x, &err)) {
    rekey_tell(x, 409, err.text);
  } else if (!x->reset && c->key.state != KEY_OK && strcmp(c->key.wanted, x->next->seal.id)) {
    rekey_tell(x, 409, c->key.why);
  } else {
    if (c->key.has) x->old = control_text_draft("", 0, &c->key.seal, c->settings->cluster.name);
    rekey_look(x);
  }
}

static char *copy_of(const char *text) {
  char *to = strdup(text ? text : "");
  if (!to) out_of_memory();
  return to;
}

void control_rekey(struct control *c, bool reset, const char *by, const char *from, rekey_fn fn,
                   void *arg) {
  struct rekey *x = calloc(1, sizeof *x);
  if (!x) out_of_memory();
  *x = (struct rekey){.c = c,
                      .reset = reset,
                      .by = copy_of(by),
                      .from = copy_of(from),
                      .fn = fn,
                      .arg = arg,
                      .lost = json_array()};
  if (asprintf(&x->path, "%s.next", c->key.path) < 0) out_of_memory();
  c->rekey = x;
  loop_defer(c->loop, &x->begin, rekey_begin, x);
}

bool control_rekeys(const struct control *c) {
  return c->rekey;
}
