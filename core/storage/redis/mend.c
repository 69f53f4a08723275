/* Owns the repair of jobs that wait for a retry or are dead, and whose place is gone: somebody
 * deleted the sorted set by hand, and their records and bytes would stay there for ever. The census
 * asks for each topic once a minute. A question is a script of three counts. */
#include "storage/redis/private.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 100

static void mend_ask(struct store_topic *t, const struct topic_settings *set, const char *cursor);

static const struct topic_settings *settings_of(const struct store_topic *t) {
  const struct queue_settings *qs = t->q->set;
  for (size_t i = 0; qs && i < qs->n_topics; i++)
    if (!strcmp(qs->topics[i]->name, t->name)) return qs->topics[i];
  return NULL;
}

static void mend_end(struct store_topic *t, bool whole, uint64_t surplus) {
  struct store *s = t->q->store;
  t->mend.asked = false;
  if (!t->mend.n) {
    if (whole)
      t->mend.surplus = surplus; /* records without bytes: nothing that could be put back */
    return;
  }
  log_error(loop_log(s->loop), t->subject,
            "%" PRIu64
            " jobs that were waiting for a retry, or dead, had no place in the storage any "
            "more (was pb:{...}:r or pb:{...}:x deleted by hand?); they have one again",
            t->mend.n);
  t->mend.n = 0;
  if (s->freeing || t->freed) return;
  s->ev.wake(s->ev.arg, s, t->q->name);
  wakeup_peers(t->q, true);
}

/* {jobs put back, cursor, records beyond the jobs in the sets} */
static void on_mended(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_topic *t = query->t;
  const struct topic_settings *set = settings_of(t);
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 3;
  (void)why;
  if (good) t->mend.n += redis_reply_u64(r->element[0]);
  if (good && set && !t->freed && strcmp(r->element[1]->str, "0") != 0)
    mend_ask(t, set, r->element[1]->str);
  else
    mend_end(t, good, good ? redis_reply_u64(r->element[2]) : 0);
}

static void mend_ask(struct store_topic *t, const struct topic_settings *set, const char *cursor) {
  struct store *s = t->q->store;
  struct cmd *out = &s->out;
  struct query *query = query_new(s, t->q, t, on_mended, NULL);
  query->own = true;
  query_script(s, SCRIPT_MEND, 5);
  cmd_text(out, t->retry);
  cmd_text(out, t->dead);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, cursor);
  cmd_u64(out, t->mend.surplus);
  cmd_u64(out, set->attempts > 0 ? (uint64_t)set->attempts : 0);
  cmd_u64(out, set->crashes > 0 ? (uint64_t)set->crashes : 0);
  cmd_u64(out, PAGE);
  query_send(query, SCRIPT_MEND);
}

void mend_topic(struct store_topic *t) {
  const struct topic_settings *set = settings_of(t);
  if (!set || t->mend.asked || t->freed || t->q->store->state != STORE_READY) return;
  t->mend.asked = true;
  mend_ask(t, set, "0");
}
