/* Owns the consumer groups of a queue's topics. A job is acknowledged only when it is there for
 * every topic of the queue, so adds wait for the groups. Also deletes the entries that all groups
 * have settled. */
#include "storage/redis/private.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_MORE 5000  /* so many entries went at once: there may be more */
#define HOLD_MS   10000 /* and the lease: other nodes sweep in that time, and make their groups */

static bool group_known(const struct store_queue *q, const char *name) {
  for (size_t i = 0; i < q->groups.n_names; i++)
    if (!strcmp(q->groups.names[i], name)) return true;
  return false;
}

static const struct store_topic *topic_of(const struct store_queue *q, const char *name) {
  const struct store_topic *t = q->topics;
  while (t && strcmp(t->name, name)) t = t->next;
  return t;
}

/* Asks for one group. If the group was known to this node and is missing now, the server has lost
 * its data. Then all jobs in the stream are new. */
static void put_group(struct store_queue *q, const char *name, bool beginning, struct buf *names) {
  const struct store_topic *t = topic_of(q, name);
  const char *start = beginning ? "0" : "$";
  if (group_known(q, name)) start = t && t->paused ? "p" : "!";
  cmd_text(&q->store->out, name);
  cmd_text(&q->store->out, start);
  buf_add(names, name, strlen(name) + 1);
}

/* Asks for the groups of every topic of the queue, whatever its state and whichever node runs it: a
 * job that is added from now on is for all of them. Right after SCRIPT LOAD the server knows the
 * script. Later the text is sent: if the script were unknown, it would come again only after the
 * jobs that are sent behind it. */
static void put_groups(struct store_queue *q, const struct store_topic *only, bool loaded,
                       struct buf *names) {
  struct store *s = q->store;
  struct cmd *out = &s->out;
  if (loaded) {
    query_script(s, SCRIPT_GROUPS_MAKE, 3);
  } else {
    cmd_begin(out);
    cmd_text(out, "EVAL");
    cmd_text(out, store_script_text(SCRIPT_GROUPS_MAKE));
    cmd_u64(out, 3);
  }
  cmd_text(out, q->stream);
  cmd_text(out, q->paused);
  cmd_text(out, q->counted);
  cmd_text(out, q->retain ? "1" : "0");
  cmd_text(out, s->hello.run);
  for (size_t i = 0; q->set && !only && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    if (t->storage && !strcmp(t->storage->name, s->st->name))
      put_group(q, t->name, t->start_from == 1, names);
  }
  for (const struct store_topic *t = q->topics; t; t = t->next) {
    size_t at = 0;
    /* The group of a topic that only drains may have been dropped. */
    if (only ? t != only : !t->attached || (q->set && q->set->n_topics)) continue;
    while (at < names->len && strcmp(names->data + at, t->name)) at += strlen(names->data + at) + 1;
    if (at == names->len) put_group(q, t->name, t->from_beginning, names);
  }
}

static void group_note(struct store_queue *q, const char *name) {
  if (group_known(q, name)) return;
  char **p = realloc(q->groups.names, (q->groups.n_names + 1) * sizeof *p);
  char *copy = strdup(name);
  if (!p || !copy) out_of_memory();
  q->groups.names = p;
  q->groups.names[q->groups.n_names++] = copy;
}

/* `a` asked for groups; its names are in a->ptr, a->n[3] bytes of them. */
enum store_rc groups_told(struct query *query, enum store_rc rc, struct redis_reply *r) {
  struct store_queue *q = query->q;
  struct store *s = query->store;
  if (rc) return rc;
  if (r->type != REPLY_ARRAY || r->elements < 4) return STORE_ERROR;
  const char *names = query->ptr;
  for (size_t at = 0; at < query->n[3]; at += strlen(names + at) + 1) group_note(q, names + at);
  if (r->element[1]->integer)
    log_warning(loop_log(s->loop), q->name,
                "%lld groups of its topics were gone from the storage (data lost?); made again",
                r->element[1]->integer);
  q->groups.n = r->element[2]->integer;
  if (!r->element[3]->integer)
    q->groups.hold_until_ms = 0;
  else if (!q->groups.hold_until_ms)
    q->groups.hold_until_ms = loop_now_ms(s->loop) + s->st->lease_ms + HOLD_MS;
  for (size_t i = 4; i < r->elements; i++) count_add(q, r->element[i]->str);
  return STORE_OK;
}

void groups_ask(struct query *query, const struct store_topic *only, bool loaded, bool again) {
  struct buf names = {0};
  put_groups(query->q, only, loaded, &names);
  if (names.failed) out_of_memory();
  free(query->ptr);
  query->ptr = names.data; /* goes with it */
  query->n[3] = names.len;
  if (again)
    query_send_again(query, loaded ? SCRIPT_GROUPS_MAKE : SCRIPT_NONE);
  else
    query_send(query, loaded ? SCRIPT_GROUPS_MAKE : SCRIPT_NONE);
}

