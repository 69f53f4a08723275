/* Owns API tokens.
 *
 * Must never happen: the secret of a token in the storage, in a list or in the log; a token with a
 * right that its user does not have now.
 */
#include "accounts/api_token.h"

#include "accounts/identity_json.h"
#include "accounts/users.h"
#include "base/out_of_memory.h"
#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_BYTES     8
#define ID_HEX       (2 * ID_BYTES)
#define SECRET_BYTES 32
#define HEX          "0123456789abcdef"

bool api_token_is(const char *text) {
  return strncmp(text, API_TOKEN_PREFIX, strlen(API_TOKEN_PREFIX)) == 0;
}

/* "pbt_ID_SECRET" */
static bool token_split(const char *text, char ret_id[ID_HEX + 1], const char **ret_secret) {
  if (!api_token_is(text)) return false;
  text += strlen(API_TOKEN_PREFIX);
  if (strspn(text, HEX) != ID_HEX || text[ID_HEX] != '_') return false;
  memcpy(ret_id, text, ID_HEX);
  ret_id[ID_HEX] = 0;
  *ret_secret = text + ID_HEX + 1;
  return strlen(*ret_secret) == (size_t)2 * SECRET_BYTES &&
         strspn(*ret_secret, HEX) == (size_t)2 * SECRET_BYTES;
}

/* --- making one --- */

struct making {
  struct vault *vault;
  api_token_made_fn fn;
  void *arg;
  json_t *doc;
  uint64_t ttl_ms;
  char *user;
  char id[ID_HEX + 1], token[API_TOKEN_SIZE];
};

static void making_end(struct making *m, int rc, const char *why) {
  m->fn(m->arg, rc, rc ? "" : m->token, m->id, why);
  json_decref(m->doc);
  free(m->user);
  explicit_bzero(m, sizeof *m);
  free(m);
}

static void on_made(void *arg, int rc, json_t *o, const char *why) {
  (void)o;
  making_end(arg, rc == -ENOENT ? -EAGAIN : rc, why);
}

static void on_others(void *arg, int rc, json_t *all, const char *why) {
  struct making *m = arg;
  size_t n = 0, i;
  json_t *o;
  json_array_foreach(all, i, o) n += strcmp(vault_text(o, "user"), m->user) == 0;
  if (!rc && n >= API_TOKENS_A_USER) {
    rc = -ENOSPC;
    why = "the user has 100 tokens already; remove some";
  }
  if (rc)
    making_end(m, rc, why);
  else
    vault_put(m->vault, STORE_DOC_TOKEN, m->id, m->doc, m->ttl_ms, STORE_DOC_NEW, on_made, m);
}

/* 0 or -errno: id, token and document. */
static int token_make(struct making *m, const struct api_token_new *n, uint64_t now) {
  char secret[2 * SECRET_BYTES + 1], hash[160];
  int rc = secret_token(ID_BYTES, m->id);
  if (!rc) rc = secret_token(SECRET_BYTES, secret);
  if (!rc) rc = secret_hash(secret, strlen(secret), hash, sizeof hash);
  if (rc) return rc;
  snprintf(m->token, sizeof m->token, API_TOKEN_PREFIX "%s_%s", m->id, secret);
  explicit_bzero(secret, sizeof secret);
  struct identity *who = identity_new(IDENTITY_TOKEN, n->user, n->role, n->systems, n->n_systems);
  m->doc =
      json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:s}", "user", n->user, "name", n->name, "role",
                rights_role_name(n->role), "systems", identity_systems_json(who), "created_ms",
                (json_int_t)now, "expires_ms", (json_int_t)n->expires_ms, "hash", hash);
  identity_unref(who);
  return m->doc ? 0 : -EINVAL;
}

void api_token_make(struct vault *v, const struct settings *set, const struct api_token_new *n,
                    api_token_made_fn fn, void *arg) {
  uint64_t now = vault_now_ms(v);
  struct making *m = calloc(1, sizeof *m);
  if (!m || !(m->user = strdup(n->user))) out_of_memory();
  m->vault = v;
  m->fn = fn;
  m->arg = arg;
  if (!users_find(set, n->user)) {
    making_end(m, -ENOENT, "API tokens are for users of the configuration");
  } else if (!*n->name || strlen(n->name) > API_TOKEN_NAME_MAX) {
    making_end(m, -EINVAL, "a token needs a name of 1 to 128 bytes");
  } else if (n->expires_ms && n->expires_ms <= now) {
    making_end(m, -EINVAL, "the token would have expired already");
  } else {
    m->ttl_ms = n->expires_ms ? n->expires_ms - now : 0;
    int rc = token_make(m, n, now);
    if (rc)
      making_end(m, rc, rc == -EINVAL ? "a name is not UTF-8" : "no random numbers");
    else
      vault_list(v, STORE_DOC_TOKEN, on_others, m);
  }
}

/* --- finding one --- */

struct finding {
  struct vault *vault;
  struct settings *const *settings;
  api_token_fn fn;
  void *arg;
  char id[ID_HEX + 1], secret[2 * SECRET_BYTES + 1];
};

static void finding_end(struct finding *f, int rc, struct identity *id, const char *why) {
  f->fn(f->arg, rc, id, why);
  identity_unref(id);
  explicit_bzero(f, sizeof *f);
  free(f);
}

