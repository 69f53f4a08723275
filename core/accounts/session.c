/* Owns sessions: how they begin, what ends them, and what this node remembers of them for the time
 * in which the storage is away.
 *
 * Must never happen: an id of a session in the storage or the log; a session that outlives its
 * user's password, role or section; one that comes back by a late write.
 */
#include "accounts/session.h"

#include "accounts/identity_json.h"
#include "accounts/users.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "event/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ENDED 64 /* digests of sessions that ended lately */

struct known {             /* a session that was found lately */
  TAILQ_ENTRY(known) link; /* the least lately found first */
  struct identity *id;
  uint64_t found_ms; /* monotonic */
};
TAILQ_HEAD(known_list, known);

struct sessions {
  struct vault *vault;
  struct settings *const *settings;
  struct known_list known;
  size_t n_known;
  char ended[ENDED][2 * SEAL_MARK_LEN + 1];
  size_t next_ended;
};

struct sessions *sessions_new(struct vault *v, struct settings *const *settings) {
  struct sessions *s = calloc(1, sizeof *s);
  if (!s) out_of_memory();
  s->vault = v;
  s->settings = settings;
  TAILQ_INIT(&s->known);
  return s;
}

/* --- what is remembered --- */

static void known_free(struct sessions *s, struct known *k) {
  TAILQ_REMOVE(&s->known, k, link);
  s->n_known--;
  identity_unref(k->id);
  free(k);
}

void sessions_free(struct sessions *s) {
  if (!s) return;
  while (!TAILQ_EMPTY(&s->known)) known_free(s, TAILQ_FIRST(&s->known));
  free(s);
}

static struct known *known_find(struct sessions *s, const char *digest) {
  struct known *k;
  TAILQ_FOREACH_REVERSE(k, &s->known, known_list, link)
  if (strcmp(k->id->session, digest) == 0) return k;
  return NULL;
}

static void known_put(struct sessions *s, struct identity *id, const char *print) {
  struct known *k = known_find(s, id->session);
  if (k) known_free(s, k);
  while (s->n_known >= SESSION_CACHE_MAX) known_free(s, TAILQ_FIRST(&s->known));
  k = calloc(1, sizeof *k);
  if (!k) out_of_memory();
  k->id = identity_ref(id);
  k->found_ms = loop_now_ms(s->vault->loop);
  identity_set(&id->print, print);
  TAILQ_INSERT_TAIL(&s->known, k, link);
  s->n_known++;
}

static void known_drop(struct sessions *s, const char *digest) {
  struct known *k = known_find(s, digest);
  if (k) known_free(s, k);
}

void session_ended(struct sessions *s, const char *digest) {
  if (!*digest) {
    while (!TAILQ_EMPTY(&s->known)) known_free(s, TAILQ_FIRST(&s->known));
    return;
  }
  known_drop(s, digest);
  snprintf(s->ended[s->next_ended], sizeof *s->ended, "%s", digest);
  s->next_ended = (s->next_ended + 1) % ENDED;
}

/* --- is it still good? --- */

/* Does what the session stands on still hold? */
static bool print_holds(const struct sessions *s, const char *user, const char *login,
                        const char *print) {
  const struct user_settings *u = users_find(*s->settings, user);
  const struct seal *seal = s->vault->seal(s->vault->arg);
  char now[USERS_PRINT_SIZE];
  if (strcmp(login, "ldap") == 0) return !u && (*s->settings)->ldap.place.line;
  if (strcmp(login, "link") == 0) return true;
  if (strcmp(login, "once") == 0) return !(*s->settings)->n_users;
  return u && seal && !users_print(seal, u, NULL, now) && strcmp(now, print) == 0;
}

bool session_is_ended(const struct sessions *s, const char *digest) {
  for (size_t i = 0; i < ENDED; i++)
    if (*digest && strcmp(s->ended[i], digest) == 0) return true;
  return false;
}

bool session_is_current(const struct sessions *s, const struct identity *id) {
  if (id->how != IDENTITY_SESSION) return true;
  if (session_is_ended(s, id->session) || vault_now_ms(s->vault) >= id->expires_ms) return false;
  return print_holds(s, id->name, id->login, id->print);
}

/* --- documents --- */

