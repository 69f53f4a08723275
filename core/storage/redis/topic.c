/* Owns queues and topics of a storage, and the way of a job from there into this node's memory:
 * new ones, due retries, those that a dead node was running. */
#include "storage/redis/private.h"

#include "base/buf.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_PAGE 100
#define CLAIMS_PAGE  500
#define MOVE_PAGE    100
#define NAMES_MAX    1000 /* of a command: Lua's unpack() takes some thousands */
#define MOVE_BYTES   (1u << 20)
/* One command or script must not hold Redis up for long; who wants more asks again. */
#define TAKE_MAX  1000
#define DUE_MAX   200
#define DUE_BYTES (2u << 20)
#define HOLD_MS   10000 /* and the lease: other nodes sweep in that time, and make their groups */

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...) {
  va_list ap;
  char *p;
  va_start(ap, fmt);
  if (vasprintf(&p, fmt, ap) < 0) p = NULL;
  va_end(ap);
  return p;
}

/* --- queues --- */

static void queue_destroy(struct store_queue *q) {
  free(q->name);
  free(q->stream);
  free(q->delayed);
  free(q->delayed_jobs);
  free(q->paused);
  free(q->counted);
  free(q->xadd);
  for (size_t i = 0; i < q->n_grouped; i++) free(q->grouped[i]);
  free(q->grouped);
  free(q);
}

void store_queue_unref(struct store_queue *q) {
  if (--q->refs == 0) queue_destroy(q);
}

/* --- groups --- */

static bool group_known(const struct store_queue *q, const char *name) {
  for (size_t i = 0; i < q->n_grouped; i++)
    if (!strcmp(q->grouped[i], name)) return true;
  return false;
}

static const struct store_topic *topic_of(const struct store_queue *q, const char *name) {
  const struct store_topic *t = q->topics;
  while (t && strcmp(t->name, name)) t = t->next;
  return t;
}

/* One that was here in the life of this node and is not now: the server lost its data, and whatever
 * its stream holds is new. */
static void put_group(struct store_queue *q, const char *name, bool beginning, struct buf *names) {
  const struct store_topic *t = topic_of(q, name);
  const char *start = beginning ? "0" : "$";
  if (group_known(q, name)) start = t && t->paused ? "p" : "!";
  cmd_text(&q->store->out, name);
  cmd_text(&q->store->out, start);
  buf_add(names, name, strlen(name) + 1);
}

/* Every topic of the queue, whatever its state and whoever runs it: what is added from now on is
 * for all of them. Right after the scripts were loaded the server knows them; later the text goes
 * along, for a script that is unknown would come after the jobs that are sent behind it. */
