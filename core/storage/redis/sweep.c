/* Owns the sweep of a storage, every two seconds: which nodes are dead (the node registry), whether
 * the data is still the same, wake-ups that this node did not hear, acts without an owner, and
 * entries that are old enough to delete.
 *
 * Costs of an idle storage: one script per sweep, which renews the lease and tells all of that,
 * whatever the number of queues and topics.
 */
#include "storage/redis/private.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS      2000
#define SWEEP_MORE_MS 280 /* or thereabouts: nodes do not act in step */
#define ACTS_EACH     3   /* sweeps: an act without an owner waits so long at most */
#define NEWS_EACH     2   /* sweeps: what nodes tell one another and was not heard; within 5 s */
#define FULL_EACH     5   /* sweeps: an older release's node, which has no mark, is seen */

static void version_set(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "SET");
  cmd_text(&s->out, STORE_KEY_VERSION);
  cmd_u64(&s->out, STORE_LAYOUT);
  cmd_text(&s->out, "NX");
  query_send(query, SCRIPT_NONE);
}

/* All groups are made again before a job that came since is deleted: see groups_make.lua. */
void sweep_data_lost(struct store *s) {
  log_warning(loop_log(s->loop), s->subject,
              "its data was lost or exchanged (FLUSHALL?): the topics' groups are made again");
  version_set(s);
  shared_all_new(s);
  objects_attach(s);
}

/* Each sweep trims one queue: it deletes entries that are settled and, with `retain`, old enough.
 */
static void trim_one(struct store *s) {
  size_t n = 0, at;
  struct store_queue *q;
  for (q = s->objects.queues; q; q = q->next) n += q->retain;
  if (!n) return;
  at = s->sweep.trim_at++ % n;
  for (q = s->objects.queues; q && (!q->retain || at); q = q->next) at -= q->retain;
  if (q) groups_trim(q);
}

static void sweep(void *arg) {
  struct store *s = arg;
  timer_start(&s->sweep.timer, SWEEP_MS + loop_jitter(s->loop, SWEEP_MORE_MS));
  unsigned n = s->sweep.n++;
  membership_renew(s, n % NEWS_EACH == 0, n % ACTS_EACH == 0, n % FULL_EACH == 0);
  groups_sweep(s);
  /* In the first moments other nodes may not have known this node, so they sent it no wake-ups. */
  if (!n)
    wakeup_all(s);
  else if (s->wakeups.peers)
    wakeup_missed(s);
  trim_one(s);
}

void sweep_init(struct store *s) {
  timer_init(&s->sweep.timer, s->loop, sweep, s);
}

void sweep_start(struct store *s) {
  s->sweep.n = 0;
  timer_start(&s->sweep.timer, loop_jitter(s->loop, SWEEP_MS / 2));
}

void sweep_stop(struct store *s) {
  timer_stop(&s->sweep.timer);
}

void sweep_done(struct store *s) {
  timer_done(&s->sweep.timer);
}
