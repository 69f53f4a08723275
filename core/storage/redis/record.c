/* Owns how a failed job is read from what a script answers. */
#include "storage/redis/record.h"

#include "base/out_of_memory.h"
#include "storage/redis/private.h"

#include <stdlib.h>
#include <string.h>

/* A number and the space or the line's end behind it. */
static bool take(const char **p, const char *end, uint64_t *ret) {
  const char *from = *p;
  uint64_t n = 0;
  for (; *p < end && **p >= '0' && **p <= '9'; ++*p) n = n * 10 + (uint64_t)(**p - '0');
  *ret = n;
  return *p > from && *p < end && (**p == ' ' || **p == '\n') && ++*p;
}

/* "failed crashes first at code field# node#\n" field node message */
bool record_parse(const char *text, size_t len, struct record_parts *ret) {
  const char *p = text, *end = text + len;
  struct record_parts r = {0};
  uint64_t code, field, node;
  *ret = (struct record_parts){.field = "", .node = "", .message = ""};
  if (!len || !take(&p, end, &r.failed) || !take(&p, end, &r.crashes) ||
      !take(&p, end, &r.first_ms) || !take(&p, end, &r.at_ms))
    return false;
  bool minus = p < end && *p == '-';
  if (minus) p++;
  if (!take(&p, end, &code) || !take(&p, end, &field) || !take(&p, end, &node) || p[-1] != '\n')
    return false;
  size_t rest = (size_t)(end - p);
  if (field > rest || node > rest - field) return false;
  r.code = minus ? -(int)code : (int)code;
  r.field = p;
  r.field_len = field;
  r.node = p + field;
  r.node_len = node;
  r.message = p + field + node;
  r.message_len = rest - field - node;
  *ret = r;
  return true;
}

/* The content in a stored form; what cannot be decoded is shown as it is. */
static void body_parse(const struct redis_reply *r, struct store_record *ret) {
  struct job_head head;
  ret->content = r->str ? r->str : "";
  ret->content_len = r->len;
  size_t at = job_decode_head(ret->content, r->len, &head);
  if (!at || head.id != ret->id) return;
  ret->content += at;
  ret->content_len -= at;
  ret->origin = head.origin;
}

static char *copy_of(const char *text, size_t len) {
  char *copy = malloc(len + 1);
  if (!copy) out_of_memory();
  if (len) memcpy(copy, text, len);
  copy[len] = 0;
  return copy;
}

void record_read(struct store_record *ret, struct redis_reply *const *e) {
  struct record_parts parts;
  record_parse(e[4]->str ? e[4]->str : "", e[4]->len, &parts);
  *ret = (struct store_record){.id = redis_reply_u64(e[0]),
                               .due_ms = redis_reply_u64(e[1]),
                               .dead = e[2]->integer,
                               .claimed = e[3]->integer,
                               .failed = (uint32_t)parts.failed,
                               .crashes = (uint32_t)parts.crashes,
                               .first_failed_ms = parts.first_ms,
                               .failed_ms = parts.at_ms,
                               .code = parts.code,
                               .message_len = parts.message_len};
  size_t size = (size_t)redis_reply_u64(e[5]);
  body_parse(e[6], ret);
  /* Without the stored form's head, where that was read. */
  ret->size = size - (e[6]->len - ret->content_len);
  ret->node = copy_of(parts.node, parts.node_len);
  ret->message = copy_of(parts.message, parts.message_len);
  ret->content = copy_of(ret->content, ret->content_len);
}

void record_done(struct store_record *record) {
  free((char *)record->node);
  free((char *)record->message);
  free((char *)record->content);
}