static void put_groups(struct store_queue *q, const struct store_topic *only, bool loaded,
                       struct buf *names) {
  struct store *s = q->store;
  struct redis_command *out = &s->out;
  if (loaded) {
    ask_script(s, SCRIPT_GROUPS_MAKE, 3);
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
  cmd_text(out, s->run);
  for (size_t i = 0; q->set && !only && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    if (t->storage && !strcmp(t->storage->name, s->st->name))
      put_group(q, t->name, t->start_from == 1, names);
  }
  for (const struct store_topic *t = q->topics; t; t = t->next) {
    size_t at = 0;
    /* Of one that only drains the group may have been dropped. */
    if (only ? t != only : !t->attached || (q->set && q->set->n_topics)) continue;
    while (at < names->len && strcmp(names->data + at, t->name)) at += strlen(names->data + at) + 1;
    if (at == names->len) put_group(q, t->name, t->from_beginning, names);
  }
}

static void group_note(struct store_queue *q, const char *name) {
  if (group_known(q, name)) return;
  char **p = realloc(q->grouped, (q->n_grouped + 1) * sizeof *p);
  char *copy = strdup(name);
  if (!p || !copy) abort();
  q->grouped = p;
  q->grouped[q->n_grouped++] = copy;
}

/* `a` asked for groups; its names are in a->ptr, a->n[3] bytes of them. */
static enum store_rc groups_told(struct ask *a, enum store_rc rc, struct redis_reply *r) {
  struct store_queue *q = a->q;
  struct store *s = a->store;
  if (rc) return rc;
  if (r->type != REPLY_ARRAY || r->elements < 4) return STORE_ERROR;
  const char *names = a->ptr;
  for (size_t at = 0; at < a->n[3]; at += strlen(names + at) + 1) group_note(q, names + at);
  if (r->element[1]->integer)
    log_warning(loop_log(s->loop), q->name,
                "%lld groups of its topics were gone from the storage (data lost?); made again",
                r->element[1]->integer);
  q->groups = r->element[2]->integer;
  if (!r->element[3]->integer)
    q->held_until_ms = 0;
  else if (!q->held_until_ms)
    q->held_until_ms = loop_now_ms(s->loop) + s->st->lease_ms + HOLD_MS;
  for (size_t i = 4; i < r->elements; i++) store_count_add(q, r->element[i]->str);
  return STORE_OK;
}

static void groups_ask(struct ask *a, const struct store_topic *only, bool loaded, bool again) {
  struct buf names = {0};
  put_groups(a->q, only, loaded, &names);
  if (names.failed) abort();
  free(a->ptr);
  a->ptr = names.data; /* goes with it */
  a->n[3] = names.len;
  if (again)
    ask_send_again(a, loaded ? SCRIPT_GROUPS_MAKE : SCRIPT_NONE);
  else
    ask_send(a, loaded ? SCRIPT_GROUPS_MAKE : SCRIPT_NONE);
}

static void on_groups(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_queue *q = a->q;
  struct store *s = a->store;
  q->grouping--;
  s->grouping--;
  rc = groups_told(a, rc, r);
  if (rc && rc != STORE_UNAVAILABLE && rc != STORE_UNKNOWN) {
    if (!q->ungrouped)
      store_complain(s, q->name,
                     "cannot make the topics' groups; its jobs are refused, trying again", why);
    q->ungrouped = true;
    snprintf(q->ungrouped_why, sizeof q->ungrouped_why, "%s", why);
  } else if (!rc) {
    if (q->ungrouped) log_info(loop_log(s->loop), q->name, "its topics' groups are there");
    q->ungrouped = false;
  }
  if (!s->grouping && !s->sync_opens && s->to_sync) store_intake_go_on(s);
}

static void queue_groups(struct store_queue *q, bool loaded) {
  bool any = q->topics;
  for (size_t i = 0; q->set && !any && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    any = t->storage && !strcmp(t->storage->name, q->store->st->name);
  }
  if (!any) return;
  struct ask *a = ask_new(q->store, q, NULL, on_groups, NULL);
  a->own = true;
  q->grouping++;
  q->store->grouping++;
  groups_ask(a, NULL, loaded, false);
}

void store_regroup(struct store_queue *q) {
  if (q->store->state == STORE_READY && !q->freed && !q->grouping && !q->ungrouped)
    queue_groups(q, false);
}

static void on_released(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)rc;
  (void)r;
  (void)why;
  /* One group less: that is known, then. Where it was refused, the group is still there: it is held
   * once more, and the script is tried again. */
  if (!a->q->freed) store_regroup(a->q);
}

/* By now every node has had the time to see that the data was lost, and to make its groups. */
static void hold_release(struct store_queue *q) {
  struct store *s = q->store;
  struct ask *a = ask_new(s, q, NULL, on_released, NULL);
  a->own = true;
  q->held_until_ms = 0;
  cmd_begin(&s->out);
  cmd_text(&s->out, "XGROUP");
  cmd_text(&s->out, "DESTROY");
  cmd_text(&s->out, q->stream);
  cmd_text(&s->out, STORE_GROUP_HOLD);
  ask_send(a, SCRIPT_NONE);
}

void store_groups_tick(struct store *s) {
  uint64_t now = loop_now_ms(s->loop);
  for (struct store_queue *q = s->queues; q; q = q->next) {
    if (q->ungrouped && !q->grouping) queue_groups(q, false);
    if (q->held_until_ms && now >= q->held_until_ms) hold_release(q);
  }
}

void store_put_groups(struct store_queue *q) {
  char text[24];
  snprintf(text, sizeof text, "%lld", q->ungrouped ? -2 : q->groups);
  cmd_text(&q->store->out, text);
}

void store_untidy(struct store_queue *q, const char *said) {
  if (q->freed) return;
  if (!strcmp(said, "groups")) {
    store_regroup(q);
    return;
  }
  if (!strcmp(said, "more")) {
    store_trim(q);
    return;
  }
  if (!q->warned_tidy)
    log_error(loop_log(q->store->loop), q->name,
              "settled jobs stay in the storage: %.300s; outcomes are stored all the same", said);
  q->warned_tidy = true;
}

static void on_queue_known(struct ask *a, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  (void)a;
  (void)rc;
  (void)r;
  (void)why;
}

/* The names of all queues, for the walk over what a dead node left behind. By the script that gets
 * through where memory is full: a backlog that nobody knows of would not be looked after. */
