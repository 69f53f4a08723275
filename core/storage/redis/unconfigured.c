/* Owns the topics that a storage holds jobs of and the configuration does not name (any more): the
 * walk that finds them and warns of them, their listing, and their deletion.
 *
 * The walk comes after the first READY and after topics left, one queue at a time, and touches
 * nothing: whether such jobs are rubbish only an operator knows.
 */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALK_WAIT_MS 1000 /* after the last change: leaving topics drain first */
#define SAID_MAX     100  /* of one walk by name, the others by number */
#define FOUND_MAX    1000

struct names {
  char *name[SAID_MAX];
  size_t n;
};

struct stray_walk {
  char **queue;
  size_t n, at;
  struct names said; /* by this walk */
  uint64_t more;     /* not named */
  struct store_stray *found;
  size_t n_found;
};

/* --- the operator's remedies --- */

static void on_dropped(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store *s = query->store;
  if (!rc) { /* what only that group had not settled goes as well */
    for (struct store_queue *q = NULL; (q = queue_named(s, query->ptr, q));) groups_trim(q);
    unconfigured_wanted(s);
  }
  uint64_t n = rc ? 0 : r->integer < 0 ? STORE_NOTHING : redis_reply_u64(r);
  query->fn.done(query->arg, rc, n, why);
}

void store_drop(struct store *s, const char *queue, const char *topic, bool retain,
                store_done_fn fn, void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_dropped, arg);
  static const char *const history_kinds[] = {"hm", "hh", "sig", NULL};
  char key[2 * NAME_LEN_MAX + 16];
  if (!(query->ptr = strdup(queue))) out_of_memory();
  query->fn.done = fn;
  query_script(s, SCRIPT_TOPIC_DROP, 11);
  for (const char *kind = "sp"; *kind; kind++) {
    snprintf(key, sizeof key, "pb:{%s}:%c", queue, *kind);
    cmd_text(out, key);
  }
  for (const char *kind = "rxhbce"; *kind; kind++) {
    snprintf(key, sizeof key, "pb:{%s}:%c:%s", queue, *kind, topic);
    cmd_text(out, key);
  }
  for (const char *const *kind = history_kinds; *kind; kind++) {
    snprintf(key, sizeof key, "pb:{%s}:%s:%s", queue, *kind, topic);
    cmd_text(out, key);
  }
  cmd_text(out, topic);
  cmd_text(out, retain ? "1" : "0");
  query_send(query, SCRIPT_TOPIC_DROP);
}

/* --- the jobs of a queue --- */

static void stray_read(struct store_stray *to, const char *queue, uint64_t delayed,
                       struct redis_reply **e) {
  uint64_t *counts[] = {&to->ready, &to->running, &to->retry, &to->dead};
  *to = (struct store_stray){.delayed = delayed};
  snprintf(to->queue, sizeof to->queue, "%s", queue);
  snprintf(to->topic, sizeof to->topic, "%s", e[0]->str);
  for (size_t i = 0; i < 4; i++) *counts[i] = redis_reply_u64(e[i + 1]);
}

static void on_groups(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store_stray *list = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    if (!(list = calloc(r->elements, sizeof *list))) out_of_memory();
    for (size_t i = 1; i + 5 <= r->elements; i += 5)
      stray_read(&list[n++], query->ptr, redis_reply_u64(r->element[0]), r->element + i);
  }
  query->fn.strays(query->arg, rc, list, n, why);
  free(list);
}

void store_groups(struct store *s, const char *queue, store_strays_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_groups, arg);
  char key[NAME_LEN_MAX + 16];
  if (!(query->ptr = strdup(queue))) out_of_memory();
  query->fn.strays = fn;
  snprintf(key, sizeof key, "pb:{%s}:s", queue);
  query_script(s, SCRIPT_QUEUE_HOLDS, 1);
  cmd_text(&s->out, key);
  query_send(query, SCRIPT_QUEUE_HOLDS);
}

const struct store_stray *store_strays(const struct store *s, size_t *ret_n) {
  *ret_n = s->unconfigured.n;
  return s->unconfigured.list;
}

void store_on_stray(struct store *s,
                    enum store_known (*known)(void *arg, const char *queue, const char *topic),
                    void *arg) {
  s->unconfigured.known = known;
  s->unconfigured.known_arg = arg;
}

/* A topic that was moved to another storage is a stray here. */
static bool queue_has(const struct store_queue *q, const char *topic) {
  if (!strcmp(topic, STORE_GROUP_HOLD)) return true; /* belongs to no topic */
  for (const struct store_topic *t = q->topics; t; t = t->next)
    if (!strcmp(t->name, topic)) return true;
  for (size_t i = 0; q->set && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    if (!strcmp(t->name, topic))
      return !t->storage || !strcmp(t->storage->name, q->store->st->name);
  }
  return false;
}

