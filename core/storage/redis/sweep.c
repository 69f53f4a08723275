/* Owns the sweep of a storage, every two seconds: which nodes are dead (the node registry), whether
 * the data is still the same, wake-ups that this node did not hear, acts without an owner, and
 * entries that are old enough to delete.
 *
 * Costs of an idle storage: one look at the node registry per sweep, whatever the number of queues
 * and topics.
 */
#include "storage/redis/private.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS  2000
#define ACTS_EACH 3 /* sweeps: an act without an owner waits so long at most */

/* The mark is lost with the data: by FLUSHALL, by SWAPDB, or when another server is behind the
 * name. A node that reads the mark that it has just made knows that there was none before. All
 * groups are made again before a job that came since is deleted: see groups_make.lua. */
static void data_told(struct store *s, const char *mark, uint64_t mine) {
  char own[sizeof s->sweep.data];
  snprintf(own, sizeof own, "%.40s/%" PRIu64, s->node_instance, mine);
  bool made = !strcmp(own, mark), other = *s->sweep.data && strcmp(s->sweep.data, mark);
  if (!*mark) return;
  if (other)
    log_warning(loop_log(s->loop), s->subject,
                "its data was lost or exchanged (FLUSHALL?): the topics' groups are made again");
  if (other) shared_all_new(s);
  if (other || made) {
    objects_attach(s, false);
    if (!s->member.left) membership_renew(s);
  }
  snprintf(s->sweep.data, sizeof s->sweep.data, "%s", mark);
}

static void on_nodes_swept(struct query *query, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  (void)why;
  if (rc || r->type != REPLY_ARRAY) return;
  if (r->elements % 3 == 2) {
    data_told(query->store, r->element[r->elements - 2]->str, query->n[0]);
    shared_swept(query->store, r->element[r->elements - 1]);
  }
  if (membership_nodes_seen(query->store, r)) census_dead(query->store);
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
  timer_start(&s->sweep.timer, loop_jitter(s->loop, SWEEP_MS));
  char data[sizeof s->sweep.data];
  struct query *query = query_new(s, NULL, NULL, on_nodes_swept, NULL);
  query->own = true;
  query->n[0] = ++s->sweep.marks;
  snprintf(data, sizeof data, "%.40s/%u", s->node_instance, s->sweep.marks);
  membership_put_nodes(s, "", data);
  query_send(query, SCRIPT_NODES);
  groups_sweep(s);
  /* In the first moments other nodes may not have known this node, so they sent it no wake-ups. */
  if (s->sweep.n++ == 0)
    wakeup_all(s);
  else if (s->wakeups.peers)
    wakeup_missed(s);
  if (s->sweep.n % ACTS_EACH == 1) acts_find_open(s);
  trim_one(s);
}

void sweep_init(struct store *s) {
  timer_init(&s->sweep.timer, s->loop, sweep, s);
}

void sweep_start(struct store *s) {
  s->sweep.n = 0;
  s->sweep.data[0] = 0;
  timer_start(&s->sweep.timer, loop_jitter(s->loop, SWEEP_MS / 2));
}

void sweep_stop(struct store *s) {
  timer_stop(&s->sweep.timer);
}

void sweep_done(struct store *s) {
  timer_done(&s->sweep.timer);
}
