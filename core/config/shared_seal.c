/* Owns what becomes of secrets before they are stored: a hash where one is enough, else a sealed
 * text.
 *
 * Must never happen: a secret in clear in what is left; a kept secret that goes to an address which
 * somebody else chose.
 */
#include "config/private.h"
#include "config/shared_private.h"

#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE 512

struct sealing {
  struct shared_sections *s;
  const struct shared_sections *base; /* may be NULL */
  const struct settings_types *types;
  const struct sealer *sealer;
  FILE *errors;
  int rc;
  /* Of the section under way: */
  const struct shared_section *section, *was; /* was: in `base`, may be NULL */
  bool moved;                                 /* its address is another one */
  bool pool_moved;                            /* the address of the pool that it names is */
};

static void refuse(struct sealing *g, int rc, const char *key, const char *why) {
  if (!g->rc) g->rc = rc;
  if (g->errors)
    fprintf(g->errors, "[%s%s%s] %s: %s\n", g->section->kind, *g->section->name ? " " : "",
            g->section->name, key, why);
}

/* What only has to be compared with what somebody gives. */
static bool is_password(const struct shared_section *s, const char *key) {
  return !strcmp(key, "password") &&
         (!strcmp(s->kind, "queue") || !strcmp(s->kind, "topic") || !strcmp(s->kind, "user"));
}

/* The secret that `base` has there; NULL and an error where it may not be taken over. */
static const char *kept(struct sealing *g, const char *key) {
  const char *was = shared_value(g->was, key);
  if (!was || !*was) {
    refuse(g, -EINVAL, key,
           SHARED_MASK " stands for the value that is kept, and none is; write the value");
    return NULL;
  }
  /* A signing key is never sent anywhere, so another address of the pool does not learn it. */
  bool moved = g->moved || (g->pool_moved && strcmp(key, "signing_key") != 0);
  if (moved && shared_is_sealed(was)) {
    refuse(g, -EPERM, key, "the address or its TLS check changed, so this has to be given again");
    return NULL;
  }
  return was;
}

static char *hash_of(struct sealing *g, const char *key, const char *plain) {
  char text[HASH_SIZE];
  int rc = !strcmp(g->section->kind, "user")
               ? secret_hash_user(plain, strlen(plain), text, sizeof text)
               : secret_hash(plain, strlen(plain), text, sizeof text);
  if (rc) refuse(g, rc, key, "the hash could not be made");
  return rc ? NULL : arena_text(g->s->arena, text, strlen(text));
}

static char *sealed_of(struct sealing *g, const char *key, const char *plain) {
  char *text = NULL;
  int rc = g->sealer ? g->sealer->seal(g->sealer->arg, g->section->kind, g->section->name, key,
                                       plain, &text)
                     : -ENOKEY;
  if (rc) {
    refuse(g, rc, key,
           rc == -ENOKEY ? "this node has no key to encrypt it with" : "it could not be encrypted");
    return NULL;
  }
  char *copy = arena_text(g->s->arena, text, strlen(text));
  free(text);
  return copy;
}

/* Is it the secret that is kept? Then nothing changes. */
static bool is_kept(struct sealing *g, const char *key, const char *plain) {
  const char *was = shared_value(g->was, key);
  char *open = NULL;
  if (!was || !*was || secret_claims_hash(plain)) return false;
  if (is_password(g->section, key))
    return secret_is_hash(was) && secret_matches(was, plain, strlen(plain));
  if (!shared_is_sealed(was) || !g->sealer || !g->sealer->open ||
      g->sealer->open(g->sealer->arg, g->section->kind, g->section->name, key, was, &open))
    return false;
  bool same = !strcmp(open, plain);
  explicit_bzero(open, strlen(open));
  free(open);
  return same;
}

/* What is stored for a secret; NULL where an error was told. */
static const char *stored_of(struct sealing *g, const char *key, const char *value) {
  if (strcmp(value, SHARED_MASK) == 0) return kept(g, key);
  if (shared_is_sealed(value)) {
    const char *was = shared_value(g->was, key);
    if (was && strcmp(was, value) == 0) return kept(g, key);
    refuse(g, -EINVAL, key, "an encrypted text that is not the one that is kept; write the secret");
    return NULL;
  }
  if (is_kept(g, key, value)) return shared_value(g->was, key);
  if (!is_password(g->section, key)) return sealed_of(g, key, value);
  return secret_claims_hash(value) ? value : hash_of(g, key, value);
}

static bool pool_moves(const struct sealing *g) {
  const char *pool = shared_value(g->section, "pool");
  if (!pool || !g->base || strcmp(g->section->kind, "topic")) return false;
  return shared_address_differs(shared_find(g->base, "pool", pool),
                                shared_find(g->s, "pool", pool));
}

static void section_seal(struct sealing *g) {
  struct shared_entry *entries = (struct shared_entry *)(uintptr_t)g->section->entries;
  g->was = g->base ? shared_find(g->base, g->section->kind, g->section->name) : NULL;
  g->moved = g->was && shared_address_differs(g->was, g->section);
  g->pool_moved = pool_moves(g);
  for (size_t i = 0; i < g->section->n_entries; i++) {
    const char *value = entries[i].value;
    if (!*value) continue;
    if (!shared_key_is_secret(g->types, g->section->kind, entries[i].key)) {
      if (strcmp(value, SHARED_MASK) == 0)
        refuse(g, -EINVAL, entries[i].key, SHARED_MASK " stands for a secret, and this is none");
      continue;
    }
    const char *stored = stored_of(g, entries[i].key, value);
    if (stored) entries[i].value = stored;
  }
}

int shared_seal(struct shared_sections *s, const struct shared_sections *base,
                const struct settings_types *types, const struct sealer *sealer, FILE *errors) {
  struct sealing g = {.s = s, .base = base, .types = types, .sealer = sealer, .errors = errors};
  for (size_t i = 0; i < s->n; i++) {
    g.section = &s->list[i].s;
    section_seal(&g);
  }
  return g.rc;
}

int shared_reseal(struct shared_sections *s, const struct sealer *from, const struct sealer *to,
                  FILE *errors) {
  struct sealing g = {.s = s, .sealer = to, .errors = errors};
  for (size_t i = 0; i < s->n && !g.rc; i++) {
    g.section = &s->list[i].s;
    struct shared_entry *entries = (struct shared_entry *)(uintptr_t)g.section->entries;
    for (size_t k = 0; k < g.section->n_entries && !g.rc; k++) {
      char *plain = NULL;
      if (!shared_is_sealed(entries[k].value)) continue;
      int rc = from->open(from->arg, g.section->kind, g.section->name, entries[k].key,
                          entries[k].value, &plain);
      if (rc) {
        refuse(&g, rc, entries[k].key, "it cannot be decrypted with the key of this node");
        break;
      }
      const char *sealed = sealed_of(&g, entries[k].key, plain);
      if (sealed) entries[k].value = sealed;
      explicit_bzero(plain, strlen(plain));
      free(plain);
    }
  }
  return g.rc;
}