/* --- the walk --- */

static void names_free(struct names *l) {
  for (size_t i = 0; i < l->n; i++) free(l->name[i]);
  l->n = 0;
}

static bool names_have(const struct names *l, const char *name) {
  for (size_t i = 0; i < l->n; i++)
    if (!strcmp(l->name[i], name)) return true;
  return false;
}

/* Notes the name for the next walk. True: the name is new and must be logged. */
static bool walk_says(struct store *s, const char *name) {
  struct stray_walk *w = s->unconfigured.walk;
  if (w->said.n == SAID_MAX) {
    w->more++;
    return false;
  }
  if (!(w->said.name[w->said.n++] = strdup(name))) out_of_memory();
  return !names_have(s->unconfigured.said, name);
}

static void walk_end(struct store *s) {
  struct stray_walk *w = s->unconfigured.walk;
  s->unconfigured.walk = NULL;
  if (!w) return;
  for (size_t i = 0; i < w->n; i++) free(w->queue[i]);
  free(w->queue);
  names_free(&w->said);
  free(w->found);
  free(w);
  if (s->unconfigured.due && s->state == STORE_READY && !s->freeing)
    timer_start(&s->unconfigured.timer, WALK_WAIT_MS);
}

static void walk_complete(struct store *s) {
  struct names *was = s->unconfigured.said;
  struct stray_walk *w = s->unconfigured.walk;
  if (w->more)
    log_warning(loop_log(s->loop), s->subject,
                "%" PRIu64 " more topics and queues are not configured and have jobs here",
                w->more);
  log_debug(loop_log(s->loop), s->subject, "looked through %zu queues for stray jobs: found %zu",
            w->n, w->said.n);
  names_free(was);
  *was = w->said;
  w->said.n = 0;
  free(s->unconfigured.list);
  s->unconfigured.list = w->found;
  s->unconfigured.n = w->n_found;
  w->found = NULL;
  walk_end(s);
}

static bool queue_moved(const struct store_queue *q, const char *topic) {
  for (size_t i = 0; q->set && i < q->set->n_topics; i++)
    if (!strcmp(q->set->topics[i]->name, topic)) return true;
  return false;
}

/* `jobs`: waiting or running; `failed`: waiting for a retry, or dead. */
static void tell_topic(struct store *s, const char *queue, const char *topic, uint64_t jobs,
                       uint64_t failed, bool moved) {
  char path[2 * NAME_LEN_MAX + 2], remedy[2 * NAME_LEN_MAX + 200];
  snprintf(path, sizeof path, "%s/%s", queue, topic);
  if (!walk_says(s, path)) return;
  if (moved)
    snprintf(remedy, sizeof remedy,
             "it uses another storage now: carry them over with `pepperbusctl topic move %.260s`",
             path);
  else
    snprintf(
        remedy, sizeof remedy,
        "configure it again, carry them over to another topic with `pepperbusctl topic rename`, "
        "or delete them with `pepperbusctl topic drop %.260s`",
        path);
  log_warning(loop_log(s->loop), path,
              "is not configured for %s any more and has %" PRIu64 " jobs and %" PRIu64
              " failed ones there, where each new one is kept for it too; %s",
              s->subject, jobs, failed, remedy);
}

/* If there are other nodes, one of them may serve the queue. */
static void tell_queue(struct store *s, const char *queue, const char *topics, uint64_t jobs) {
  if (!walk_says(s, queue)) return;
  if (s->wakeups.peers)
    log_info(loop_log(s->loop), queue, "not configured on this node; %s has %" PRIu64 " jobs of it",
             s->subject, jobs);
  else
    log_warning(loop_log(s->loop), queue,
                "is not configured any more and has %" PRIu64
                " jobs in %s (topics: %s); add [queue %s] and its topics again to handle or drop "
                "them",
                jobs, s->subject, topics, queue);
}

/* Keeps the topic for status and /metrics. Only the first FOUND_MAX are kept. */
static void walk_keep(struct stray_walk *w, const struct store_stray *stray) {
  if (w->n_found == FOUND_MAX) return;
  struct store_stray *p = realloc(w->found, (w->n_found + 1) * sizeof *p);
  if (!p) return;
  w->found = p;
  w->found[w->n_found++] = *stray;
}

/* Handles a topic of a queue that this storage serves, or of a queue that is now configured for
 * other storages. */
