/* Owns how a change becomes a revision: read, judged, sealed, checked, compared and set. One change
 * at a time on a node; two nodes meet in the storage, where one of them conflicts.
 *
 * Must never happen: a revision that its author may not make, or that cannot be read again; a
 * change over somebody else's; a secret in clear in what is stored or answered.
 */
#include "base/log.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "control/await.h"
#include "control/private.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 32     /* changes that wait on this node */
#define AGAIN_MS    250    /* after a lost answer, ... */
#define TRIES_MAX   60     /* ... so often */
#define FORGET_MAX  500    /* differences that are freed at once */
#define WAIT_MS     20     /* for a revision that is on its way to this node, ... */
#define WAITS_MAX   250    /* ... so often */
#define TEXT_NAME   "text" /* what faults of the given text are told of */

enum change_kind { CHANGE_APPLY, CHANGE_IMPORT, CHANGE_ROLLBACK, CHANGE_RESTORE };

struct change {
  struct change *next;
  struct control *c;
  enum change_kind kind;
  /* as given */
  char *text, *by, *from, *comment, *node; /* node: whose revision is restored; "": our own */
  size_t len;
  uint64_t base, number; /* number: of the revision to go back to */
  bool with_users, dry;
  struct seal own; /* see change_seal() */
  int (*judge)(void *arg, const struct shared_changes *changes, struct pb_err *err);
  void *judge_arg;
  control_result_fn fn;
  void *arg;
  /* what was made of it */
  struct control_text *top;   /* the newest revision here: what is changed; NULL: there is none */
  struct control_text *draft; /* sealed */
  struct shared_changes *changes, *theirs;
  struct shared_changes *judged; /* any secret that was given is a change, also the same one */
  json_t *changes_json, *judged_json, *theirs_json; /* 10,000 rows take their time, too */
  bool passed; /* so `changes` may be shown: who may not change a secret ... */
               /* ... does not learn from them whether it is the kept one */
  char *lines; /* what is wrong, or warnings */
  size_t lines_len;
  char *sealed; /* the text to be stored */
  size_t sealed_len;
  char *placed; /* the same, each line where it was given: to be checked */
  size_t placed_len;
  char *data; /* the revision */
  size_t data_len;
  char hash[REVISION_HASH_SIZE];
  uint64_t becomes; /* its number */
  unsigned tries, waits;
  uint64_t head; /* of the storage, at a conflict */
  char *base_text, *head_text;
  /* the thread */
  pthread_t thread;
  bool threaded;
  int rc;
  struct timer again;
  struct deferred begin;
};

static char *copy_of(const char *text) {
  char *to = strdup(text ? text : "");
  if (!to) out_of_memory();
  return to;
}

/* A check must not make the cluster's key. Where there is none yet, the check seals with a key of
 * its own, which goes with it. NULL: there is no key. */
static const struct seal *change_seal(struct change *x) {
  unsigned char key[SEAL_KEY_LEN];
  if (!x->dry || x->c->key.state != KEY_NONE) return control_seal(x->c);
  if (!*x->own.id && (secret_random(key, sizeof key) || seal_init(&x->own, key))) return NULL;
  explicit_bzero(key, sizeof key);
  return &x->own;
}

/* --- its thread: what takes longer than a turn of the loop may --- */

static void change_thread(struct change *x, void *(*fn)(void *arg)) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  x->threaded = !pthread_create(&x->thread, NULL, fn, x);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!x->threaded) fn(x);
}

static void change_join(struct change *x) {
  if (x->threaded) pthread_join(x->thread, NULL);
  x->threaded = false;
}

/* --- the end --- */

static void differences_free(struct change *x) {
  shared_changes_free(x->changes);
  shared_changes_free(x->theirs);
  shared_changes_free(x->judged);
  json_decref(x->changes_json);
  json_decref(x->judged_json);
  json_decref(x->theirs_json);
}

static void on_forgotten(void *arg) {
  struct change *x = arg;
  struct change **at = &x->c->changes.ended;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  change_join(x);
  free(x);
}

static void *forget(void *arg) {
  struct change *x = arg;
  differences_free(x);
  loop_post(x->c->loop, on_forgotten, x);
  return NULL;
}

