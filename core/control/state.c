/* Owns the state of the control plane for people: where it lives, and what keeps it from working.
 */
#include "config/settings.h"
#include "control/private.h"
#include "registry/registry.h"

#include <stdio.h>
#include <string.h>

const char *const control_state_names[] = {"none", "away", "ready", "lost", "no_key", "wrong_key"};

/* The one of that name that can be used, or is about to be. */
static struct store *store_named(struct control *c, const char *name) {
  size_t n;
  struct store *found = NULL, *const *stores = registry_stores(c->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(store_name(stores[i]), name) && (!found || store_state(stores[i]) == STORE_READY))
      found = stores[i];
  return found;
}

struct store *control_store(struct control *c) {
  const struct storage_settings *set = c->settings->cluster.storage;
  struct store *s = set && !c->stopped ? store_named(c, set->name) : NULL;
  return s && store_state(s) == STORE_READY ? s : NULL;
}

const struct seal *control_seal(struct control *c) {
  return key_seal(&c->key);
}

static enum control_state say(struct control *c, enum control_state state, const char *why) {
  snprintf(c->why, sizeof c->why, "%s", why);
  return state;
}

enum control_state control_state(struct control *c) {
  const struct storage_settings *set = c->settings->cluster.storage;
  if (!set)
    return say(c, CONTROL_NONE,
               "no storage keeps the shared configuration; name one with [cluster] storage");
  struct store *s = store_named(c, set->name);
  if (!s || store_state(s) != STORE_READY) {
    say(c, CONTROL_AWAY, "");
    snprintf(c->why, sizeof c->why, "storage %.128s cannot be reached%s%.100s", set->name,
             s && *store_why(s) ? ": " : "", s ? store_why(s) : "");
    return CONTROL_AWAY;
  }
  if (c->key.state == KEY_WRONG) return say(c, CONTROL_WRONG_KEY, c->key.why);
  if (c->key.state == KEY_MISSING || c->key.state == KEY_UNSAFE)
    return say(c, CONTROL_NO_KEY, c->key.why);
  if (c->follow.state == FOLLOW_LOST) return say(c, CONTROL_LOST, c->follow.why);
  return say(c, CONTROL_READY, c->follow.why);
}

const char *control_why(struct control *c) {
  (void)control_state(c);
  return c->why;
}

void control_status(struct control *c, struct control_status *ret) {
  const struct follow *f = &c->follow;
  const struct storage_settings *set = c->settings->cluster.storage;
  *ret = (struct control_status){.state = control_state(c),
                                 .why = c->why,
                                 .storage = set ? set->name : "",
                                 .cluster = c->settings->cluster.name,
                                 .head = f->head,
                                 .hash = f->head_hash,
                                 .runs = f->good ? f->good->rev.number : 0,
                                 .refused = f->refused && f->next ? f->next->rev.number : 0,
                                 .refused_why = f->refused_why ? f->refused_why : "",
                                 .key_id = c->key.has ? c->key.seal.id : "",
                                 .key_state = key_state_names[c->key.state],
                                 .key_why = c->key.why,
                                 .forged = f->forged + c->letters.ignored};
}

const struct revision *control_revision(struct control *c) {
  struct control_text *t = follow_top(&c->follow);
  return t ? &t->rev : NULL;
}

const char *control_sections(struct control *c, uint64_t *ret_number) {
  const struct revision *r = control_revision(c);
  *ret_number = r ? r->number : 0;
  return r ? r->text : "";
}
