/* Owns how the admin port writes values as JSON: numbers, ids, job contents, lists. */
#include "admin/private.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

json_t *json_u64(uint64_t v) {
  return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

json_t *json_id(uint64_t id) {
  char text[ID_TEXT_MAX];
  return json_stringn_nocheck(text, id_format(id, text));
}

static json_t *json_base64(const void *data, size_t len) {
  struct buf b = {0};
  base64_add(&b, data, len);
  json_t *s = b.failed ? NULL : json_stringn_nocheck(b.data ? b.data : "", b.len);
  buf_free(&b);
  return s;
}

void json_set_content(json_t *o, const char *content, size_t len, size_t max) {
  size_t show = len;
  bool text = utf8_valid(content, len);
  if (show > max) {
    show = max;
    while (text && show && ((unsigned char)content[show] & 0xc0) == 0x80) show--;
  }
  json_object_set_new(o, "content",
                      text ? json_stringn_nocheck(content, show) : json_base64(content, show));
  if (!text) json_object_set_new(o, "encoding", json_string("base64"));
  json_object_set_new(o, "size", json_u64(len));
  if (show < len) json_object_set_new(o, "content_cut", json_true());
}

#define ITEM_GUESS 1024

/* Straight into the buffer: a list has 10,000 of them. */
static bool item_dump(struct buf *out, const json_t *item) {
  size_t room = ITEM_GUESS, len;
  while (true) {
    char *to = buf_reserve(out, room);
    len = to ? json_dumpb(item, to, room, JSON_COMPACT | JSON_REAL_PRECISION(9)) : 0;
    if (len <= room) break;
    room = len;
  }
  out->len += len;
  return len;
}

void json_list_add(struct buf *out, json_t *item, bool *first) {
  size_t before = out->len;
  if (!*first) buf_add(out, ",", 1);
  if (item_dump(out, item)) {
    *first = false;
  } else {
    out->len = before;
    out->failed = true;
  }
  json_decref(item);
}