static bool walk_topic(struct store *s, const struct store_stray *one) {
  enum store_known known = s->unconfigured.known ? s->unconfigured.known(s->unconfigured.known_arg,
                                                                         one->queue, one->topic)
                                                 : STORE_KNOWN_NOT;
  bool here = false, has = false;
  /* Two of one name, where a reload changed how long it retains. */
  for (const struct store_queue *q = NULL; (q = queue_named(s, one->queue, q));) {
    here = true;
    has |= queue_has(q, one->topic);
    if (queue_moved(q, one->topic)) known = STORE_KNOWN_TOPIC;
  }
  if (has) return true;
  uint64_t jobs = one->ready + one->running, failed = one->retry + one->dead;
  walk_keep(s->unconfigured.walk, one);
  if (!here && (known == STORE_KNOWN_NOT || !(jobs + failed + one->delayed)))
    return known != STORE_KNOWN_NOT;
  tell_topic(s, one->queue, one->topic, jobs, failed, known == STORE_KNOWN_TOPIC);
  return true;
}

/* {delayed, then name ready running retry dead of each group} */
static void walk_judge(struct store *s, const char *name, const struct redis_reply *r) {
  uint64_t delayed = redis_reply_u64(r->element[0]), all = delayed;
  bool known = queue_named(s, name, NULL);
  char topics[400] = "";
  size_t len = 0;
  for (size_t i = 1; i + 5 <= r->elements; i += 5) {
    struct store_stray one;
    stray_read(&one, name, delayed, r->element + i);
    known |= walk_topic(s, &one);
    all += one.ready + one.running + one.retry + one.dead;
    if (len < sizeof topics)
      len +=
          (size_t)snprintf(topics + len, sizeof topics - len, "%s%s", len ? ", " : "", one.topic);
  }
  if (!known && all) tell_queue(s, name, topics, all);
}

static void walk_step(struct query *query);

static void on_walked(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  struct stray_walk *w = s->unconfigured.walk;
  (void)why;
  if (rc || s->freeing || r->type != REPLY_ARRAY || !r->elements) {
    s->unconfigured.due = true; /* the next READY begins again */
    walk_end(s);
    return;
  }
  walk_judge(s, w->queue[w->at], r);
  if (++w->at < w->n)
    walk_step(query);
  else
    walk_complete(s);
}

static void walk_step(struct query *query) {
  struct store *s = query->store;
  char key[NAME_LEN_MAX + 16];
  snprintf(key, sizeof key, "pb:{%s}:s", s->unconfigured.walk->queue[s->unconfigured.walk->at]);
  query->answer = on_walked;
  query_script(s, SCRIPT_QUEUE_HOLDS, 1);
  cmd_text(&s->out, key);
  query_send_again(query, SCRIPT_QUEUE_HOLDS);
}

static void on_queues(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  struct stray_walk *w = s->unconfigured.walk;
  (void)why;
  if (rc || s->freeing || r->type != REPLY_ARRAY) {
    s->unconfigured.due = true;
    walk_end(s);
    return;
  }
  if (!(w->queue = calloc(r->elements + 1, sizeof *w->queue))) out_of_memory();
  for (; w->n < r->elements; w->n++)
    if (!(w->queue[w->n] = strdup(r->element[w->n]->str))) out_of_memory();
  if (w->n)
    walk_step(query);
  else
    walk_complete(s);
}

static void walk_start(void *arg) {
  struct store *s = arg;
  if (s->unconfigured.walk || s->member.left || s->state != STORE_READY) return;
  s->unconfigured.due = false;
  if (!(s->unconfigured.walk = calloc(1, sizeof *s->unconfigured.walk))) out_of_memory();
  struct query *query = query_new(s, NULL, NULL, on_queues, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "SMEMBERS");
  cmd_text(&s->out, STORE_KEY_QUEUES);
  query_send(query, SCRIPT_NONE);
}

void unconfigured_wanted(struct store *s) {
  if (s->freeing || s->member.left) return;
  s->unconfigured.due = true;
  if (!s->unconfigured.walk && s->state == STORE_READY)
    timer_start(&s->unconfigured.timer, WALK_WAIT_MS);
}

void unconfigured_start(struct store *s) {
  if (s->unconfigured.due) timer_start(&s->unconfigured.timer, WALK_WAIT_MS);
}

int unconfigured_init(struct store *s) {
  timer_init(&s->unconfigured.timer, s->loop, walk_start, s);
  s->unconfigured.due = true;
  s->unconfigured.said = calloc(1, sizeof *s->unconfigured.said);
  return s->unconfigured.said ? 0 : -ENOMEM;
}

void unconfigured_done(struct store *s) {
  s->unconfigured.due = false;
  timer_done(&s->unconfigured.timer);
  walk_end(s);
  if (s->unconfigured.said) names_free(s->unconfigured.said);
  free(s->unconfigured.said);
  free(s->unconfigured.list);
}