/* It is in no list any more. */
static void change_free(struct change *x) {
  timer_done(&x->again);
  deferred_cancel(x->c->loop, &x->begin);
  control_text_unref(x->top);
  control_text_unref(x->draft);
  if (x->text) explicit_bzero(x->text, x->len);
  free(x->text);
  free(x->by);
  free(x->node);
  free(x->from);
  free(x->comment);
  seal_done(&x->own);
  free(x->lines);
  free(x->sealed);
  free(x->placed);
  free(x->base_text);
  free(x->head_text);
  free(x->data);
  if (x->judged && shared_changes_n(x->judged) > FORGET_MAX && !x->c->stopped) {
    x->next = x->c->changes.ended;
    x->c->changes.ended = x;
    change_thread(x, forget);
  } else {
    differences_free(x);
    free(x);
  }
}

static void change_begin(void *arg);

json_t *control_changes_json(const struct shared_changes *changes) {
  json_t *list = json_array();
  for (size_t i = 0; i < shared_changes_n(changes); i++) {
    const struct shared_change *s = shared_changes_at(changes, i);
    json_t *keys = json_array();
    for (size_t k = 0; k < s->n_keys; k++) json_array_append_new(keys, json_string(s->keys[k]));
    json_array_append_new(list, json_pack("{ss ss ss so}", "kind", s->kind, "name", s->name, "what",
                                          shared_what_names[s->what], "keys", keys));
  }
  return list;
}

static void change_tell(struct change *x, int status, uint64_t number, const char *why) {
  struct control_result r = {.status = status,
                             .number = number,
                             .why = why ? why : "",
                             .changes = x->passed ? x->changes_json : x->judged_json,
                             .theirs = x->theirs_json};
  x->fn(x->arg, &r);
  change_free(x);
}

/* The next one begins. */
static void change_leave(struct change *x) {
  struct control *c = x->c;
  c->changes.first = x->next;
  if (!c->changes.first) c->changes.end = &c->changes.first;
  c->changes.n--;
  if (c->changes.first)
    loop_defer(c->loop, &c->changes.first->begin, change_begin, c->changes.first);
}

static void change_end(struct change *x, int status, uint64_t number, const char *why) {
  change_leave(x);
  change_tell(x, status, number, why);
}

static void change_unavailable(struct change *x, const char *why) {
  change_end(x, 503, 0, why);
}

/* --- a conflict: what the others did meanwhile --- */

static struct shared_sections *sections_of(const char *text) {
  struct shared_sections *s = NULL;
  if (!text) return NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  if (shared_read(TEXT_NAME, text, strlen(text), &s, errors)) s = NULL;
  fclose(errors);
  free(lines);
  return s;
}

static void on_compared(void *arg) {
  struct change *x = arg;
  char why[128];
  change_join(x);
  snprintf(why, sizeof why,
           "the shared configuration is at revision %" PRIu64 " now, not at %" PRIu64
           "; nothing was changed\n",
           x->head, x->base);
  change_end(x, 409, x->head, why);
}

/* On the thread. What cannot be read any more is left out. */
static void *compare(void *arg) {
  struct change *x = arg;
  struct shared_sections *base = sections_of(x->base_text);
  struct shared_sections *head = base ? sections_of(x->head_text) : NULL;
  struct shared_sections *mine = base && !x->judged ? sections_of(x->text) : NULL;
  if (head) x->theirs = shared_compare(base, head);
  if (mine) x->judged = shared_compare(base, mine);
  if (head) x->theirs_json = control_changes_json(x->theirs);
  if (mine) x->judged_json = control_changes_json(x->judged);
  shared_free(base);
  shared_free(head);
  shared_free(mine);
  loop_post(x->c->loop, on_compared, x);
  return NULL;
}

/* The sections of a revision that is the cluster's; NULL: it is not, or not there. */
static char *revision_sections(struct change *x, const struct store_revision *r, uint64_t number) {
  struct pb_err err = {.text = ""};
  struct revision rev = {.doc = NULL};
  const struct seal *seal = control_seal(x->c);
  char *text = NULL;
  if (r && seal && !revision_read(r->data, r->len, &rev, &err) && rev.number == number &&
      !revision_verify(&rev, seal, x->c->settings->cluster.name))
    text = copy_of(rev.text);
  revision_done(&rev);
  return text;
}

