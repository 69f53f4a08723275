/* Owns a slice of an act with a filter. It is three questions: how far the act is and how many jobs
 * its rate allows now, a look for so many (scan.h), and the script that acts on what was found and
 * notes how far it is.
 *
 * Must never happen: a job acted on that the filter does not name, whatever a node has configured.
 * So the act carries its filter whole, and what makes a job quarantined too.
 */
#include "storage/redis/act_filtered.h"

#include "storage/redis/act_keys.h"
#include "storage/redis/private.h"
#include "storage/redis/scan.h"

#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step {
  struct store *s;
  struct store_act act;
  char from[STORE_SCAN_AT_MAX]; /* where its look began */
  uint64_t total;               /* jobs in the sets that it looks through */
  bool looked;
  store_slice_fn fn;
  void *arg;
};

static void step_end(struct step *step, enum store_rc rc, const struct store_slice *got,
                     const char *why) {
  static const struct store_slice nothing;
  step->fn(step->arg, rc, rc ? &nothing : got, why);
  free(step);
}

static void step_note(const struct step *step, uint64_t looked, struct store_slice *got) {
  if (step->looked && !got->over)
    snprintf(got->note, sizeof got->note, "looked at %" PRIu64 " of %" PRIu64 " jobs", looked,
             step->total > looked ? step->total : looked);
}

static void on_scanned(void *arg, enum store_rc rc, const struct store_scanned *r, const char *why);

static void on_some(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct step *step = query->arg;
  if (!rc && (r->type != REPLY_ARRAY || r->elements < 8)) {
    rc = STORE_ERROR;
    why = "the storage answered something that is not a slice of an act";
  }
  if (rc) {
    step_end(step, rc, NULL, why);
    return;
  }
  struct store_slice got = act_slice_read(r);
  uint64_t free_now = redis_reply_u64(r->element[5]);
  struct store_scan scan = {.filter = step->act.filter, .want = free_now};
  if (step->looked || got.over || !free_now ||
      !store_scan_at_parse(r->element[6]->str, &scan.from)) {
    step_note(step, redis_reply_u64(r->element[7]), &got);
    step_end(step, STORE_OK, &got, "");
    return;
  }
  snprintf(step->from, sizeof step->from, "%s", r->element[6]->str);
  step->looked = true;
  scan_topic(step->s, step->act.queue, step->act.topic, &scan, on_scanned, step);
}

/* `r` NULL: nothing was looked for yet. */
static void some_send(struct step *step, const struct store_scanned *r) {
  struct store *s = step->s;
  struct cmd *out = &s->out;
  const struct store_act *act = &step->act;
  char place[STORE_SCAN_AT_MAX] = "";
  struct query *query = query_new(s, NULL, NULL, on_some, step);
  query_script(s, SCRIPT_ACT_SOME, act->keeps ? 8 : 7);
  act_put_topic_keys(s, act, "rxhbcm");
  act_put_key(s, act->queue, "act", act->id);
  if (act->keeps) act_put_key(s, act->queue, "undo", act->id);
  cmd_u64(out, act->set);
  cmd_u64(out, act->count);
  cmd_u64(out, ACT_SLICE_JOBS);
  cmd_u64(out, ACT_SLICE_BYTES);
  cmd_u64(out, act->rate);
  cmd_text(out, act->kind == STORE_ACT_PURGE ? "p" : "r");
  cmd_text(out, r ? step->from : "-");
  if (r) store_scan_at_format(&r->at, place);
  cmd_text(out, place);
  cmd_text(out, r && r->over ? "1" : "0");
  cmd_u64(out, r ? r->looked : 0);
  for (size_t i = 0; r && i < r->n; i++) {
    const struct store_record *one = &r->records[i];
    struct store_scan_at at = {one->dead ? 'x' : 'r', one->due_ms, one->id};
    store_scan_at_format(&at, place);
    cmd_text(out, place);
  }
  query_send(query, SCRIPT_ACT_SOME);
}

static void on_scanned(void *arg, enum store_rc rc, const struct store_scanned *r,
                       const char *why) {
  struct step *step = arg;
  if (rc) {
    step_end(step, rc, NULL, why);
    return;
  }
  step->total = r->total;
  some_send(step, r);
}

void act_filtered_slice(struct store *s, const struct store_act *act, store_slice_fn fn,
                        void *arg) {
  struct step *step = calloc(1, sizeof *step);
  if (!step) out_of_memory();
  step->s = s;
  step->act = *act;
  step->fn = fn;
  step->arg = arg;
  some_send(step, NULL);
}
