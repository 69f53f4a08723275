/* Owns how accounts reach the control plane: its storage, its key, and a new password as a revision
 * of the shared configuration.
 */
#include "daemon/account_source.h"

#include "base/out_of_memory.h"
#include "control/control.h"
#include "daemon/private.h"
#include "event/loop.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_KEYS_MAX 32
#define TRIES            5 /* another change came between */

static struct store *store_of(void *arg) {
  return control_store(((struct broker *)arg)->view.control);
}

static const struct seal *seal_of(void *arg) {
  return control_seal(((struct broker *)arg)->view.control);
}

struct setting {
  struct broker *b;
  void (*fn)(void *fn_arg, int status, const char *why);
  void *fn_arg;
  char *user, *hash, *from;
  bool create;
  int tries;
};

static void setting_end(struct setting *s, int status, const char *why) {
  s->fn(s->fn_arg, status, why);
  explicit_bzero(s->hash, strlen(s->hash));
  free(s->user);
  free(s->hash);
  free(s->from);
  free(s);
}

/* The section of the user with the new password. False: there is none, and none is to be made. */
static bool section_put(const struct setting *s, struct shared_sections *all, FILE *errors) {
  const struct shared_section *before = shared_find(all, "user", s->user);
  struct shared_entry entries[SECTION_KEYS_MAX];
  size_t n = 0;
  if (!before && !s->create) return false;
  if (!before) entries[n++] = (struct shared_entry){"role", "admin"};
  for (size_t i = 0; before && i < before->n_entries && n < SECTION_KEYS_MAX - 1; i++)
    if (strcmp(before->entries[i].key, "password") != 0) entries[n++] = before->entries[i];
  entries[n++] = (struct shared_entry){"password", s->hash};
  struct shared_section section = {
      .kind = "user", .name = s->user, .entries = entries, .n_entries = n};
  return !shared_put(all, &section, errors);
}

/* The whole text with it, to be freed; NULL: it cannot be made. */
static char *text_with(const struct setting *s, const char *text, size_t *ret_len) {
  struct shared_sections *all = NULL;
  char *lines = NULL, *ret = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  if (!shared_read("shared configuration", text, strlen(text), &all, errors) &&
      section_put(s, all, errors))
    ret = shared_print(all, ret_len);
  fclose(errors);
  free(lines);
  shared_free(all);
  return ret;
}

static void setting_try(struct setting *s);

static void on_result(void *arg, const struct control_result *r) {
  struct setting *s = arg;
  if (r->status == 409 && ++s->tries < TRIES)
    setting_try(s);
  else
    setting_end(s, r->status, r->why);
}

static void setting_try(struct setting *s) {
  struct control *control = s->b->view.control;
  struct control_change x = {.by = s->user, .from = s->from, .comment = "password changed"};
  char *text;
  if (control_is_busy(control)) {
    setting_end(s, 503, "too many changes wait on this node; try again");
    return;
  }
  text = text_with(s, control_sections(control, &x.base), &x.len);
  if (!text) {
    setting_end(s, 409, "the shared configuration has no such user");
    return;
  }
  x.text = text;
  control_change(control, &x, on_result, s);
  explicit_bzero(text, x.len);
  free(text);
}

static char *text_new(const char *text) {
  char *copy = strdup(text);
  if (!copy) out_of_memory();
  return copy;
}

static void set_password(void *arg, const struct accounts_password *p,
                         void (*fn)(void *fn_arg, int status, const char *why), void *fn_arg) {
  struct setting *s = calloc(1, sizeof *s);
  if (!s) out_of_memory();
  *s = (struct setting){.b = arg,
                        .fn = fn,
                        .fn_arg = fn_arg,
                        .user = text_new(p->user),
                        .hash = text_new(p->hash),
                        .from = text_new(p->from),
                        .create = p->create};
  setting_try(s);
}

struct accounts_source account_source(struct broker *b) {
  return (struct accounts_source){
      .store = store_of, .seal = seal_of, .set_password = set_password, .arg = b};
}
