/* Owns the end of a request and of its batch in memory. */
#include "tools/plugin_check/host_private.h"

static void batch_free(struct pb_batch *b) {
  free(b->form);
  free(b->json);
  free(b->content);
  free(b->ids);
  b->form = b->json = b->content = NULL;
  b->ids = NULL;
}

/* Its texts go; the struct itself stays where somebody listens, so that a late question is heard
 * instead of answered by a stray pointer. */
void host_free_batch(struct host_ticket *t) {
  struct pb_batch *b = t->batch;

  t->batch = NULL;
  if (!b) return;
  batch_free(b);
  if (b->h->watch.verdict) {
    free(b);
    return;
  }
  b->over = true;
  b->next_over = b->h->over;
  b->h->over = b;
}

void host_free_ticket(struct host_ticket *t) {
  host_free_batch(t);
  free(t->error_code);
  free(t->topics);
  free(t->body);
  free(t->detail);
  free(t);
}
