/* Owns the slices of acts: a script each, which moves some jobs and writes how far the act is.
 *
 * Must never happen: a job counted twice, or acted on twice, because an answer was lost or because
 * two nodes take themselves for the owner. So all that a slice goes by stands in the storage.
 */
#include "storage/redis/act_filtered.h"
#include "storage/redis/act_keys.h"
#include "storage/redis/private.h"

#include <stdio.h>
#include <string.h>

#define SLICE_JOBS  50           /* a script of less than a millisecond */
#define READY_JOBS  200          /* entries that the stream gives away one behind the other ... */
#define READY_BYTES (256u << 10) /* ... whose contents are copied */
#define SLICE_BYTES (16u << 20)  /* of contents that are deleted */

static void on_slice(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_slice got = {0};
  if (!rc) got = act_slice_read(r);
  query->fn.slice(query->arg, rc, &got, why);
}

static struct query *slice_query(struct store *s, store_slice_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_slice, arg);
  query->fn.slice = fn;
  return query;
}

/* --- all jobs of a set --- */

static void slice_of_set(struct store *s, const struct store_act *act, struct query *query) {
  enum store_script script = act->kind == STORE_ACT_PURGE ? SCRIPT_ACT_PURGE : SCRIPT_ACT_REPLAY;
  query_script(s, script, act->keeps ? 8 : 7);
  act_put_topic_keys(s, act, "rxhbcm");
  act_put_key(s, act->queue, "act", act->id);
  if (act->keeps) act_put_key(s, act->queue, "undo", act->id);
  cmd_u64(&s->out, act->set);
  cmd_u64(&s->out, act->count);
  cmd_u64(&s->out, SLICE_JOBS);
  cmd_u64(&s->out, SLICE_BYTES);
  cmd_u64(&s->out, act->rate);
  query_send(query, script);
}

/* --- ready jobs --- */

static void slice_of_ready(struct store *s, const struct store_act *act, struct query *query) {
  struct store_queue *q = queue_named(s, act->queue, NULL);
  query_script(s, SCRIPT_ACT_PURGE_READY, 2);
  char stream[NAME_LEN_MAX + 16];
  snprintf(stream, sizeof stream, "pb:{%s}:s", act->queue);
  cmd_text(&s->out, stream);
  act_put_key(s, act->queue, "act", act->id);
  cmd_text(&s->out, act->topic);
  cmd_u64(&s->out, act->count);
  cmd_u64(&s->out, READY_JOBS);
  cmd_u64(&s->out, READY_BYTES);
  cmd_u64(&s->out, act->rate);
  /* A node that does not know how many groups the queue has deletes nothing from its stream. */
  cmd_text(&s->out, !q || q->retain ? "1" : "0");
  if (q)
    groups_put(q);
  else
    cmd_u64(&s->out, 0);
  query_send(query, SCRIPT_ACT_PURGE_READY);
}

/* --- undo --- */

static void slice_of_undo(struct store *s, const struct store_act *act, struct query *query) {
  query_script(s, SCRIPT_ACT_UNDO, 8);
  act_put_topic_keys(s, act, "rxhbc");
  act_put_key(s, act->queue, "act", act->id);
  act_put_key(s, act->queue, "undo", act->undoes);
  act_put_key(s, act->queue, "act", act->undoes);
  cmd_u64(&s->out, SLICE_JOBS);
  query_send(query, SCRIPT_ACT_UNDO);
}

void store_act_slice(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg) {
  if (act->filtered) {
    act_filtered_slice(s, act, fn, arg);
    return;
  }
  struct query *query = slice_query(s, fn, arg);
  if (act->kind == STORE_ACT_UNDO)
    slice_of_undo(s, act, query);
  else if (act->set == STORE_SET_READY)
    slice_of_ready(s, act, query);
  else
    slice_of_set(s, act, query);
}

void store_act_tidy(struct store *s, const struct store_act *act, store_slice_fn fn, void *arg) {
  struct query *query = slice_query(s, fn, arg);
  query_script(s, SCRIPT_ACT_TIDY, 7);
  act_put_topic_keys(s, act, "rxhbc");
  act_put_key(s, act->queue, "act", act->id);
  act_put_key(s, act->queue, "undo", act->id);
  cmd_text(&s->out, act->kind == STORE_ACT_PURGE ? "1" : "0");
  cmd_u64(&s->out, SLICE_JOBS);
  cmd_u64(&s->out, SLICE_BYTES);
  query_send(query, SCRIPT_ACT_TIDY);
}