static struct ask *queues_note(struct store *s) {
  struct ask *a = ask_new(s, NULL, NULL, on_queue_known, NULL);
  a->own = true;
  ask_script(s, SCRIPT_WRITE, 1);
  cmd_text(&s->out, STORE_KEY_QUEUES);
  cmd_text(&s->out, "SADD");
  return a;
}

void store_attach_all(struct store *s, bool loaded) {
  for (struct store_queue *q = s->queues; q; q = q->next) {
    queue_groups(q, loaded);
    store_move_marks(q);
  }
  for (struct store_queue *q = s->queues; q;) {
    struct ask *a = queues_note(s);
    for (size_t n = 0; q && n < NAMES_MAX; q = q->next, n++) cmd_text(&s->out, q->name);
    ask_send(a, SCRIPT_WRITE);
  }
}

/* --- what is settled --- */

static void on_trimmed(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)why;
  a->q->trimming = false;
  if (!rc && r->integer >= STORE_TRIM_MORE) store_trim(a->q);
}

void store_trim(struct store_queue *q) {
  struct store *s = q->store;
  if (q->trimming || q->freed || s->state != STORE_READY) return;
  uint64_t now = store_clock_ms(s);
  struct ask *a = ask_new(s, q, NULL, on_trimmed, NULL);
  a->own = true;
  q->trimming = true;
  ask_script(s, SCRIPT_STREAM_TRIM, 1);
  cmd_text(&s->out, q->stream);
  if (q->retain)
    cmd_u64(&s->out, now > q->retain_ms ? now - q->retain_ms : 0);
  else
    cmd_text(&s->out, "");
  ask_send(a, SCRIPT_STREAM_TRIM);
}

struct store_queue *store_queue_new(struct store *s, const struct queue_settings *set,
                                    struct gateway g) {
  struct store_queue *q = calloc(1, sizeof *q);
  if (!q) return NULL;
  q->store = s;
  q->refs = 1;
  q->groups = -1;
  q->set = set;
  q->retain = set->retain_ms > 0;
  q->retain_ms = set->retain_ms;
  job_field(g, q->field);
  q->name = strdup(set->name);
  q->stream = text_of("pb:{%s}:s", set->name);
  q->delayed = text_of("pb:{%s}:d", set->name);
  q->delayed_jobs = text_of("pb:{%s}:j", set->name);
  q->paused = text_of("pb:{%s}:p", set->name);
  q->counted = text_of("pb:{%s}:n", set->name);
  if (q->stream)
    q->xadd = text_of("*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$%zu\r\n%s\r\n$",
                      strlen(q->stream), q->stream, strlen(q->field), q->field);
  if (!q->name || !q->stream || !q->delayed || !q->delayed_jobs || !q->paused || !q->counted ||
      !q->xadd) {
    queue_destroy(q);
    return NULL;
  }
  q->xadd_len = strlen(q->xadd);
  q->next = s->queues;
  s->queues = q;
  if (s->state == STORE_READY) {
    queue_groups(q, false);
    struct ask *a = queues_note(s);
    cmd_text(&s->out, q->name);
    ask_send(a, SCRIPT_WRITE);
  }
  return q;
}

/* What is not configured any more may be dropped. Configured once more, it starts as a new one. */
static void groups_forget(struct store_queue *q) {
  for (size_t i = 0; i < q->n_grouped;) {
    bool has = false;
    for (size_t k = 0; k < q->set->n_topics && !has; k++)
      has = !strcmp(q->set->topics[k]->name, q->grouped[i]);
    if (has) {
      i++;
      continue;
    }
    free(q->grouped[i]);
    q->grouped[i] = q->grouped[--q->n_grouped];
  }
}

void store_queue_update(struct store_queue *q, const struct queue_settings *set) {
  q->set = set;
  groups_forget(q);
  if (q->store->state == STORE_READY) queue_groups(q, false);
  store_move_marks(q);
}

void store_queue_free(struct store_queue *q) {
  if (!q) return;
  struct store_queue **p = &q->store->queues;
  while (*p && *p != q) p = &(*p)->next;
  if (*p) *p = q->next;
  store_wake_forget(q);
  store_count_forget(q);
  store_stray_wanted(q->store);
  q->freed = true;
  q->set = NULL;
  store_queue_unref(q);
}

/* --- topics --- */

static void topic_destroy(struct store_topic *t) {
  struct store_queue *q = t->q;
  struct store_topic **p = &q->store->lingering;
  while (*p && *p != t) p = &(*p)->next;
  if (*p) *p = t->next;
  store_settle_done(t);
  if (t->held.n) q->store->leaves_jobs = true;
  held_done(&t->held);
  free(t->name);
  free(t->subject);
  free(t->retry);
  free(t->records);
  free(t->bodies);
  free(t->dead);
  free(t->claims);
  free(t->errors);
  free(t->mark);
  free(t);
  store_queue_unref(q);
}