static struct identity *identity_of(const json_t *o) {
  struct identity *id = identity_read(o, IDENTITY_SESSION, vault_text(o, "user"));
  if (!id) return NULL;
  id->must_change = json_is_true(json_object_get(o, "must_change"));
  id->expires_ms = vault_u64(o, "ends_ms");
  identity_set(&id->login, vault_text(o, "login"));
  return id;
}

/* How long the storage keeps it from now on. */
static uint64_t ttl_of(json_t *o, uint64_t now) {
  uint64_t ends = vault_u64(o, "ends_ms"), left = ends > now ? ends - now : 1;
  return left < SESSION_IDLE_MS ? left : SESSION_IDLE_MS;
}

/* --- making one --- */

struct making {
  struct sessions *s;
  session_made_fn fn;
  void *arg;
  struct identity *id;
  json_t *doc;
  char secret[SESSION_ID_SIZE];
};

static void making_end(struct making *m, int rc, const char *why) {
  m->fn(m->arg, rc, m->id, m->secret, why);
  identity_unref(m->id);
  json_decref(m->doc);
  explicit_bzero(m, sizeof *m);
  free(m);
}

/* The user's document lists the sessions, the oldest first. */
static void on_listed(void *arg, int rc, json_t *o, const char *why) {
  struct making *m = arg;
  struct vault *v = m->s->vault;
  json_t *user = o ? json_incref(o) : json_object(), *list = json_object_get(user, "sessions");
  if (rc && rc != -ENOENT) {
    json_decref(user);
    making_end(m, rc, why);
    return;
  }
  if (!json_is_array(list)) {
    list = json_array();
    json_object_set_new(user, "sessions", list);
  }
  while (json_array_size(list) >= SESSIONS_A_USER) {
    const char *oldest = json_string_value(json_array_get(list, 0));
    if (oldest) session_end(m->s, oldest, NULL, NULL);
    json_array_remove(list, 0);
  }
  json_array_append_new(list, json_string(m->id->session));
  json_object_set_new(user, "last_ms", json_integer((json_int_t)vault_now_ms(v)));
  json_object_set(user, "last_client", json_object_get(m->doc, "client"));
  vault_put(v, STORE_DOC_USER, m->id->name, user, 0, STORE_DOC_ALWAYS, NULL, NULL);
  json_decref(user);
  known_put(m->s, m->id, vault_text(m->doc, "print"));
  making_end(m, 0, "");
}

static void on_made(void *arg, int rc, json_t *o, const char *why) {
  struct making *m = arg;
  (void)o;
  if (rc)
    making_end(m, rc, why);
  else
    vault_get(m->s->vault, STORE_DOC_USER, m->id->name, on_listed, m);
}

static json_t *doc_of(const struct session_new *n, const struct identity *id, uint64_t now) {
  return json_pack("{s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:I, s:I, s:I, s:s, s:s, s:s}", "user",
                   id->name, "login", n->login, "role", rights_role_name(id->role), "systems",
                   identity_systems_json(id), "contents", id->contents, "entries", id->entries,
                   "must_change", id->must_change, "created_ms", (json_int_t)now, "seen_ms",
                   (json_int_t)now, "ends_ms", (json_int_t)id->expires_ms, "print", n->print,
                   "client", n->client, "agent", n->agent);
}

void session_make(struct sessions *s, const struct session_new *n, session_made_fn fn, void *arg) {
  struct making *m = calloc(1, sizeof *m);
  char digest[2 * SEAL_MARK_LEN + 1];
  uint64_t now = vault_now_ms(s->vault);
  bool ldap = strcmp(n->login, "ldap") == 0;
  if (!m) out_of_memory();
  m->s = s;
  m->fn = fn;
  m->arg = arg;
  m->id = identity_copy(n->who, IDENTITY_SESSION);
  m->id->expires_ms = now + (ldap ? SESSION_LDAP_MS : SESSION_MAX_MS);
  identity_set(&m->id->login, n->login);
  identity_set(&m->id->client, n->client);
  if (secret_token(32, m->secret) || seal_digest(m->secret, strlen(m->secret), digest)) {
    making_end(m, -EIO, "no random numbers");
    return;
  }
  identity_set(&m->id->session, digest);
  m->doc = doc_of(n, m->id, now);
  if (!m->doc) { /* a text that is not UTF-8 */
    making_end(m, -EINVAL, "a name or the user agent is not UTF-8");
    return;
  }
  vault_put(s->vault, STORE_DOC_SESSION, digest, m->doc, ttl_of(m->doc, now), STORE_DOC_NEW,
            on_made, m);
}