static void on_head(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct change *x = arg;
  (void)why;
  if (!rc && x->head) x->head_text = revision_sections(x, r, x->head);
  change_thread(x, compare);
}

static void head_get(struct change *x) {
  struct store *s = control_store(x->c);
  if (!x->head) x->head_text = copy_of("");
  if (s && x->head && x->base_text)
    store_revision_get(s, x->head, on_head, x);
  else
    change_thread(x, compare);
}

static void on_base(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct change *x = arg;
  (void)why;
  if (!rc) x->base_text = revision_sections(x, r, x->base);
  head_get(x);
}

static void change_conflict(struct change *x, uint64_t head) {
  struct store *s = control_store(x->c);
  x->head = head;
  follow_look(&x->c->follow);
  if (!x->base) x->base_text = copy_of("");
  if (s && x->base)
    store_revision_get(s, x->base, on_base, x);
  else
    head_get(x);
}

/* --- made --- */

static void on_running(void *arg, bool there) {
  struct change *x = arg;
  char *why = NULL;
  if (there) {
    change_tell(x, 200, x->becomes, x->lines);
    return;
  }
  if (asprintf(&why,
               "%srevision %" PRIu64 " is made, but this node does not run it yet; `pepperbusctl "
               "cluster status` says what each node runs\n",
               x->lines ? x->lines : "", x->becomes) < 0)
    out_of_memory();
  change_tell(x, 200, x->becomes, why);
  free(why);
}

/* Who is told that it is made may ask this node next: it is told once this node runs it. */
static void change_made(struct change *x, uint64_t number) {
  struct control *c = x->c;
  log_info(c->log, "cluster", "%s made revision %" PRIu64 " of the shared configuration%s%s", x->by,
           number, *x->comment ? ": " : "", x->comment);
  x->becomes = number;
  follow_look(&c->follow);
  change_leave(x);
  await_running(c, number, on_running, x);
}

/* --- writing --- */

static void on_again(void *arg);

static void on_written(void *arg, enum store_rc rc, bool conflict, uint64_t number,
                       const char *hash, const char *why) {
  struct change *x = arg;
  struct control *c = x->c;
  (void)hash;
  if (!rc && conflict) {
    change_conflict(x, number);
  } else if (!rc) {
    change_made(x, number);
  } else if ((rc == STORE_UNKNOWN || x->tries > 1) && x->tries < TRIES_MAX && !c->stopped) {
    timer_start(&x->again, AGAIN_MS); /* asking again is safe: it is known by its hash */
  } else if (rc == STORE_UNKNOWN || x->tries > 1) {
    change_unavailable(x, "the answer of the storage was lost; look whether the newest revision is "
                          "yours before you try again\n");
  } else {
    change_unavailable(x, why);
  }
}

static void change_write(struct change *x) {
  struct store *s = control_store(x->c);
  x->tries++;
  if (!s && (x->tries == 1 || x->tries >= TRIES_MAX || x->c->stopped))
    on_written(x, x->tries == 1 ? STORE_UNAVAILABLE : STORE_UNKNOWN, false, 0, "",
               control_why(x->c));
  else if (!s)
    timer_start(&x->again, AGAIN_MS);
  else if (x->kind == CHANGE_RESTORE)
    store_revision_restore(s, x->becomes, x->hash, x->data, x->data_len, on_written, x);
  else
    store_revision_add(s, x->base, x->top ? x->top->hash : "", x->hash, x->data, x->data_len,
                       on_written, x);
}

static void on_again(void *arg) {
  struct change *x = arg;
  if (x->tries)
    change_write(x);
  else
    change_begin(x);
}