static struct identity *identity_of(const json_t *o, const struct user_settings *u) {
  struct identity *id = identity_read(o, IDENTITY_TOKEN, u->name);
  if (!id) return NULL;
  /* Own rights are the user's: a token has none beside role and systems. */
  id->contents = id->entries = true;
  struct identity *user = users_identity(u, IDENTITY_TOKEN);
  identity_limit(id, user);
  identity_unref(user);
  id->expires_ms = vault_u64(o, "expires_ms");
  return id;
}

static void on_found(void *arg, int rc, json_t *o, const char *why) {
  struct finding *f = arg;
  const char *wrong = "there is no such API token, or it has expired";
  if (rc && rc != -ENOENT) {
    finding_end(f, rc, NULL, why);
    return;
  }
  uint64_t now = vault_now_ms(f->vault), ends = vault_u64(o, "expires_ms");
  const struct user_settings *u = o ? users_find(*f->settings, vault_text(o, "user")) : NULL;
  const char *hash = o ? vault_text(o, "hash") : "";
  bool good = secret_is_hash(hash) && secret_matches(hash, f->secret, strlen(f->secret)) && u &&
              (!ends || now < ends);
  struct identity *id = good ? identity_of(o, u) : NULL;
  if (!id) {
    id = o ? identity_claimed(IDENTITY_TOKEN, vault_text(o, "user")) : NULL;
    finding_end(f, -ENOENT, id, wrong);
    return;
  }
  identity_set(&id->session, f->id);
  identity_set(&id->login, "token");
  if (now - vault_u64(o, "last_ms") >= API_TOKEN_TOUCH_MS) {
    json_object_set_new(o, "last_ms", json_integer((json_int_t)now));
    vault_put(f->vault, STORE_DOC_TOKEN, f->id, o, ends ? ends - now : 0, STORE_DOC_THERE, NULL,
              NULL);
  }
  finding_end(f, 0, id, "");
}

void api_token_find(struct vault *v, struct settings *const *settings, const char *token,
                    api_token_fn fn, void *arg) {
  struct finding *f = calloc(1, sizeof *f);
  const char *secret;
  if (!f) out_of_memory();
  *f = (struct finding){.vault = v, .settings = settings, .fn = fn, .arg = arg};
  if (!token_split(token, f->id, &secret)) {
    finding_end(f, -ENOENT, NULL, "this is no API token");
    return;
  }
  memcpy(f->secret, secret, sizeof f->secret);
  vault_get(v, STORE_DOC_TOKEN, f->id, on_found, f);
}

/* --- lists --- */

struct asking {
  struct vault *vault;
  char *user; /* NULL: of all */
  vault_fn fn;
  void *arg;
  json_t *doc; /* of a token that ends */
  char id[ID_HEX + 1];
};

static struct asking *asking_new(struct vault *v, const char *user, vault_fn fn, void *arg) {
  struct asking *a = calloc(1, sizeof *a);
  if (!a || (user && !(a->user = strdup(user)))) out_of_memory();
  a->vault = v;
  a->fn = fn;
  a->arg = arg;
  return a;
}

static void asking_end(struct asking *a, int rc, json_t *o, const char *why) {
  a->fn(a->arg, rc, o, why);
  json_decref(a->doc);
  free(a->user);
  free(a);
}

static void on_listed(void *arg, int rc, json_t *all, const char *why) {
  struct asking *a = arg;
  json_t *ret = json_array(), *o;
  size_t i;
  json_array_foreach(all, i, o) {
    if (a->user && strcmp(vault_text(o, "user"), a->user) != 0) continue;
    json_object_del(o, "hash");
    json_array_append(ret, o);
  }
  asking_end(a, rc, ret, why);
  json_decref(ret);
}

void api_token_list(struct vault *v, const char *user, vault_fn fn, void *arg) {
  vault_list(v, STORE_DOC_TOKEN, on_listed, asking_new(v, user, fn, arg));
}

static void on_ended(void *arg, int rc, json_t *o, const char *why) {
  struct asking *a = arg;
  (void)o;
  asking_end(a, rc, rc ? NULL : a->doc, why);
}

static void on_owner(void *arg, int rc, json_t *o, const char *why) {
  struct asking *a = arg;
  if (!rc && a->user && strcmp(vault_text(o, "user"), a->user) != 0) rc = -ENOENT;
  if (rc) {
    asking_end(a, rc, NULL, why);
    return;
  }
  a->doc = json_incref(o);
  json_object_del(a->doc, "hash");
  vault_delete(a->vault, STORE_DOC_TOKEN, a->id, on_ended, a);
}

void api_token_end(struct vault *v, const char *id, const char *user, vault_fn fn, void *arg) {
  struct asking *a = asking_new(v, user, fn, arg);
  size_t len = strlen(id);
  if (len != ID_HEX || strspn(id, HEX) != len) {
    asking_end(a, -ENOENT, NULL, "there is no such API token");
    return;
  }
  memcpy(a->id, id, len);
  vault_get(v, STORE_DOC_TOKEN, id, on_owner, a);
}

static void on_gone(void *arg, int rc, json_t *all, const char *why) {
  struct asking *a = arg;
  json_t *o;
  size_t i;
  json_array_foreach(all, i, o) if (!strcmp(vault_text(o, "user"), a->user))
      vault_delete(a->vault, STORE_DOC_TOKEN, vault_text(o, "id"), NULL, NULL);
  asking_end(a, rc, NULL, why);
}

static void on_gone_done(void *arg, int rc, json_t *o, const char *why) {
  (void)arg;
  (void)rc;
  (void)o;
  (void)why;
}

void api_token_end_all(struct vault *v, const char *user) {
  vault_list(v, STORE_DOC_TOKEN, on_gone, asking_new(v, user, on_gone_done, NULL));
}
