/* Owns the assembly of the control plane on this node. See control.h. */
#include "control/control.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/await.h"
#include "control/private.h"
#include "control/rekey.h"
#include "registry/registry.h"

#include <stdlib.h>
#include <string.h>

/* --- what the follower asks --- */

static struct store *on_store(void *arg) {
  return control_store(arg);
}

static const struct seal *on_seal(void *arg) {
  return control_seal(arg);
}

static const char *on_cluster(void *arg) {
  const struct control *c = arg;
  return c->settings->cluster.name;
}

static void on_run(void *arg, struct control_text *t) {
  struct control *c = arg;
  c->ev.run(c->ev.arg, t);
}

static void on_changed(void *arg) {
  await_look(arg);
  report_send(arg);
}

/* The key is another one now: what it kept from running may run. */
static void on_key(void *arg) {
  struct control *c = arg;
  follow_rekey(&c->follow);
  follow_look(&c->follow);
  report_send(c);
}

/* --- what other nodes ask --- */

static json_t *on_letter(void *arg, const struct letter *l) {
  struct control *c = arg;
  const struct control_text *good = c->follow.good;
  if (l->kind == LETTER_COPY)
    return good ? json_pack("{ss#}", "revision", good->data, good->len) : json_object();
  if (c->ev.letter) return c->ev.letter(c->ev.arg, l);
  return json_pack("{ss}", "error", "this node cannot do that");
}

void control_ask(struct control *c, const char *node, enum letter_kind kind, const char *user,
                 const json_t *body, letter_reply_fn fn, void *arg) {
  letters_send(&c->letters, node, kind, user, body, fn, arg);
}

void control_reply(struct control *c, const char *id, json_t *reply) {
  letters_reply(&c->letters, id, reply);
}

/* --- time and news --- */

static void on_tick(void *arg) {
  struct control *c = arg;
  struct store *s = control_store(c);
  timer_start(&c->tick, CONTROL_TICK_MS);
  if (!s) return;
  if (c->key.state != KEY_OK) {
    key_file_look(&c->key, c->settings->cluster.key_file);
    if (c->key.state != KEY_NONE) key_ask(&c->key, s);
  }
  if (c->looks) {
    c->looks--;
    follow_look(&c->follow);
  }
  report_send(c);
}

static void on_key_made(void *arg, int rc) {
  (void)arg;
  (void)rc; /* the log has it */
}

/* Whether this node is to make the cluster's key unasked: other nodes are to be given it, or users
 * log in here. A node that only shares its Redis makes none, for another one may have it. */
static bool key_is_used(const struct settings *set) {
  return set->cluster.place.line || set->n_users || set->ldap.place.line;
}

static void key_begin(struct control *c, struct store *s) {
  if (key_is_used(c->settings))
    key_need(&c->key, s, on_key_made, c);
  else
    key_ask(&c->key, s);
}

void control_need_key(struct control *c, void (*fn)(void *arg, int rc), void *arg) {
  struct store *s = control_store(c);
  if (s)
    key_need(&c->key, s, fn, arg);
  else
    fn(arg, -EAGAIN);
}

void control_news(struct control *c, struct store *s, enum store_shared_event event,
                  const char *id) {
  if (c->stopped || s != control_store(c)) return;
  if (event == STORE_SHARED_LETTER) letters_come(&c->letters);
  if (event == STORE_SHARED_REPLY) letters_replied(&c->letters, id);
  if (event == STORE_SHARED_DRAIN && (!*id || !strcmp(id, c->settings->server.node))) drain_look(c);
  if (event != STORE_SHARED_REVISION) return;
  if (!*id) { /* everything may be new */
    report_again(c);
    c->looks = CONTROL_LOOKS;
    report_send(c);
    key_begin(c, s);
  } else {
    key_ask(&c->key, s); /* before its revision is verified: the key may be another one */
  }
  follow_look(&c->follow);
}

/* --- life --- */

struct control *control_new(struct loop *loop, struct registry *registry,
                            const struct settings_types *types, struct settings *settings,
                            struct control_text *copy, const char *refused,
                            const struct control_events *ev) {
  struct control *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  struct follow_events follow = {.store = on_store,
                                 .seal = on_seal,
                                 .cluster = on_cluster,
                                 .run = on_run,
                                 .changed = on_changed,
                                 .arg = c};
  struct letters_events letters = {
      .store = on_store, .seal = on_seal, .carry = on_letter, .arg = c};
  c->loop = loop;
  c->log = loop_log(loop);
  c->registry = registry;
  c->types = types;
  c->settings = settings_ref(settings);
  c->ev = *ev;
  c->drain.on = control_drain_is_marked(settings->server.state_dir);
  timer_init(&c->tick, loop, on_tick, c);
  changes_init(c);
  works_init(c);
  key_init(&c->key, c->log, settings->cluster.key_file, on_key, c);
  follow_init(&c->follow, loop, c->log, settings->server.state_dir, copy, refused, &follow);
  letters_init(&c->letters, loop, c->log, settings->server.node, &letters);
  timer_start(&c->tick, CONTROL_TICK_MS);
  return c;
}

void control_apply(struct control *c, struct settings *settings) {
  struct settings *was = c->settings;
  c->settings = settings_ref(settings);
  settings_unref(was);
  c->report.names_told = false;
  key_file_look(&c->key, settings->cluster.key_file);
  struct store *s = control_store(c);
  if (s && c->key.state == KEY_NONE) key_begin(c, s);
  follow_look(&c->follow);
  follow_retry(&c->follow);
}

void control_ran(struct control *c, struct control_text *t, int rc, const char *lines) {
  if (!c->stopped) follow_ran(&c->follow, t, rc, lines);
}

struct control_text *control_running(const struct control *c) {
  return c->follow.good;
}

void control_stop(struct control *c) {
  c->stopped = true;
  timer_stop(&c->tick);
}

void control_free(struct control *c) {
  if (!c) return;
  timer_done(&c->tick);
  letters_done(&c->letters);
  rekey_end(c);
  await_end(c); /* gives changes back */
  changes_free(c);
  works_free(c);
  report_done(c);
  key_done(&c->key);
  follow_done(&c->follow);
  settings_unref(c->settings);
  free(c);
}