void store_topic_unref(struct store_topic *t) {
  if (--t->refs == 0) topic_destroy(t);
}

void store_topic_times(struct store_topic *t, const struct topic_settings *set) {
  /* Only how far off its place in the retry set is: a claim ends with its outcome or its node.
   * Twice: a job may wait for a free worker first; and before that for its chunk to fill. */
  t->hold_ms = 2 * set->timeout_ms + set->chunk_wait_ms + t->q->store->st->lease_ms;
}

struct store_topic *store_topic_new(struct store_queue *q, const struct topic_settings *set) {
  struct store_topic *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->q = q;
  t->refs = 1;
  q->refs++;
  t->from_beginning = set->start_from == 1;
  store_topic_times(t, set);
  store_settle_init(t);
  t->name = strdup(set->name);
  t->subject = text_of("%s/%s", q->name, set->name);
  t->retry = text_of("pb:{%s}:r:%s", q->name, set->name);
  t->records = text_of("pb:{%s}:h:%s", q->name, set->name);
  t->bodies = text_of("pb:{%s}:b:%s", q->name, set->name);
  t->dead = text_of("pb:{%s}:x:%s", q->name, set->name);
  t->claims = text_of("pb:{%s}:c:%s", q->name, set->name);
  t->errors = text_of("pb:{%s}:e:%s", q->name, set->name);
  t->mark = text_of("pb:{%s}:m:%s", q->name, set->name);
  if (!t->name || !t->subject || !t->retry || !t->records || !t->bodies || !t->dead || !t->claims ||
      !t->errors || !t->mark) {
    topic_destroy(t);
    return NULL;
  }
  t->next = q->topics;
  q->topics = t;
  return t;
}

void store_topic_free(struct store_topic *t) {
  if (!t) return;
  struct store_topic **p = &t->q->topics;
  while (*p && *p != t) p = &(*p)->next;
  if (*p) *p = t->next;
  t->freed = true;
  store_stray_wanted(t->q->store);
  if (t->unsettled) { /* they hold a reference of their own */
    t->next = t->q->store->lingering;
    t->q->store->lingering = t;
  }
  store_topic_unref(t);
}

/* --- depth --- */

#define DEPTH_NUMBERS 11

static void on_depths(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  size_t n = a->n[0];
  struct store_depth none = {0}, *d = &none;
  if (!rc && (r->type != REPLY_ARRAY || r->elements != DEPTH_NUMBERS * n)) {
    rc = STORE_ERROR;
    why = "the storage gave an answer nobody expected";
  }
  if (!rc && n > 1 && !(d = calloc(n, sizeof *d))) abort();
  for (size_t i = 0; !rc && i < n; i++) {
    struct redis_reply **e = r->element + DEPTH_NUMBERS * i;
    uint64_t *to[] = {&d[i].ready,   &d[i].running, &d[i].retry,       &d[i].dead,
                      &d[i].delayed, &d[i].bytes,   &d[i].next_due_ms, &d[i].oldest_ms};
    for (size_t k = 0; k < sizeof to / sizeof *to; k++) *to[k] = redis_reply_u64(e[k]);
    d[i].ready_at_most = e[9]->integer;
    if (e[10]->len) store_count_add(a->q, e[10]->str);
    /* What was replayed is due at once: its score says no time. */
    d[i].next_due_ms = d[i].next_due_ms == 1 ? loop_wall_ms(a->store->loop)
                                             : store_time_here(a->store, d[i].next_due_ms);
    d[i].oldest_ms = store_time_here(a->store, d[i].oldest_ms);
    const struct redis_reply *pause = e[8];
    d[i].paused = pause->type != REPLY_INTEGER && pause->len > 0;
    d[i].pause = d[i].paused ? pause->str : NULL;
    if (pause->type == REPLY_INTEGER) { /* its group is gone: what was said before holds */
      if (a->t) d[i].paused = a->t->paused;
      store_regroup(a->q);
    } else if (a->t) {
      a->t->paused = d[i].paused;
    }
  }
  if (a->n[1])
    a->fn.depths(a->arg, rc, rc ? NULL : d, rc ? 0 : n, why);
  else
    a->fn.depth(a->arg, rc, d, why);
  if (d != &none) free(d);
}