static void on_groups(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_queue *q = query->q;
  struct store *s = query->store;
  q->groups.asked--;
  s->groups.asked--;
  rc = groups_told(query, rc, r);
  if (rc && rc != STORE_UNAVAILABLE && rc != STORE_UNKNOWN) {
    if (!q->groups.failed)
      store_log_refusal(s, q->name,
                        "cannot make the topics' groups; its jobs are refused, trying again", why);
    q->groups.failed = true;
    snprintf(q->groups.why, sizeof q->groups.why, "%s", why);
  } else if (!rc) {
    if (q->groups.failed) log_info(loop_log(s->loop), q->name, "its topics' groups are there");
    q->groups.failed = false;
  }
  if (!s->groups.asked && !s->replicas.opens && s->replicas.to_send) add_replicated_go_on(s);
}

void groups_make(struct store_queue *q, bool loaded) {
  bool any = q->topics;
  for (size_t i = 0; q->set && !any && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    any = t->storage && !strcmp(t->storage->name, q->store->st->name);
  }
  if (!any) return;
  struct query *query = query_new(q->store, q, NULL, on_groups, NULL);
  query->own = true;
  q->groups.asked++;
  q->store->groups.asked++;
  groups_ask(query, NULL, loaded, false);
}

void groups_again(struct store_queue *q) {
  if (q->store->state == STORE_READY && !q->freed && !q->groups.asked && !q->groups.failed)
    groups_make(q, false);
}

static void on_released(struct query *query, enum store_rc rc, struct redis_reply *r,
                        const char *why) {
  (void)rc;
  (void)r;
  (void)why;
  /* One group less: that is known, then. Where it was refused, the group is still there: it is held
   * once more, and the script is tried again. */
  if (!query->q->freed) groups_again(query->q);
}

/* By now every node has had the time to see that the data was lost, and to make its groups. */
static void hold_release(struct store_queue *q) {
  struct store *s = q->store;
  struct query *query = query_new(s, q, NULL, on_released, NULL);
  query->own = true;
  q->groups.hold_until_ms = 0;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XGROUP");
  cmd_text(&s->out, "DESTROY");
  cmd_text(&s->out, q->stream);
  cmd_text(&s->out, STORE_GROUP_HOLD);
  query_send(query, SCRIPT_NONE);
}

void groups_sweep(struct store *s) {
  uint64_t now = loop_now_ms(s->loop);
  for (struct store_queue *q = s->objects.queues; q; q = q->next) {
    if (q->groups.failed && !q->groups.asked) groups_make(q, false);
    if (q->groups.hold_until_ms && now >= q->groups.hold_until_ms) hold_release(q);
  }
}

void groups_put(struct store_queue *q) {
  char text[24];
  snprintf(text, sizeof text, "%lld", q->groups.failed ? -2 : q->groups.n);
  cmd_text(&q->store->out, text);
}

void groups_untidy(struct store_queue *q, const char *said) {
  if (q->freed) return;
  if (!strcmp(said, "groups")) {
    groups_again(q);
    return;
  }
  if (!strcmp(said, "more")) {
    groups_trim(q);
    return;
  }
  if (!q->groups.warned)
    log_error(loop_log(q->store->loop), q->name,
              "settled jobs stay in the storage: %.300s; outcomes are stored all the same", said);
  q->groups.warned = true;
}

static void on_trimmed(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  (void)why;
  query->q->groups.trimming = false;
  if (!rc && r->integer >= TRIM_MORE) groups_trim(query->q);
}

void groups_trim(struct store_queue *q) {
  struct store *s = q->store;
  if (q->groups.trimming || q->freed || s->state != STORE_READY) return;
  uint64_t now = clock_now(s);
  struct query *query = query_new(s, q, NULL, on_trimmed, NULL);
  query->own = true;
  q->groups.trimming = true;
  query_script(s, SCRIPT_STREAM_TRIM, 1);
  cmd_text(&s->out, q->stream);
  if (q->retain)
    cmd_u64(&s->out, now > q->retain_ms ? now - q->retain_ms : 0);
  else
    cmd_text(&s->out, "");
  query_send(query, SCRIPT_STREAM_TRIM);
}

/* A topic that is not configured any more may be dropped. When it is configured again, it starts as
 * a new topic. */
void groups_forget(struct store_queue *q) {
  for (size_t i = 0; i < q->groups.n_names;) {
    bool has = false;
    for (size_t k = 0; k < q->set->n_topics && !has; k++)
      has = !strcmp(q->set->topics[k]->name, q->groups.names[i]);
    if (has) {
      i++;
      continue;
    }
    free(q->groups.names[i]);
    q->groups.names[i] = q->groups.names[--q->groups.n_names];
  }
}

void groups_init(struct store_queue *q) {
  q->groups.n = -1;
}

void groups_done(struct store_queue *q) {
  for (size_t i = 0; i < q->groups.n_names; i++) free(q->groups.names[i]);
  free(q->groups.names);
}