/* The revision of `text`; false: answered. */
static bool change_pack(struct change *x, const char *text) {
  struct control *c = x->c;
  struct store *s = control_store(c);
  const struct seal *seal = control_seal(c);
  uint64_t top = x->top ? x->top->rev.number : 0;
  bool restore = x->kind == CHANGE_RESTORE;
  x->becomes = (restore && c->follow.head > top ? c->follow.head : top) + 1;
  struct revision r = {.number = x->becomes,
                       .at_ms = s && store_clock_ms(s) ? store_clock_ms(s) : loop_wall_ms(c->loop),
                       .restored = restore  ? x->becomes
                                   : x->top ? x->top->rev.restored
                                            : 0,
                       .base_hash = x->top ? x->top->hash : "",
                       .cluster = c->settings->cluster.name,
                       .by = x->by,
                       .from = x->from,
                       .comment = x->comment,
                       .text = text};
  if (!s || !seal) {
    change_unavailable(x, control_why(c));
    return false;
  }
  x->data = revision_write(&r, seal, &x->data_len);
  if (x->data && !seal_digest(x->data, x->data_len, x->hash)) return true;
  change_end(x, 400, 0,
             "the text is larger than 4 MB, or it, the author's name or the comment is not UTF-8, "
             "or longer than 1,024 bytes\n");
  return false;
}

/* --- checking --- */

static void on_checked(void *arg, int rc, const char *lines) {
  struct change *x = arg;
  if (rc == -ESHUTDOWN || x->c->stopped) {
    change_unavailable(x, lines);
  } else if (rc) {
    change_end(x, 400, 0, lines);
  } else if (x->dry) {
    change_end(x, 200, x->base, lines);
  } else {
    free(x->lines);
    x->lines = strdup(lines);
    if (change_pack(x, x->sealed)) change_write(x);
  }
}

static void on_clashes(void *arg, enum store_rc rc, const char *lines) {
  struct change *x = arg;
  struct control *c = x->c;
  if (rc) {
    change_unavailable(x, lines);
  } else if (*lines) {
    change_end(x, 400, 0, lines);
  } else if (c->stopped) {
    change_unavailable(x, "the broker is stopping; nothing was changed\n");
  } else {
    control_text_unref(x->draft);
    x->draft =
        control_text_draft(x->placed, x->placed_len, change_seal(x), c->settings->cluster.name);
    c->ev.check(c->ev.arg, x->draft, on_checked, x);
  }
}

/* --- judging --- */

static void change_passed(struct change *x) {
  if (!shared_changes_n(x->changes)) {
    change_end(x, 200, x->base, "");
  } else if (!control_store(x->c)) {
    change_unavailable(x, control_why(x->c));
  } else {
    report_clashes(x->c, x->changes, on_clashes, x);
  }
}

static void on_prepared(void *arg) {
  struct change *x = arg;
  struct pb_err err = {.text = ""};
  change_join(x);
  if (x->c->stopped) {
    change_unavailable(x, "the broker is stopping; nothing was changed\n");
  } else if (x->rc == -EINVAL || x->rc == -EPERM) {
    change_end(x, x->rc == -EPERM ? 422 : 400, 0, x->lines);
  } else if (x->rc) {
    change_unavailable(x, x->lines && *x->lines ? x->lines : strerror(-x->rc));
  } else if (x->judge && x->judge(x->judge_arg, x->judged, &err)) {
    change_end(x, 403, 0, err.text);
  } else {
    x->passed = true;
    change_passed(x);
  }
}

/* --- on the thread --- */

static int sections_prepare(struct change *x, struct shared_sections *to,
                            const struct shared_sections *base, FILE *errors) {
  struct sealer sealer = control_text_sealer(x->draft);
  bool users = x->with_users || x->kind == CHANGE_APPLY;
  if (!users) shared_keep_users(to, base);
  x->judged = shared_compare(base, to);
  /* What a rollback has was sealed once. */
  int rc = x->kind == CHANGE_ROLLBACK ? 0 : shared_seal(to, base, x->c->types, &sealer, errors);
  x->changes = shared_compare(base, to);
  x->judged_json = control_changes_json(x->judged);
  x->changes_json = control_changes_json(x->changes);
  return rc;
}