static void look_ask(struct ask *a, struct store_topic *const *topics, size_t n) {
  struct store *s = a->store;
  const struct store_queue *q = topics[0]->q;
  struct redis_command *out = &s->out;
  a->n[0] = n;
  ask_script(s, SCRIPT_DEPTH, (unsigned)(4 + 3 * n));
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->paused);
  cmd_text(out, q->counted);
  for (size_t i = 0; i < n; i++) {
    cmd_text(out, topics[i]->retry);
    cmd_text(out, topics[i]->dead);
    cmd_text(out, topics[i]->claims);
  }
  cmd_text(out, s->run);
  for (size_t i = 0; i < n; i++) cmd_text(out, topics[i]->name);
  ask_send(a, SCRIPT_DEPTH);
}

void store_look(struct store_topic *t, store_depth_fn fn, void *arg) {
  struct ask *a = ask_new(t->q->store, t->q, t, on_depths, arg);
  a->fn.depth = fn;
  look_ask(a, &t, 1);
}

void store_look_many(struct store_topic *const *topics, size_t n, store_depths_fn fn, void *arg) {
  struct ask *a = ask_new(topics[0]->q->store, topics[0]->q, NULL, on_depths, arg);
  a->fn.depths = fn;
  a->n[1] = 1;
  look_ask(a, topics, n);
}

static void on_attached(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_depth d = {0};
  rc = groups_told(a, rc, r);
  if (rc) {
    a->fn.depth(a->arg, rc, &d, why);
    return;
  }
  a->t->attached = true;
  store_look(a->t, a->fn.depth, a->arg);
}

void store_attach(struct store_topic *t, store_depth_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct ask *a = ask_new(s, t->q, t, on_attached, arg);
  a->fn.depth = fn;
  groups_ask(a, t, false, false);
}

/* --- jobs from replies --- */

/* job_decode() of what a script gave: "!" before the field says that the TTL is waived. */
static struct job *store_job_decode(const struct store *s, const struct redis_reply *field,
                                    char *blob, size_t blob_len) {
  bool waived = field->len && *field->str == '!';
  struct job *job = job_decode(field->str + waived, field->len - waived, blob, blob_len);
  if (job) job->expires_ms = waived ? 0 : store_time_here(s, job->expires_ms);
  return job;
}

/* Adds one job to the list. What cannot be decoded goes to the dead jobs with a message. `entry`
 * NULL: a claimed retry. What is in this node's memory already is left out. */
void store_topic_add(struct store_topic *t, struct job_list *list, const char *entry,
                     struct redis_reply *id, uint64_t failed, uint64_t crashes,
                     struct redis_reply *field, struct redis_reply *body) {
  struct log *log = loop_log(t->q->store->loop);
  uint64_t ms = 0, seq = UINT64_MAX;
  size_t blob_len = body->len;
  char *blob;
  if (entry && !entry_parse(entry, &ms, &seq)) return;
  if (!entry) ms = redis_reply_u64(id);
  int rc = ms ? held_add(&t->held, ms, seq) : -EINVAL;
  if (rc == -EEXIST) return;
  blob = redis_reply_take_text(body);
  if (rc || !blob) { /* stays in the pending list, or comes back with its claim */
    free(blob);
    if (!rc) held_remove(&t->held, ms, seq);
    log_error(log, t->subject, "out of memory: a job was left for a later recovery");
    return;
  }
  struct job *job = store_job_decode(t->q->store, field, blob, blob_len);
  if (!job) {
    free(blob);
    /* A made-up id without the version bit, so that operators can name it. */
    store_settle_odd(t, entry ? ms : 0, entry ? seq : 0,
                     entry ? (ms << 14 | (seq & 0x3fff)) & ~(UINT64_C(1) << 63) : ms,
                     "its stored form is not one that this version knows");
    return;
  }
  job->source = entry ? JOB_FROM_STREAM : JOB_FROM_RETRY;
  job->entry_ms = entry ? ms : 0;
  job->entry_seq = entry ? seq : 0;
  job->failed = (uint32_t)failed;
  job->crashes = (uint32_t)crashes;
  job_list_push(list, job);
}

/* --- new ones --- */

static void on_regrouped(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct job_list none = {0};
  rc = groups_told(a, rc, r);
  a->fn.taken(a->arg, rc, &none, true, why);
}

