/* Owns a revision in memory, and how its secrets are sealed and opened. */
#include "control/text.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/copy.h"
#include "control/key_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- secrets --- */

static int text_seal(void *arg, const char *kind, const char *name, const char *key,
                     const char *plain, char **ret) {
  const struct control_text *t = arg;
  const struct seal_part about[] = {SEAL_TEXT(t->cluster), SEAL_TEXT(kind), SEAL_TEXT(name),
                                    SEAL_TEXT(key)};
  struct buf b = {0};
  if (!*t->seal.id) return -ENOKEY;
  int rc = seal_close(&t->seal, SEAL_SECRETS, about, 4, plain, strlen(plain), &b);
  if (!rc && !(*ret = strdup(buf_text(&b)))) rc = -ENOMEM;
  buf_free(&b);
  return rc;
}

static int text_open(void *arg, const char *kind, const char *name, const char *key,
                     const char *sealed, char **ret) {
  const struct control_text *t = arg;
  const struct seal_part about[] = {SEAL_TEXT(t->cluster), SEAL_TEXT(kind), SEAL_TEXT(name),
                                    SEAL_TEXT(key)};
  struct buf b = {0};
  if (!*t->seal.id) return -ENOKEY;
  int rc = seal_open(&t->seal, SEAL_SECRETS, about, 4, sealed, strlen(sealed), &b);
  if (!rc && b.len && memchr(b.data, 0, b.len)) rc = -EBADMSG;
  if (!rc && !(*ret = strdup(buf_text(&b)))) rc = -ENOMEM;
  if (b.data) explicit_bzero(b.data, b.len);
  buf_free(&b);
  return rc;
}

struct sealer control_text_sealer(struct control_text *t) {
  return (struct sealer){.seal = text_seal, .open = text_open, .arg = t};
}

/* --- life --- */

static struct control_text *text_alloc(const struct seal *seal, const char *cluster) {
  struct control_text *t = calloc(1, sizeof *t);
  if (!t || !(t->cluster = strdup(cluster))) out_of_memory();
  t->refs = 1;
  if (seal) t->seal = *seal;
  return t;
}

static char *bytes_copy(const void *data, size_t len) {
  char *to = malloc(len + 1);
  if (!to) return NULL;
  memcpy(to, data, len);
  to[len] = 0;
  return to;
}

static void shared_set(struct control_text *t, const char *sections, size_t len) {
  t->shared = (struct shared_text){.text = sections,
                                   .len = len,
                                   .number = t->rev.number,
                                   .applying = !t->rev.number,
                                   .open = *t->seal.id ? text_open : NULL,
                                   .arg = t};
}

struct control_text *control_text_new(const void *data, size_t len, const struct seal *seal,
                                      const char *cluster, struct pb_err *reterr) {
  struct control_text *t = text_alloc(seal, cluster);
  t->data = bytes_copy(data, len);
  t->len = len;
  int rc = t->data ? revision_read(data, len, &t->rev, reterr) : -ENOMEM;
  if (!rc) rc = seal_digest(data, len, t->hash);
  if (rc) {
    if (rc != -EINVAL) snprintf(reterr->text, sizeof reterr->text, "%s", strerror(-rc));
    control_text_unref(t);
    return NULL;
  }
  shared_set(t, t->rev.text, strlen(t->rev.text));
  return t;
}

struct control_text *control_text_draft(const char *sections, size_t len, const struct seal *seal,
                                        const char *cluster) {
  struct control_text *t = text_alloc(seal, cluster);
  t->plain = bytes_copy(sections, len);
  if (!t->plain) out_of_memory();
  shared_set(t, t->plain, len);
  return t;
}

struct control_text *control_text_ref(struct control_text *t) {
  if (t) t->refs++;
  return t;
}

void control_text_unref(struct control_text *t) {
  if (!t || --t->refs) return;
  revision_done(&t->rev);
  seal_done(&t->seal);
  free(t->data);
  free(t->plain);
  free(t->cluster);
  free(t);
}

struct control_text *control_text_of_copy(const char *state_dir, const char *key_file,
                                          const char *cluster, struct pb_err *reterr) {
  char *data;
  size_t len;
  struct seal seal;
  struct pb_err no_key = {.text = ""};
  reterr->text[0] = 0;
  if (copy_read(state_dir, &data, &len, reterr) || !data) return NULL;
  bool has_key = !key_file_read(key_file, &seal, &no_key);
  struct control_text *t = control_text_new(data, len, has_key ? &seal : NULL, cluster, reterr);
  if (has_key) seal_done(&seal);
  free(data);
  if (!t || !strcmp(t->rev.cluster, cluster)) return t;
  snprintf(reterr->text, sizeof reterr->text, "it is of another cluster, %.100s", t->rev.cluster);
  control_text_unref(t);
  return NULL;
}
