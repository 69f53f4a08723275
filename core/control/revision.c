/* Owns the stored form of a revision. See revision.h.
 *
 * Must never happen: a revision that some part of it could be changed in without its mark telling.
 */
#include "control/revision.h"

#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS 3 /* of it are marked */
#define TEXTS   6

static int mark_make(const struct revision *r, const struct seal *seal,
                     char ret[REVISION_HASH_SIZE]) {
  char numbers[NUMBERS][24];
  const uint64_t n[NUMBERS] = {r->number, r->at_ms, r->restored};
  const char *const texts[TEXTS] = {r->cluster, r->base_hash, r->by, r->from, r->comment, r->text};
  struct seal_part parts[1 + NUMBERS + TEXTS] = {SEAL_TEXT("revision")};
  for (int i = 0; i < NUMBERS; i++) {
    snprintf(numbers[i], sizeof numbers[i], "%" PRIu64, n[i]);
    parts[1 + i] = SEAL_TEXT(numbers[i]);
  }
  for (int i = 0; i < TEXTS; i++) parts[1 + NUMBERS + i] = SEAL_TEXT(texts[i]);
  return seal_mark(seal, SEAL_REVISIONS, parts, sizeof parts / sizeof *parts, ret);
}

static bool text_fits(const char *text, size_t max) {
  size_t len = strlen(text);
  return len <= max && utf8_valid(text, len);
}

static bool texts_fit(const struct revision *r) {
  return text_fits(r->cluster, REVISION_WORDS_MAX) && text_fits(r->by, REVISION_WORDS_MAX) &&
         text_fits(r->from, REVISION_WORDS_MAX) && text_fits(r->comment, REVISION_WORDS_MAX) &&
         text_fits(r->base_hash, REVISION_HASH_SIZE - 1) && text_fits(r->text, REVISION_TEXT_MAX);
}

char *revision_write(const struct revision *r, const struct seal *seal, size_t *ret_len) {
  char mark[REVISION_HASH_SIZE];
  if (!texts_fit(r) || r->number > INT64_MAX || r->at_ms > INT64_MAX || mark_make(r, seal, mark))
    return NULL;
  json_t *o = json_pack("{sI sI sI ss ss ss ss ss ss ss}", "number", (json_int_t)r->number, "at_ms",
                        (json_int_t)r->at_ms, "restored", (json_int_t)r->restored, "base_hash",
                        r->base_hash, "cluster", r->cluster, "by", r->by, "from", r->from,
                        "comment", r->comment, "text", r->text, "hmac", mark);
  char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
  json_decref(o);
  if (text && strlen(text) > REVISION_MAX) {
    free(text);
    text = NULL;
  }
  if (text) *ret_len = strlen(text);
  return text;
}

static bool read_number(const json_t *o, const char *name, uint64_t *ret) {
  const json_t *v = json_object_get(o, name);
  if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
  *ret = (uint64_t)json_integer_value(v);
  return true;
}

static bool read_text(const json_t *o, const char *name, const char **ret) {
  *ret = json_string_value(json_object_get(o, name));
  return *ret != NULL;
}

int revision_read(const void *data, size_t len, struct revision *ret, struct pb_err *reterr) {
  json_error_t at;
  struct revision r = {.doc = NULL};
  r.doc = len <= REVISION_MAX ? json_loadb(data, len, JSON_REJECT_DUPLICATES, &at) : NULL;
  const json_t *o = r.doc;
  bool good = json_is_object(o) && read_number(o, "number", &r.number) && r.number &&
              read_number(o, "at_ms", &r.at_ms) && read_number(o, "restored", &r.restored) &&
              read_text(o, "base_hash", &r.base_hash) && read_text(o, "cluster", &r.cluster) &&
              read_text(o, "by", &r.by) && read_text(o, "from", &r.from) &&
              read_text(o, "comment", &r.comment) && read_text(o, "text", &r.text) &&
              read_text(o, "hmac", &r.mark) && texts_fit(&r);
  if (!good) {
    json_decref(r.doc);
    snprintf(reterr->text, sizeof reterr->text, "it is not a revision of this broker");
    return -EINVAL;
  }
  *ret = r;
  return 0;
}

int revision_verify(const struct revision *r, const struct seal *seal, const char *cluster) {
  char want[REVISION_HASH_SIZE];
  if (mark_make(r, seal, want) || strlen(r->mark) != strlen(want)) return -EBADMSG;
  unsigned char differ = 0; /* as long for a near miss as for a far one */
  for (size_t i = 0; want[i]; i++) differ |= (unsigned char)(want[i] ^ r->mark[i]);
  if (differ) return -EBADMSG;
  return strcmp(r->cluster, cluster) ? -EXDEV : 0;
}

void revision_done(struct revision *r) {
  json_decref(r->doc);
  *r = (struct revision){.doc = NULL};
}
