/* The text of a shared configuration: what is accepted is printed in one form that is read as the
 * same, masked without a secret, and does not differ from itself.
 */
#include "config/settings.h"
#include "config/shared_text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int seal(void *arg, const char *kind, const char *name, const char *key, const char *plain,
                char **ret) {
  (void)arg, (void)kind, (void)name, (void)key, (void)plain;
  *ret = strdup("enc:0123456789abcdef:QUJD");
  return 0;
}

static const struct sealer sealer = {.seal = seal};

static struct shared_sections *read_again(const char *text, size_t len) {
  struct shared_sections *s = NULL;
  if (shared_read("again", text, len, &s, stderr)) abort();
  return s;
}

static bool is_users(const struct shared_section *s, const struct shared_entry *e) {
  return !strcmp(s->kind, "user") && !strcmp(e->key, "password"); /* yescrypt is slow */
}

static bool slow(const struct shared_sections *s) {
  for (size_t i = 0; i < shared_n(s); i++)
    for (size_t k = 0; k < shared_at(s, i)->n_entries; k++)
      if (is_users(shared_at(s, i), &shared_at(s, i)->entries[k])) return true;
  return false;
}

/* What is stored, with its secrets masked, is no change of it. */
static void check_mask(const struct shared_sections *s) {
  size_t len;
  char *masked = shared_print_masked(s, NULL, &len);
  struct shared_sections *hidden = read_again(masked, len);
  struct shared_changes *none = shared_compare(s, hidden);
  if (shared_changes_n(none)) abort();
  shared_changes_free(none);
  shared_free(hidden);
  free(masked);
}

static void check_seal(struct shared_sections *s) {
  if (slow(s) || shared_seal(s, NULL, NULL, &sealer, NULL)) return;
  for (size_t i = 0; i < shared_n(s); i++) {
    const struct shared_section *at = shared_at(s, i);
    for (size_t k = 0; k < at->n_entries; k++) {
      const char *value = at->entries[k].value;
      if (*value && shared_key_is_secret(NULL, at->kind, at->entries[k].key) &&
          !shared_is_sealed(value) && strncmp(value, "sha256:", 7) && *value != '$')
        abort(); /* in clear */
    }
  }
  check_mask(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct shared_sections *s = NULL;
  char *said = NULL;
  size_t len, said_len = 0;
  FILE *errors = open_memstream(&said, &said_len);
  if (!errors) abort();
  int rc = shared_read("fuzz", (const char *)data, size, &s, errors);
  fclose(errors);
  if (rc && !said_len) abort(); /* refused without a word */
  free(said);
  if (rc) return 0;
  char *text = shared_print(s, &len);
  struct shared_sections *again = read_again(text, len);
  char *second = shared_print(again, NULL);
  if (strcmp(text, second)) abort();
  struct shared_changes *c = shared_compare(s, again);
  if (shared_changes_n(c)) abort();
  shared_changes_free(c);
  check_seal(again);
  shared_free(again);
  shared_free(s);
  free(text);
  free(second);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