/* Reads, compares and seals: yescrypt takes its time, and so do 10,000 topics. */
static void *prepare(void *arg) {
  struct change *x = arg;
  struct shared_sections *to = NULL, *base = NULL;
  const char *base_text = x->top ? x->top->rev.text : "";
  FILE *errors = open_memstream(&x->lines, &x->lines_len);
  if (!errors) out_of_memory();
  x->rc = shared_read(TEXT_NAME, x->text, x->len, &to, errors);
  if (!x->rc) x->rc = shared_read("base", base_text, strlen(base_text), &base, errors);
  if (!x->rc) x->rc = sections_prepare(x, to, base, errors);
  if (!x->rc) x->sealed = shared_print(to, &x->sealed_len);
  if (!x->rc) x->placed = shared_print_in_place(to, &x->placed_len);
  shared_free(to);
  shared_free(base);
  fclose(errors);
  loop_post(x->c->loop, on_prepared, x);
  return NULL;
}

static void change_prepare(struct change *x) {
  /* The sealer's key; the sections come later. */
  x->draft = control_text_draft("", 0, change_seal(x), x->c->settings->cluster.name);
  change_thread(x, prepare);
}

/* --- what it begins with --- */

static void on_older(void *arg, enum store_rc rc, const struct store_revision *r, const char *why) {
  struct change *x = arg;
  struct control *c = x->c;
  struct pb_err err = {.text = ""};
  struct revision rev = {.doc = NULL};
  const struct seal *seal = control_seal(c);
  if (rc || !seal) {
    change_unavailable(x, rc ? why : control_why(c));
  } else if (!r) {
    change_end(x, 404, 0, "the storage has no revision of this number (any more)\n");
  } else if (revision_read(r->data, r->len, &rev, &err) || rev.number != x->number ||
             revision_verify(&rev, seal, c->settings->cluster.name)) {
    change_end(x, 409, 0, "this revision was not written with the cluster's key\n");
  } else if (x->kind == CHANGE_RESTORE) {
    if (change_pack(x, rev.text)) change_write(x);
  } else {
    x->text = strdup(rev.text);
    if (!x->text) out_of_memory();
    x->len = strlen(x->text);
    change_prepare(x);
  }
  revision_done(&rev);
}

/* The revision of another node; what this node has stays where it is the newer one. */
static void on_copy(void *arg, int status, json_t *reply, const char *why) {
  struct change *x = arg;
  struct control *c = x->c;
  const char *data = json_string_value(json_object_get(reply, "revision"));
  const struct seal *seal = control_seal(c);
  struct pb_err err = {.text = ""};
  if (status != 200 || !seal) {
    change_end(x, status == 504 ? 504 : 503, 0, status == 200 ? control_why(c) : why);
    return;
  }
  struct control_text *t =
      data ? control_text_new(data, strlen(data), seal, c->settings->cluster.name, &err) : NULL;
  if (!t || revision_verify(&t->rev, seal, c->settings->cluster.name)) {
    change_end(x, 404, 0, "that node has no revision that could be restored\n");
  } else {
    uint64_t own = x->top ? x->top->rev.number : 0;
    if (t->rev.number >= own) {
      control_text_unref(x->top);
      x->top = control_text_ref(t);
    }
    if (change_pack(x, t->rev.text)) change_write(x);
  }
  control_text_unref(t);
}

static void copy_ask(struct change *x) {
  json_t *body = json_object();
  letters_send(&x->c->letters, x->node, LETTER_COPY, x->by, body, on_copy, x);
  json_decref(body);
}

static void on_key(void *arg, int rc) {
  struct change *x = arg;
  struct store *s = control_store(x->c);
  if (rc || !s) {
    change_unavailable(x, rc ? x->c->key.why : control_why(x->c));
  } else if (x->number) {
    store_revision_get(s, x->number, on_older, x);
  } else if (x->kind != CHANGE_RESTORE) {
    change_prepare(x);
  } else if (*x->node) {
    copy_ask(x);
  } else if (!x->top) {
    change_end(x, 404, 0, "this node has no revision that could be restored\n");
  } else if (change_pack(x, x->top->rev.text)) {
    change_write(x);
  }
}

/* A revision that was just made is on its way here; the change may be based on it. */
static bool change_waits(struct change *x) {
  const struct follow *f = &x->c->follow;
  const struct control_text *top = follow_top(f);
  uint64_t number = top ? top->rev.number : 0;
  if (x->kind == CHANGE_RESTORE || f->state == FOLLOW_LOST || x->c->stopped) return false;
  if (f->state == FOLLOW_CURRENT && f->head == number && x->base <= number) return false;
  if (++x->waits > WAITS_MAX) return false;
  follow_look(&x->c->follow);
  timer_start(&x->again, WAIT_MS);
  return true;
}

