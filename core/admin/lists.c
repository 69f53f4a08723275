/* Owns lists of thousands: they are sent as they are made, some of them in each turn.
 *
 * Must never happen: a list that holds the loop, or one that stands in memory as a whole.
 */
#include "admin/lists.h"

#include <stdlib.h>
#include <string.h>

void names_add(struct names *l, const char *name) {
  buf_add(&l->text, name, strlen(name) + 1);
  l->n++;
}

const char *names_peek(const struct names *l) {
  return l->next < l->n ? l->text.data + l->at : NULL;
}

void names_take(struct names *l) {
  l->at += strlen(l->text.data + l->at) + 1;
  l->next++;
}

void names_free(struct names *l) {
  buf_free(&l->text);
}

void list_add(struct buf *out, json_t *item, bool *first) {
  char *text = json_dumps(item, JSON_COMPACT | JSON_REAL_PRECISION(9));
  if (!text)
    out->failed = true;
  else {
    if (!*first) buf_add(out, ",", 1);
    buf_add_text(out, text);
    *first = false;
  }
  free(text);
  json_decref(item);
}