/* --- finding one --- */

struct finding {
  struct sessions *s;
  session_fn fn;
  void *arg;
  char digest[2 * SEAL_MARK_LEN + 1];
};

static void finding_end(struct finding *f, int rc, struct identity *id, const char *why) {
  f->fn(f->arg, rc, id, why);
  identity_unref(id);
  free(f);
}

/* The storage is away: what this node has seen lately may read. */
static void find_known(struct finding *f, const char *why) {
  struct known *k = known_find(f->s, f->digest);
  uint64_t now = loop_now_ms(f->s->vault->loop);
  if (!k || now - k->found_ms >= SESSION_CACHE_MS || !session_is_current(f->s, k->id)) {
    finding_end(f, -EAGAIN, NULL, why);
    return;
  }
  struct identity *id = identity_copy(k->id, IDENTITY_SESSION);
  id->read_only = true;
  finding_end(f, 0, id, why);
}

/* A session that is in use is kept on, but for what was ended meanwhile. */
static void touch(struct finding *f, json_t *o, uint64_t now) {
  if (now - vault_u64(o, "seen_ms") < SESSION_TOUCH_MS) return;
  json_object_set_new(o, "seen_ms", json_integer((json_int_t)now));
  vault_put(f->s->vault, STORE_DOC_SESSION, f->digest, o, ttl_of(o, now), STORE_DOC_THERE, NULL,
            NULL);
}

static void on_found(void *arg, int rc, json_t *o, const char *why) {
  struct finding *f = arg;
  if (rc && rc != -ENOENT) {
    find_known(f, why);
    return;
  }
  uint64_t now = vault_now_ms(f->s->vault);
  struct identity *id = o ? identity_of(o) : NULL;
  bool good = id && now < id->expires_ms && now < vault_u64(o, "seen_ms") + SESSION_IDLE_MS &&
              print_holds(f->s, id->name, id->login, vault_text(o, "print"));
  if (!good) { /* it is not deleted: this node may be behind the revision that the session is of */
    known_drop(f->s, f->digest);
    identity_unref(id);
    id = o ? identity_claimed(IDENTITY_SESSION, vault_text(o, "user")) : NULL;
    finding_end(f, -ENOENT, id, "the session has ended; log in again");
    return;
  }
  identity_set(&id->session, f->digest);
  known_put(f->s, id, vault_text(o, "print"));
  touch(f, o, now);
  finding_end(f, 0, id, "");
}

void session_find(struct sessions *s, const char *secret, session_fn fn, void *arg) {
  struct finding *f = calloc(1, sizeof *f);
  size_t len = strlen(secret);
  if (!f) out_of_memory();
  *f = (struct finding){.s = s, .fn = fn, .arg = arg};
  if (len != SESSION_ID_SIZE - 1 || strspn(secret, "0123456789abcdef") != len ||
      seal_digest(secret, len, f->digest)) {
    finding_end(f, -ENOENT, NULL, "the session has ended; log in again");
    return;
  }
  vault_get(s->vault, STORE_DOC_SESSION, f->digest, on_found, f);
}

/* --- ending --- */

void session_end(struct sessions *s, const char *digest, vault_fn fn, void *arg) {
  session_ended(s, digest);
  vault_delete(s->vault, STORE_DOC_SESSION, digest, fn, arg);
}

struct ending {
  struct sessions *s;
  char *user, *keep;
};

static void on_user(void *arg, int rc, json_t *o, const char *why) {
  struct ending *e = arg;
  size_t i;
  json_t *list = json_object_get(o, "sessions"), *item;
  (void)rc;
  (void)why;
  json_array_foreach(list, i, item) {
    const char *digest = json_string_value(item);
    if (digest && strcmp(digest, e->keep) != 0) session_end(e->s, digest, NULL, NULL);
  }
  free(e->user);
  free(e->keep);
  free(e);
}

void session_end_all(struct sessions *s, const char *user, const char *keep) {
  struct ending *e = calloc(1, sizeof *e);
  if (!e) out_of_memory();
  e->s = s;
  e->user = strdup(user);
  e->keep = strdup(keep);
  if (!e->user || !e->keep) out_of_memory();
  vault_get(s->vault, STORE_DOC_USER, user, on_user, e);
}
