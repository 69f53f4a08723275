/* Owns keys that are good once. */
#include "accounts/once.h"

#include "base/out_of_memory.h"
#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  size_t bytes;
  uint64_t ttl_ms;
} kinds[] = {
    [ONCE_PASSWORD] = {"password", 10, ONCE_PASSWORD_MS},
    [ONCE_LINK] = {"link", 16, ONCE_LINK_MS},
};

/* The digits alone. False: it cannot be one. */
static bool digits_of(enum once_kind kind, const char *key, char ret[ONCE_KEY_SIZE]) {
  size_t n = 0, want = 2 * kinds[kind].bytes;
  for (; *key; key++) {
    if (kind == ONCE_PASSWORD && (*key == '-' || *key == ' ')) continue;
    if (n == want || !strchr("0123456789abcdef", *key)) return false;
    ret[n++] = *key;
  }
  ret[n] = 0;
  return n == want;
}

/* A key of one kind is none of the other. 0 or -errno. */
static int id_of(enum once_kind kind, const char *digits, char ret[2 * SEAL_MARK_LEN + 1]) {
  char text[64];
  int n = snprintf(text, sizeof text, "%s %s", kinds[kind].name, digits);
  int rc = seal_digest(text, (size_t)n, ret);
  explicit_bzero(text, sizeof text);
  return rc;
}

bool once_is(enum once_kind kind, const char *key) {
  char digits[ONCE_KEY_SIZE];
  bool is = digits_of(kind, key, digits);
  explicit_bzero(digits, sizeof digits);
  return is;
}

struct making {
  once_made_fn fn;
  void *arg;
  uint64_t expires_ms;
  char key[ONCE_KEY_SIZE];
};

static void on_made(void *arg, int rc, json_t *o, const char *why) {
  struct making *m = arg;
  (void)o;
  m->fn(m->arg, rc, rc ? "" : m->key, m->expires_ms, why);
  explicit_bzero(m, sizeof *m);
  free(m);
}

void once_make(struct vault *v, enum once_kind kind, const char *user, once_made_fn fn, void *arg) {
  char id[2 * SEAL_MARK_LEN + 1];
  struct making *m = calloc(1, sizeof *m);
  if (!m) out_of_memory();
  *m = (struct making){.fn = fn, .arg = arg, .expires_ms = vault_now_ms(v) + kinds[kind].ttl_ms};
  json_t *doc = json_pack("{s:s, s:s, s:I}", "kind", kinds[kind].name, "user", user, "expires_ms",
                          (json_int_t)m->expires_ms);
  if (!doc || secret_token(kinds[kind].bytes, m->key) || id_of(kind, m->key, id))
    on_made(m, -EIO, NULL, "no random numbers");
  else
    vault_put(v, STORE_DOC_ONCE, id, doc, kinds[kind].ttl_ms, STORE_DOC_NEW, on_made, m);
  json_decref(doc);
}

struct taking {
  struct vault *vault;
  enum once_kind kind;
  vault_fn fn;
  void *arg;
};

static void on_taken(void *arg, int rc, json_t *o, const char *why) {
  struct taking *t = arg;
  if (!rc && (strcmp(vault_text(o, "kind"), kinds[t->kind].name) != 0 ||
              vault_now_ms(t->vault) >= vault_u64(o, "expires_ms")))
    rc = -ENOENT;
  t->fn(t->arg, rc, rc ? NULL : o, why);
  free(t);
}

void once_take(struct vault *v, enum once_kind kind, const char *key, vault_fn fn, void *arg) {
  char id[2 * SEAL_MARK_LEN + 1], digits[ONCE_KEY_SIZE];
  struct taking *t = malloc(sizeof *t);
  if (!t) out_of_memory();
  *t = (struct taking){v, kind, fn, arg};
  bool is = digits_of(kind, key, digits) && !id_of(kind, digits, id);
  explicit_bzero(digits, sizeof digits);
  if (is)
    vault_take(v, STORE_DOC_ONCE, id, on_taken, t);
  else
    on_taken(t, -ENOENT, NULL, "");
}