static void on_taken(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_topic *t = a->t;
  struct job_list list = {0};
  size_t asked = a->n[0], got = 0;
  if (rc == STORE_ERROR && r && !strncmp(r->str, "NOGROUP", 7)) {
    a->answer = on_regrouped;
    groups_ask(a, NULL, false, true);
    return;
  }
  if (!rc && r->type == REPLY_ARRAY && r->elements && r->element[0]->elements == 2) {
    struct redis_reply *entries = r->element[0]->element[1];
    got = entries->elements;
    for (size_t i = 0; i < got; i++) {
      struct redis_reply *e = entries->element[i];
      if (e->elements != 2 || e->element[1]->elements < 2) continue;
      store_topic_add(t, &list, e->element[0]->str, NULL, 0, 0, e->element[1]->element[0],
                      e->element[1]->element[1]);
    }
  }
  a->fn.taken(a->arg, rc, &list, got == asked, why);
}

void store_take(struct store_topic *t, size_t count, store_taken_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, t->q, t, on_taken, arg);
  if (count > TAKE_MAX) count = TAKE_MAX;
  a->fn.taken = fn;
  a->n[0] = count;
  cmd_begin(out);
  cmd_text(out, "XREADGROUP");
  cmd_text(out, "GROUP");
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_text(out, "COUNT");
  cmd_u64(out, count);
  cmd_text(out, "STREAMS");
  cmd_text(out, t->q->stream);
  cmd_text(out, ">");
  ask_send(a, SCRIPT_NONE);
}

/* --- due retries --- */

static void on_due(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct job_list list = {0};
  uint64_t next = 0;
  if (!rc && r->type == REPLY_ARRAY && r->elements >= 2) {
    next = store_time_here(a->store, redis_reply_u64(r->element[0]));
    if (r->element[1]->integer)
      log_error(loop_log(a->store->loop), a->t->subject,
                "%lld waiting retries had no record in the storage; removed",
                r->element[1]->integer);
    for (size_t i = 2; i + 5 <= r->elements; i += 5)
      store_topic_add(a->t, &list, NULL, r->element[i], redis_reply_u64(r->element[i + 1]),
                      redis_reply_u64(r->element[i + 2]), r->element[i + 3], r->element[i + 4]);
  }
  a->fn.due(a->arg, rc, &list, next, why);
}

void store_take_due(struct store_topic *t, size_t count, size_t bytes, store_due_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, t->q, t, on_due, arg);
  uint64_t now = store_clock_ms(s);
  a->fn.due = fn;
  ask_script(s, SCRIPT_TAKE_DUE, 4);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, s->server->node);
  cmd_u64(out, now);
  cmd_u64(out, now + t->hold_ms);
  cmd_u64(out, count < DUE_MAX ? count : DUE_MAX);
  cmd_u64(out, bytes < DUE_BYTES ? bytes : DUE_BYTES);
  ask_send(a, SCRIPT_TAKE_DUE);
}

/* --- for good --- */

static void on_pop_regrouped(struct ask *a, enum store_rc rc, struct redis_reply *r,
                             const char *why) {
  rc = groups_told(a, rc, r);
  a->fn.popped(a->arg, rc, NULL, why);
}

static void on_popped(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct job *job = NULL;
  if (rc == STORE_ERROR && r && strstr(r->str, "NOGROUP")) {
    a->answer = on_pop_regrouped;
    groups_ask(a, NULL, false, true);
    return;
  }
  if (!rc && r->type == REPLY_ARRAY && r->elements == 6) store_untidy(a->q, r->element[5]->str);
  if (!rc && r->type == REPLY_ARRAY && r->elements >= 5) {
    struct redis_reply *field = r->element[3], *body = r->element[4];
    size_t len = body->len;
    char *blob = redis_reply_take_text(body);
    job = blob ? store_job_decode(a->store, field, blob, len) : NULL;
    if (!job) {
      free(blob);
      rc = STORE_ERROR;
      why = "the job's stored form is not one that this version knows";
      log_error(loop_log(a->store->loop), a->t->subject, "a pull worker's job was lost: %s", why);
    } else {
      job->source = JOB_FROM_TEST; /* nothing of it is in the storage any more */
      job->failed = (uint32_t)redis_reply_u64(r->element[1]);
      job->crashes = (uint32_t)redis_reply_u64(r->element[2]);
    }
  }
  a->fn.popped(a->arg, rc, job, why);
}

void store_pop(struct store_topic *t, store_popped_fn fn, void *arg) {
  struct store *s = t->q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, t->q, t, on_popped, arg);
  a->fn.popped = fn;
  ask_script(s, SCRIPT_POP, 5);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_u64(out, store_clock_ms(s));
  cmd_text(out, t->q->retain ? "1" : "0");
  store_put_groups(t->q);
  ask_send(a, SCRIPT_POP);
}

/* --- delayed --- */

