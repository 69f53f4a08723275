/* Owns the names behind lists of thousands of items. Each turn of the loop makes and sends some
 * items.
 *
 * Must never happen: a list that holds the loop; a whole list in memory.
 */
#include "admin/names.h"

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
