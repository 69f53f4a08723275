/* Owns the deletion of consumers that have nothing any more, by the hundred. */
#include "storage/redis/consumers.h"

#include "storage/redis/private.h"

void consumers_send(struct consumers *p) {
  struct store *s = p->store;
  if (!p->n) return;
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query->own = !s->member.left; /* a stop waits for it */
  query_script(s, SCRIPT_CONSUMERS_DROP, 1);
  cmd_text(&s->out, p->stream);
  for (size_t i = 0; i < p->n; i++) {
    cmd_text(&s->out, p->group[i]);
    cmd_text(&s->out, p->consumer[i]);
  }
  query_send(query, SCRIPT_CONSUMERS_DROP);
  p->n = 0;
}

void consumers_add(struct consumers *p, const char *group, const char *consumer) {
  p->group[p->n] = group;
  p->consumer[p->n] = consumer;
  if (++p->n == sizeof p->group / sizeof *p->group) consumers_send(p);
}
