/* Owns the names behind lists of thousands of items. Each turn of the loop makes and sends some
 * items.
 *
 * Must never happen: a list that holds the loop; a whole list in memory.
 */
#include "admin/names.h"

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

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void names_add_page(struct names *l, const char **all, size_t n, const char *after, size_t limit) {
  size_t from = 0;
  qsort(all, n, sizeof *all, by_name);
  while (from < n && strcmp(all[from], after) <= 0) from++;
  size_t end = n - from > limit ? from + limit : n;
  for (size_t i = from; i < end; i++) names_add(l, all[i]);
  l->paged = true;
  l->total = n;
  l->cursor = end < n && end > from ? strdup(all[end - 1]) : NULL;
}

void names_end_list(const struct names *l, struct buf *out) {
  buf_add_text(out, "]");
  if (l->paged && l->cursor) {
    buf_add_text(out, ",\"cursor\":\"");
    buf_add_json(out, l->cursor, strlen(l->cursor));
    buf_add_text(out, "\"");
  } else if (l->paged) {
    buf_add_text(out, ",\"cursor\":null");
  }
  if (l->by_offset) {
    size_t next = l->offset + l->n;
    buf_printf(out, ",\"offset\":%zu", l->offset);
    if (l->n && next < l->total)
      buf_printf(out, ",\"next\":%zu", next);
    else
      buf_add_text(out, ",\"next\":null");
  }
  if (l->paged || l->by_offset) buf_printf(out, ",\"total\":%zu,\"exact\":true", l->total);
  buf_add_text(out, "}\n");
}

void names_free(struct names *l) {
  free(l->cursor);
  l->cursor = NULL;
  buf_free(&l->text);
}