static void on_moved(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  uint64_t moved = 0, next = 0;
  (void)why;
  if (!rc && r->type == REPLY_ARRAY && r->elements == 3) {
    if (r->element[2]->integer)
      log_error(loop_log(a->store->loop), a->q->name,
                "%lld delayed jobs had no bytes in the storage; removed", r->element[2]->integer);
    moved = redis_reply_u64(r->element[0]);
    next = store_time_here(a->store, redis_reply_u64(r->element[1]));
    if (moved && !a->q->freed) store_wake_peers(a->q, true);
  }
  a->fn.moved(a->arg, rc, moved, next);
}

void store_move_due(struct store_queue *q, store_moved_fn fn, void *arg) {
  struct store *s = q->store;
  struct redis_command *out = &s->out;
  struct ask *a = ask_new(s, q, NULL, on_moved, arg);
  a->fn.moved = fn;
  ask_script(s, SCRIPT_DELAYED_ENTER, 3);
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  cmd_u64(out, store_clock_ms(s));
  cmd_u64(out, MOVE_PAGE);
  cmd_u64(out, MOVE_BYTES);
  ask_send(a, SCRIPT_DELAYED_ENTER);
}

/* --- recovery: the name's lease, a page of its pending entries, its claims, the takeover --- */

enum recover_more { RECOVER_LAST, RECOVER_MORE };

static const char *recover_whose(const struct ask *a) {
  return a->ptr;
}

static bool recover_own(const struct ask *a) {
  return !strcmp(recover_whose(a), a->store->server->node);
}

static void recover_fail(struct ask *a, enum store_rc rc, const char *why) {
  struct job_list none = {0};
  a->fn.taken(a->arg, rc, &none, false, why);
}

static void on_claimed(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_topic *t = a->t;
  struct job_list list = {0};
  if (!rc && r->type == REPLY_ARRAY && r->elements) {
    if (r->element[0]->integer)
      log_warning(loop_log(a->store->loop), t->subject,
                  "%lld jobs that %s was running are gone from the stream; acknowledged away",
                  r->element[0]->integer, recover_whose(a));
    for (size_t i = 1; i + 6 <= r->elements; i += 6) {
      struct redis_reply **e = r->element + i;
      store_topic_add(t, &list, e[0]->len ? e[0]->str : NULL, e[1], redis_reply_u64(e[2]),
                      redis_reply_u64(e[3]), e[4], e[5]);
    }
  }
  if (recover_own(a) && (rc || a->n[1] == RECOVER_LAST)) {
    t->recover_ms = t->recover_seq = 0;
    if (!rc) t->recovered = true;
  }
  a->fn.taken(a->arg, rc, &list, !rc && a->n[1] == RECOVER_MORE, why);
}

static void put_claim(struct ask *a) {
  struct store_topic *t = a->t;
  struct store *s = a->store;
  struct redis_command *out = &s->out;
  ask_script(s, SCRIPT_RECOVER, 5);
  cmd_text(out, t->q->stream);
  cmd_text(out, t->retry);
  cmd_text(out, t->records);
  cmd_text(out, t->bodies);
  cmd_text(out, t->claims);
  cmd_text(out, t->name);
  cmd_text(out, s->server->node);
  cmd_text(out, recover_whose(a));
  cmd_u64(out, store_clock_ms(s) + t->hold_ms);
  cmd_text(out, recover_own(a) && t->recovered ? "1" : "0");
  cmd_u64(out, store_clock_ms(s));
  cmd_text(out, t->q->retain ? "1" : "0");
  store_put_groups(t->q);
}

static void ask_claims(struct ask *a, const char *cursor);

static void on_claims(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_topic *t = a->t;
  size_t n = 0;
  if (rc || r->type != REPLY_ARRAY || r->elements != 2) {
    recover_fail(a, rc ? rc : STORE_ERROR, why);
    return;
  }
  const char *cursor = r->element[0]->str;
  const struct redis_reply *page = r->element[1];
  put_claim(a);
  cmd_text(&a->store->out, "0");
  for (size_t i = 0; i + 1 < page->elements && n < a->n[0]; i += 2) {
    const struct redis_reply *id = page->element[i], *owner = page->element[i + 1];
    if (strcmp(owner->str, recover_whose(a)) || held_has(&t->held, redis_reply_u64(id), UINT64_MAX))
      continue;
    cmd_bytes(&a->store->out, id->str, id->len);
    n++;
  }
  bool last = !strcmp(cursor, "0");
  if (!n && !last) {
    ask_claims(a, cursor);
    return;
  }
  a->n[1] = last && n < a->n[0] ? RECOVER_LAST : RECOVER_MORE;
  a->answer = on_claimed;
  ask_send_again(a, SCRIPT_RECOVER);
}