static void change_begin(void *arg) {
  struct change *x = arg;
  struct control *c = x->c;
  bool restore = x->kind == CHANGE_RESTORE;
  enum control_state state = control_state(c);
  if (state == CONTROL_READY && change_waits(x)) return;
  struct control_text *top = follow_top(&c->follow);
  x->top = control_text_ref(top);
  if (c->stopped) {
    change_unavailable(x, "the broker is stopping; nothing was changed\n");
  } else if (state == CONTROL_LOST && !restore) {
    change_end(x, 409, c->follow.head, c->why);
  } else if (state != CONTROL_LOST && state != CONTROL_READY) {
    change_unavailable(x, c->why);
  } else if (restore && state != CONTROL_LOST) {
    change_end(x, 409, c->follow.head, "nothing was lost; there is nothing to restore\n");
  } else if (!restore && c->follow.state != FOLLOW_CURRENT) {
    change_unavailable(x, "this node does not have the newest revision yet; try again\n");
  } else if (!restore && x->base != (top ? top->rev.number : 0)) {
    change_conflict(x, top ? top->rev.number : 0);
  } else if (x->dry && c->key.state == KEY_NONE) {
    change_prepare(x);
  } else {
    key_need(&c->key, control_store(c), on_key, x);
  }
}

/* --- asking --- */

static void change_new(struct control *c, enum change_kind kind, uint64_t number, const char *node,
                       const struct control_change *given, control_result_fn fn, void *arg) {
  struct change *x = calloc(1, sizeof *x);
  if (!x) out_of_memory();
  *x = (struct change){.c = c,
                       .kind = kind,
                       .number = number,
                       .base = given->base,
                       .by = copy_of(given->by),
                       .node = copy_of(node),
                       .from = copy_of(given->from),
                       .comment = copy_of(given->comment),
                       .with_users = given->with_users,
                       .dry = given->dry,
                       .judge = given->judge,
                       .judge_arg = given->judge_arg,
                       .fn = fn,
                       .arg = arg};
  timer_init(&x->again, c->loop, on_again, x);
  if (given->text && kind != CHANGE_ROLLBACK && kind != CHANGE_RESTORE) {
    x->text = malloc(given->len + 1);
    if (!x->text) out_of_memory();
    memcpy(x->text, given->text, given->len);
    x->text[given->len] = 0;
    x->len = given->len;
  }
  bool first = !c->changes.first;
  *c->changes.end = x;
  c->changes.end = &x->next;
  c->changes.n++;
  if (first) loop_defer(c->loop, &x->begin, change_begin, x);
}

void control_change(struct control *c, const struct control_change *change, control_result_fn fn,
                    void *arg) {
  change_new(c, CHANGE_APPLY, 0, "", change, fn, arg);
}

void control_import(struct control *c, const struct control_change *change, control_result_fn fn,
                    void *arg) {
  change_new(c, CHANGE_IMPORT, 0, "", change, fn, arg);
}

void control_rollback(struct control *c, uint64_t number, const struct control_change *change,
                      control_result_fn fn, void *arg) {
  change_new(c, CHANGE_ROLLBACK, number, "", change, fn, arg);
}

void control_restore(struct control *c, uint64_t number, const char *node,
                     const struct control_change *change, control_result_fn fn, void *arg) {
  bool own = node && !strcmp(node, c->settings->server.node);
  change_new(c, CHANGE_RESTORE, number, own ? "" : node, change, fn, arg);
}

bool control_is_busy(const struct control *c) {
  return c->changes.n >= WAITING_MAX;
}

void changes_init(struct control *c) {
  c->changes = (struct changes){.end = &c->changes.first};
}

/* The loop runs no more: each one that waits gets its answer. */
void changes_free(struct control *c) {
  while (c->changes.first) {
    struct change *x = c->changes.first;
    change_join(x);
    change_unavailable(x, "the broker stopped meanwhile\n");
  }
  while (c->changes.ended) on_forgotten(c->changes.ended);
}
