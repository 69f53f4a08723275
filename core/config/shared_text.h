/* The text of the shared configuration: read, printed in one form, compared, and its secrets
 * replaced by what may be stored. No I/O; it does not judge what the sections mean, that is
 * settings_load()'s.
 *
 * Must never happen: a secret in clear in what shared_seal() leaves, or in what
 * shared_print_masked() and shared_compare() tell. A key that no table knows counts as a secret.
 */
#ifndef PB_CORE_SHARED_TEXT_H
#define PB_CORE_SHARED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct settings_types;

#define SHARED_MASK "********" /* "as it is": stands for a secret that is not shown */

struct shared_sections; /* in the order of the text; comments are dropped */

struct shared_entry {
  const char *key, *value;
};

struct shared_section {
  const char *kind, *name;
  const struct shared_entry *entries; /* n_entries */
  size_t n_entries;
  unsigned line;         /* in the text that was read; 0: it was made here */
  const unsigned *lines; /* of the entries; NULL: as line 0 */
};

/* 0, or -EINVAL and the faults in `errors`, a line each with `file`:line before it. */
int shared_read(const char *file, const char *text, size_t len, struct shared_sections **ret,
                FILE *errors);
struct shared_sections *shared_copy(const struct shared_sections *s);
void shared_free(struct shared_sections *s); /* NULL is fine */

/* In the order of the text. Pointers are valid until the sections are changed. */
size_t shared_n(const struct shared_sections *s);
const struct shared_section *shared_at(const struct shared_sections *s, size_t i);
const struct shared_section *shared_find(const struct shared_sections *s, const char *kind,
                                         const char *name);                /* NULL: there is none */
const char *shared_value(const struct shared_section *s, const char *key); /* NULL: there is none */

/* Makes a section be what `section` is, at the end where there is none of that name. Its texts
 * come from forms: -EINVAL and a sentence in `errors` where they could not stand in a file. */
int shared_put(struct shared_sections *s, const struct shared_section *section, FILE *errors);
bool shared_remove(struct shared_sections *s, const char *kind, const char *name); /* was there */
/* The [user] sections of `to` become those of `from`: rollback and import without users. */
void shared_keep_users(struct shared_sections *to, const struct shared_sections *from);

/* The one form that is hashed and stored; reading it gives the same sections. NUL after it; free()
 * it. Never NULL. */
char *shared_print(const struct shared_sections *s, size_t *ret_len);
/* The same with each line where it was in the text that was read, so that a fault names a line of
 * that text. */
char *shared_print_in_place(const struct shared_sections *s, size_t *ret_len);
/* As shared_print(), with SHARED_MASK for every secret. */
char *shared_print_masked(const struct shared_sections *s, const struct settings_types *types,
                          size_t *ret_len);
/* Is `key` of a section of this kind one whose value nobody may see? */
bool shared_key_is_secret(const struct settings_types *types, const char *kind, const char *key);

/* Differences. */

enum shared_what { SHARED_ADDED, SHARED_CHANGED, SHARED_REMOVED };

struct shared_change {
  const char *kind, *name;
  enum shared_what what;
  const char *system_before, *system_after; /* ""  : it belongs to none, so to admins */
  const char *const *keys;                  /* n_keys that differ, never their values */
  size_t n_keys;
  bool entry;   /* what runs: entry or run_type, also by way of another pool */
  bool address; /* where it connects to, or whether TLS is checked */
};

struct shared_changes;

/* SHARED_MASK in `to` is the secret that `from` has, sealed or hashed. By kind and name: in the
 * order of `to`, then what is removed. Never NULL. */
struct shared_changes *shared_compare(const struct shared_sections *from,
                                      const struct shared_sections *to);
void shared_changes_free(struct shared_changes *c); /* NULL is fine */
size_t shared_changes_n(const struct shared_changes *c);
const struct shared_change *shared_changes_at(const struct shared_changes *c, size_t i);
/* For people: "added: topic q/t", "changed: queue q (max_length, password)", a line each. */
void shared_changes_print(const struct shared_changes *c, FILE *out);
extern const char *const shared_what_names[]; /* "added", "changed", "removed" */

/* Secrets. */

struct sealer {
  /* "enc:KEYID:BASE64" for a secret, or the secret again; in memory of malloc(). 0 or -errno. */
  int (*seal)(void *arg, const char *kind, const char *name, const char *key, const char *plain,
              char **ret);
  int (*open)(void *arg, const char *kind, const char *name, const char *key, const char *sealed,
              char **ret);
  void *arg;
};

/* "enc:" KEYID of 16 hex digits ":" base64: has it that form? */
bool shared_is_sealed(const char *value);
/* Where a sealed value has its key's id, 16 digits. */
const char *shared_sealed_key(const char *value);

/* A text as a person gave it becomes the one that is kept: passwords of queues, topics and users
 * become hashes (yescrypt is slow: on a thread), other secrets are sealed, SHARED_MASK is what
 * `base` (NULL: nothing) has at that section and key.
 *
 * -EPERM: the host, port, URL or TLS check of a section changed, so its secrets have to be given
 * again and not by SHARED_MASK; -EINVAL: a mask that stands for nothing, or a sealed text that is
 * not the one `base` has; else what the sealer says. `errors` has a line for each key then,
 * "[KIND NAME] KEY: why", and `s` is of no use any more. */
int shared_seal(struct shared_sections *s, const struct shared_sections *base,
                const struct settings_types *types, const struct sealer *sealer, FILE *errors);
/* Every sealed value is opened by `from` and sealed by `to`: another key. 0, or the first error. */
int shared_reseal(struct shared_sections *s, const struct sealer *from, const struct sealer *to,
                  FILE *errors);

#endif