/* Page by page: there may be many, and of other nodes. What was claimed is in this node's hands,
 * and passed by when the next question starts again. */
static void ask_claims(struct ask *a, const char *cursor) {
  a->answer = on_claims;
  cmd_begin(&a->store->out);
  cmd_text(&a->store->out, "HSCAN");
  cmd_text(&a->store->out, a->t->claims);
  cmd_text(&a->store->out, cursor);
  cmd_text(&a->store->out, "COUNT");
  cmd_u64(&a->store->out, CLAIMS_PAGE);
  ask_send_again(a, SCRIPT_NONE);
}

static void on_pending(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_topic *t = a->t;
  struct redis_command *out = &a->store->out;
  uint64_t ms, seq;
  size_t n = 0;
  if (rc == STORE_ERROR && r && !strncmp(r->str, "NOGROUP", 7)) {
    ask_claims(a, "0");
    return;
  }
  if (rc || r->type != REPLY_ARRAY) {
    recover_fail(a, rc ? rc : STORE_ERROR, why);
    return;
  }
  if (!r->elements) {
    ask_claims(a, "0");
    return;
  }
  for (size_t i = 0; i < r->elements && n < a->n[0]; i++) {
    const char *entry = r->element[i]->element[0]->str;
    if (entry_parse(entry, &ms, &seq) && !held_has(&t->held, ms, seq)) n++;
  }
  /* What it took over from itself stays in its list, so the next page begins after this one.
   * Another node's list grows shorter with each page, but for what is in this node's hands. */
  if (!n && !recover_own(a)) {
    ask_claims(a, "0");
    return;
  }
  put_claim(a);
  cmd_u64(out, n);
  size_t put = 0;
  for (size_t i = 0; i < r->elements && (put < n || !n); i++) {
    const char *entry = r->element[i]->element[0]->str;
    if (!entry_parse(entry, &ms, &seq)) continue;
    if (recover_own(a)) {
      t->recover_ms = ms;
      t->recover_seq = seq;
    }
    if (held_has(&t->held, ms, seq)) continue;
    cmd_text(out, entry);
    put++;
  }
  a->n[1] = RECOVER_MORE;
  a->answer = on_claimed;
  ask_send_again(a, SCRIPT_RECOVER);
}

static void ask_pending(struct ask *a) {
  struct store_topic *t = a->t;
  struct redis_command *out = &a->store->out;
  char from[48];
  if (recover_own(a) && (t->recover_ms || t->recover_seq))
    snprintf(from, sizeof from, "(%llu-%llu", (unsigned long long)t->recover_ms,
             (unsigned long long)t->recover_seq);
  else
    snprintf(from, sizeof from, "-");
  a->answer = on_pending;
  cmd_begin(out);
  cmd_text(out, "XPENDING");
  cmd_text(out, t->q->stream);
  cmd_text(out, t->name);
  if (a->n[2]) { /* what it has taken since it was declared dead it took as one that is back */
    cmd_text(out, "IDLE");
    cmd_u64(out, store_lease_ms(a->store) / 2);
  }
  cmd_text(out, from);
  cmd_text(out, "+");
  cmd_u64(out, RECOVER_PAGE);
  cmd_text(out, recover_whose(a));
}

static void on_dead(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  bool dead = !rc && r->type == REPLY_STRING && !strcmp(r->str, "dead");
  if (rc) {
    recover_fail(a, rc, why);
  } else if (!dead && (r->type != REPLY_STRING || strcmp(r->str, "left") != 0)) {
    recover_fail(a, STORE_OK, ""); /* it is back, and sees to its jobs itself */
  } else {
    a->n[2] = dead;
    ask_pending(a);
    ask_send_again(a, SCRIPT_NONE);
  }
}

void store_recover(struct store_topic *t, const char *node, size_t count, store_taken_fn fn,
                   void *arg) {
  struct store *s = t->q->store;
  struct ask *a = ask_new(s, t->q, t, on_dead, arg);
  if (!node) node = s->server->node;
  a->fn.taken = fn;
  a->n[0] = count && count < RECOVER_PAGE ? count : RECOVER_PAGE;
  if (!(a->ptr = strdup(node))) abort();
  if (recover_own(a)) {
    ask_pending(a);
  } else {
    cmd_begin(&s->out);
    cmd_text(&s->out, "HGET");
    cmd_text(&s->out, STORE_KEY_BEATS);
    cmd_text(&s->out, node);
  }
  ask_send(a, SCRIPT_NONE);
}
