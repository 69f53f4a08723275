/* Owns this node's place among the others of a storage: the lease of its name, its shard, the
 * registry, the sweep that finds dead nodes, and the wake-ups between nodes. Who is dead is decided
 * in Redis: see lease_join.lua.
 *
 * Costs of an idle storage: the lease five times in its length, the registry once a sweep,
 * whatever the number of queues and topics.
 */
#include "storage/redis/private.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_NODES STORE_KEY_NODES
#define KEY_BEATS STORE_KEY_BEATS
#define KEY_MARKS "pb:{@}:marks"
#define KEY_WOKEN "pb:{@}:woken"
#define KEY_DATA  "pb:{@}:data"

#define LEASE_DEFAULT_MS 15000
#define SWEEP_MS         2000
#define ACTS_EACH        3     /* sweeps: an act without an owner waits so long at most */
#define WAKE_SOON_MS     5     /* between two wake-ups of one queue */
#define WAKE_LAZY_MS     1000  /* the same, where only a delayed job is waiting */
#define WOKEN_BACK_MS    10000 /* a sweep may come so late */
#define WOKEN_MAX        1000
#define LOOK_AGAIN_MS    500 /* at a rival's lease */

uint64_t store_lease_ms(const struct store *s) {
  return s->st->lease_ms ? s->st->lease_ms : LEASE_DEFAULT_MS;
}

/* With its jitter a quarter of the lease at most: lease_join.lua counts on that. */
static uint64_t refresh_ms(const struct store *s) {
  return loop_jitter(s->loop, store_lease_ms(s) / 5);
}

/* --- who we are: "<boot id> <pid namespace> <pid> <start time>", and whether a process with such
 * a line is still there --- */

struct identity {
  char boot[64];
  unsigned long long ns, pid, start;
};

/* 0: it is not there, or a zombie. */
static unsigned long long process_start(unsigned long long pid) {
  char path[64], stat_line[1024];
  unsigned long long start = 0;
  snprintf(path, sizeof path, "/proc/%llu/stat", pid);
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  size_t n = fread(stat_line, 1, sizeof stat_line - 1, f);
  fclose(f);
  stat_line[n] = 0;
  /* The name (2nd field) may hold spaces and brackets; the start time is the 22nd. One that has
   * ended and that its parent has not looked after yet (state Z) has nothing any more. */
  char *p = strrchr(stat_line, ')');
  if (p && n > (size_t)(p - stat_line) + 2 && strchr("ZX", p[2])) return 0;
  for (int field = 2; p && field < 22; field++)
    if ((p = strchr(p, ' '))) p++;
  if (p) start = strtoull(p, NULL, 10);
  return start;
}

static void identity_own(struct identity *id) {
  struct stat st;
  memset(id, 0, sizeof *id);
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!f || fscanf(f, "%63s", id->boot) != 1) strcpy(id->boot, "-");
  if (f) fclose(f);
  if (!stat("/proc/self/ns/pid", &st)) id->ns = st.st_ino;
  id->pid = (unsigned long long)getpid();
  id->start = process_start(id->pid);
}

/* A registry entry: "<shard> <seen ms> <instance> <identity> <host>". */
struct entry {
  unsigned shard;
  uint64_t seen_ms;
  char instance[128];
  struct identity id;
};

static bool registry_entry_parse(const char *text, struct entry *e) {
  memset(e, 0, sizeof *e);
  return sscanf(text, "%u %" SCNu64 " %127s %63s %llu %llu %llu", &e->shard, &e->seen_ms,
                e->instance, e->id.boot, &e->id.ns, &e->id.pid, &e->id.start) == 7;
}

enum rival { RIVAL_DEAD, RIVAL_ALIVE, RIVAL_ELSEWHERE };

/* Only a process in our sight (same boot, same pid namespace) can be known to be dead. */
static enum rival rival_look(const struct entry *e) {
  struct identity own;
  identity_own(&own);
  if (!strcmp(own.boot, "-") || strcmp(own.boot, e->id.boot) || own.ns != e->id.ns)
    return RIVAL_ELSEWHERE;
  /* The same process: a binary that was replaced in place. */
  if (own.pid == e->id.pid) return RIVAL_DEAD;
  if (kill((pid_t)e->id.pid, 0) && errno == ESRCH) return RIVAL_DEAD;
  unsigned long long start = process_start(e->id.pid);
  return start && start == e->id.start ? RIVAL_ALIVE : RIVAL_DEAD;
}

/* --- the lease --- */

static void on_joined(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why);

static void join_send(struct store *s, const char *replace, bool first) {
  struct redis_command *out = &s->out;
  struct identity own;
  char entry[400], host[64] = "";
  uint64_t now = loop_wall_ms(s->loop);
  identity_own(&own);
  gethostname(host, sizeof host - 1);
  snprintf(entry, sizeof entry, "%u %" PRIu64 " %s %s %llu %llu %llu %s", s->shard,
           store_clock_ms(s), s->instance, own.boot, own.ns, own.pid, own.start, host);
  struct ask *a = ask_new(s, NULL, NULL, on_joined, NULL);
  a->own = true;
  a->n[0] = first;
  a->n[1] = s->shard;
  a->n[2] = loop_now_ms(s->loop);
  ask_script(s, SCRIPT_LEASE_JOIN, 4);
  cmd_text(out, s->lease_key);
  cmd_text(out, KEY_NODES);
  cmd_text(out, KEY_MARKS);
  cmd_text(out, KEY_BEATS);
  cmd_text(out, s->server->node);
  cmd_text(out, s->instance);
  cmd_u64(out, store_lease_ms(s));
  cmd_u64(out, s->shard);
  cmd_u64(out, now + store_lease_ms(s) / 2); /* ids until the next refresh stay below */
  cmd_text(out, entry);
  cmd_text(out, replace);
  cmd_text(out, first ? "1" : "0");
  cmd_u64(out, s->beats_since_ms);
  s->joining = true;
  ask_send(a, SCRIPT_LEASE_JOIN);
}

static void name_taken(struct store *s, const char *entry) {
  char why[STORE_WORDS];
  const char *host = strrchr(entry, ' ');
  snprintf(why, sizeof why,
           "another living node is called %s%s%s; give this one another name ([server] node)",
           s->server->node, host ? ", on" : "", host ? host : "");
  s->joined = false;
  store_not_joined(s, STORE_REFUSED, 5000, why);
  s->ev.name_taken(s->ev.arg, s, why);
}

static void lease_held(struct store *s, struct redis_reply *r) {
  const char *instance = r->element[1]->str;
  const char *text = r->element[3]->str;
  int64_t left = r->element[2]->integer;
  struct entry e;
  bool known = registry_entry_parse(text, &e) && !strcmp(e.instance, instance);
  if (s->joined) { /* it was ours */
    name_taken(s, text);
    return;
  }
  enum rival rival = known ? rival_look(&e) : RIVAL_ELSEWHERE;
  if (rival == RIVAL_DEAD) {
    char dead[sizeof e.instance];
    snprintf(dead, sizeof dead, "%s", instance);
    join_send(s, dead, true);
    return;
  }
  bool refreshed = !strcmp(s->rival, instance) && left > s->rival_ms;
  snprintf(s->rival, sizeof s->rival, "%s", instance);
  s->rival_ms = left;
  if (rival == RIVAL_ALIVE || refreshed) {
    name_taken(s, text);
    return;
  }
  char why[STORE_WORDS];
  snprintf(why, sizeof why,
           "a node called %s was here a moment ago; waiting at most %.1f s for its lease to end",
           s->server->node, (double)left / 1000);
  store_not_joined(s, STORE_CONNECTING, LOOK_AGAIN_MS, why);
}

/* The others have waited long enough: what it was running they run again. */
static void was_declared_dead(struct store *s) {
  log_warning(loop_log(s->loop), s->subject,
              "this node did not renew its lease while others did, so they took over what it was "
              "running; outcomes of those jobs are refused, and jobs at hand are given back");
  s->deaths++;
  if (s->ev.declared_dead) s->ev.declared_dead(s->ev.arg, s);
}

static void on_joined(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  bool first = a->n[0];
  s->joining = false;
  if (rc || r->type != REPLY_ARRAY || !r->elements) {
    if (rc == STORE_ERROR && first) store_not_joined(s, STORE_REFUSED, 2000, why);
    if (rc == STORE_UNAVAILABLE && first && r) store_not_joined(s, STORE_LOADING, 250, why);
    if (rc == STORE_ERROR && !first && s->state == STORE_READY) store_refuses(s, why);
    return; /* a lost connection says so itself; a refresh comes again */
  }
  if (!s->probe_refused) store_refuses(s, "");
  switch (r->element[0]->integer) {
  case 0:
    s->rival[0] = 0;
    if (first) s->id_mark = redis_reply_u64(r->element[1]);
    if (s->joined && r->element[2]->integer) was_declared_dead(s);
    s->beats_since_ms = redis_reply_u64(r->element[3]);
    s->renewed_ms = a->n[2];
    if (s->doubted && s->state == STORE_READY) store_wake_all(s);
    s->doubted = false;
    if (s->state != STORE_READY && !s->left) {
      s->joined = true;
      store_ready(s);
    }
    break;
  case 1:
    if (!s->left) lease_held(s, r);
    break;
  default:
    if (s->state != STORE_READY)
      store_not_joined(s, STORE_CONNECTING, 5000, "its shard belongs to another node");
    s->ev.shard_taken(s->ev.arg, s, (unsigned)a->n[1]);
  }
}

void store_join(struct store *s) {
  if (!s->joining) join_send(s, "", true);
}

void store_claim_shard(struct store *s, unsigned shard) {
  s->shard = shard;
  if (s->state == STORE_READY || s->state == STORE_CONNECTING)
    if (redis_link_is_up(s->link) && !s->hello) join_send(s, "", true);
}

/* Nobody is declared dead before one and a half leases. */
bool store_holds_lease(struct store *s) {
  if (loop_now_ms(s->loop) - s->renewed_ms <= store_lease_ms(s) * 5 / 4) return true;
  s->doubted = true;
  return false;
}

uint64_t store_id_mark(const struct store *s) {
  return s->id_mark;
}

static void on_probed(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  (void)r;
  if (rc && rc != STORE_ERROR) return;
  s->probe_refused = rc == STORE_ERROR;
  if (rc && s->state == STORE_READY) store_refuses(s, why);
}

/* A lease is renewed in a full server, too. Whether it takes jobs a command tells that it refuses
 * then, and that changes nothing otherwise. */
static void probe_send(struct store *s) {
  struct ask *a = ask_new(s, NULL, NULL, on_probed, NULL);
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "SET");
  cmd_text(&s->out, STORE_KEY_VERSION);
  cmd_u64(&s->out, STORE_LAYOUT);
  cmd_text(&s->out, "NX");
  ask_send(a, SCRIPT_NONE);
}

static void lease_refresh(void *arg) {
  struct store *s = arg;
  timer_start(&s->lease_timer, refresh_ms(s));
  if (s->left) return;
  probe_send(s);
  join_send(s, "", false);
}

static void on_left(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)a;
  (void)rc;
  (void)r;
  (void)why;
}

/* Consumers of this node in the groups of a queue that it may ever have read. */
static void queue_part(struct store *s, const struct store_queue *q) {
  struct store_part part = {.store = s, .stream = q->stream};
  for (size_t i = 0; q->set && i < q->set->n_topics; i++)
    store_part_add(&part, q->set->topics[i]->name, s->server->node);
  for (const struct store_topic *t = q->topics; t; t = t->next)
    store_part_add(&part, t->name, s->server->node);
  store_part_send(&part);
}

void store_leave(struct store *s) {
  if (s->left) return;
  s->left = true;
  if (s->state != STORE_READY) return;
  bool jobs = s->leaves_jobs;
  for (const struct store_queue *q = s->queues; q; q = q->next) {
    queue_part(s, q);
    for (const struct store_topic *t = q->topics; t; t = t->next) jobs |= t->held.n > 0;
  }
  struct ask *a = ask_new(s, NULL, NULL, on_left, NULL);
  ask_script(s, SCRIPT_LEASE_LEAVE, 3);
  cmd_text(&s->out, s->lease_key);
  cmd_text(&s->out, KEY_NODES);
  cmd_text(&s->out, KEY_BEATS);
  cmd_text(&s->out, s->server->node);
  cmd_text(&s->out, s->instance);
  cmd_text(&s->out, jobs ? "1" : "0");
  ask_send(a, SCRIPT_LEASE_LEAVE);
}

void store_on_node_death(struct store *s,
                         void (*died)(void *arg, struct store *s, const char *node), void *arg) {
  s->died = died;
  s->died_arg = arg;
}

/* --- the registry --- */

/* This mark goes with the data: FLUSHALL, SWAPDB, another server behind the name. Who made the one
 * it is told knows that there was none. All groups are made again before a job that came since is
 * deleted: see groups_make.lua. */
static void data_told(struct store *s, const char *mark, uint64_t mine) {
  char own[sizeof s->data];
  snprintf(own, sizeof own, "%.40s/%" PRIu64, s->instance, mine);
  bool made = !strcmp(own, mark), other = *s->data && strcmp(s->data, mark);
  if (!*mark) return;
  if (other)
    log_warning(loop_log(s->loop), s->subject,
                "its data was lost or exchanged (FLUSHALL?): the topics' groups are made again");
  if (other || made) {
    store_attach_all(s, false);
    if (!s->left) join_send(s, "", false);
  }
  snprintf(s->data, sizeof s->data, "%s", mark);
}

static void on_removed(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)a;
  (void)rc;
  (void)r;
  (void)why;
}

bool store_nodes_seen(struct store *s, const struct redis_reply *r) {
  bool peers = false, dead = false;
  for (size_t i = 0; i + 3 <= r->elements; i += 3) {
    const char *name = r->element[i]->str;
    if (!strcmp(name, s->server->node)) continue;
    if (r->element[i + 2]->integer >= 0) {
      peers = true;
      continue;
    }
    dead = true;
    if (s->died) s->died(s->died_arg, s, name);
  }
  s->peers = peers;
  s->counted = true;
  return dead;
}

static void on_nodes_swept(struct ask *a, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  (void)why;
  if (rc || r->type != REPLY_ARRAY) return;
  if (r->elements % 3 == 1) data_told(a->store, r->element[r->elements - 1]->str, a->n[0]);
  if (store_nodes_seen(a->store, r)) store_census_dead(a->store);
}

/* Before the first sweep nobody knows. */
static bool alone(const struct store *s) {
  return s->counted && !s->peers;
}

static void on_nodes(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  size_t n = 0;
  struct store_node *nodes = NULL;
  (void)why;
  if (!rc && r->type == REPLY_ARRAY) {
    nodes = calloc(r->elements / 3 + 1, sizeof *nodes);
    if (!nodes) abort();
    for (size_t i = 0; i + 3 <= r->elements; i += 3) {
      struct entry e;
      if (!registry_entry_parse(r->element[i + 1]->str, &e)) continue;
      nodes[n++] = (struct store_node){.name = r->element[i]->str,
                                       .shard = e.shard,
                                       .seen_ms = e.seen_ms,
                                       .alive = r->element[i + 2]->integer > 0,
                                       .dead = r->element[i + 2]->integer < 0};
    }
  }
  a->fn.nodes(a->arg, rc, nodes, n);
  free(nodes);
}

/* With `data`: tells the mark of the data as well, and makes it this one where there is none. */
static void nodes_put(struct store *s, const char *remove, const char *data) {
  ask_script(s, SCRIPT_NODES, data ? 3 : 2);
  cmd_text(&s->out, KEY_NODES);
  cmd_text(&s->out, KEY_BEATS);
  if (data) cmd_text(&s->out, KEY_DATA);
  cmd_u64(&s->out, store_lease_ms(s));
  cmd_text(&s->out, remove);
  if (data) cmd_text(&s->out, data);
}

void store_nodes_put(struct store *s, const char *remove) {
  nodes_put(s, remove, NULL);
}

void store_nodes(struct store *s, store_nodes_fn fn, void *arg) {
  struct ask *a = ask_new(s, NULL, NULL, on_nodes, arg);
  a->fn.nodes = fn;
  store_nodes_put(s, "");
  ask_send(a, SCRIPT_NODES);
}

/* --- wake-ups --- */

static void on_published(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  (void)r;
  (void)why;
  if (s->freeing) return;
  /* Those who do not hear look at what is noted. */
  if (rc == STORE_ERROR) s->publish_ms = loop_now_ms(s->loop) + STORE_FORBIDDEN_MS;
  /* Whether the others heard is not known: say it again. */
  if (rc && rc != STORE_ERROR && a->q && !a->q->freed) store_wake_peers(a->q, false);
}

static void publish_text(struct store *s, struct store_queue *q, const char *text) {
  if (s->publish_ms > loop_now_ms(s->loop)) return;
  struct ask *a = ask_new(s, q, NULL, on_published, NULL);
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "PUBLISH");
  cmd_text(&s->out, STORE_CHANNEL);
  cmd_text(&s->out, text);
  ask_send(a, SCRIPT_NONE);
}

static void publish(struct store *s, struct store_queue *q) {
  char text[NAME_LEN_MAX + 132];
  snprintf(text, sizeof text, "%s %s", s->instance, q ? q->name : "");
  publish_text(s, q, text);
}

/* Kept for the sweep of those who did not hear it. */
static void note_woken(struct store *s, struct store_queue *q) {
  q->noted_at_ms = loop_now_ms(s->loop);
  struct ask *a = ask_new(s, NULL, NULL, on_removed, NULL);
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "ZADD");
  cmd_text(&s->out, KEY_WOKEN);
  cmd_u64(&s->out, store_clock_ms(s));
  cmd_text(&s->out, q->name);
  ask_send(a, SCRIPT_NONE);
}

static void wake_send(void *arg) {
  struct store *s = arg;
  uint64_t now = loop_now_ms(s->loop), next = UINT64_MAX;
  for (struct store_queue **p = &s->waking; *p;) {
    struct store_queue *q = *p;
    uint64_t at = q->wake_at_ms + (q->wake_soon ? WAKE_SOON_MS : WAKE_LAZY_MS);
    if (!alone(s) && s->state == STORE_READY && q->wake_at_ms && at > now) {
      if (at < next) next = at;
      p = &q->wake_next;
      continue;
    }
    *p = q->wake_next;
    q->wake_wanted = q->wake_soon = false;
    if (alone(s) || s->state != STORE_READY) continue; /* nobody; or READY wakes them all */
    q->wake_at_ms = now;
    publish(s, q);
    note_woken(s, q);
  }
  if (next != UINT64_MAX) timer_start(&s->wake_timer, next - now);
}

void store_wake_peers(struct store_queue *q, bool soon) {
  struct store *s = q->store;
  if (alone(s) || q->freed) return;
  if (q->wake_wanted && (q->wake_soon || !soon)) return;
  q->wake_soon |= soon;
  if (!q->wake_wanted) {
    q->wake_wanted = true;
    q->wake_next = s->waking;
    s->waking = q;
  }
  loop_defer(s->loop, &s->wake_later, wake_send, s);
}

/* Who knows of one retry learns of the next when it looks after that one. So only a retry that is
 * due before all that was told is told, and pauses that grow or stay equal cost a message a pause.
 * Told once it is durable: a look before would not find it. */
void store_tell_due(struct store_topic *t, uint64_t due_ms) {
  struct store *s = t->q->store;
  uint64_t now = loop_wall_ms(s->loop);
  char text[2 * NAME_LEN_MAX + 160];
  if (alone(s) || s->state != STORE_READY || t->q->freed) return;
  if (t->told_due_ms > now && t->told_due_ms <= due_ms) return;
  t->told_due_ms = due_ms;
  snprintf(text, sizeof text, "%s %s %s %" PRIu64, s->instance, t->q->name, t->name,
           store_time_there(s, due_ms));
  publish_text(s, t->q, text);
  uint64_t noted = t->q->noted_at_ms;
  if (!noted || loop_now_ms(s->loop) - noted >= WAKE_LAZY_MS) note_woken(s, t->q);
}

void store_wake_forget(struct store_queue *q) {
  struct store_queue **p = &q->store->waking;
  while (*p && *p != q) p = &(*p)->wake_next;
  if (*p) *p = q->wake_next;
  q->wake_wanted = false;
}

void store_wake_all(struct store *s) {
  for (struct store_queue *q = s->queues, *next; q; q = next) {
    next = q->next;
    s->ev.wake(s->ev.arg, s, q->name);
  }
}

void store_heard(struct store *s, const char *text, size_t len) {
  size_t own = strlen(s->instance);
  const char *space = memchr(text, ' ', len);
  if (!space || (own < len && text[own] == ' ' && !memcmp(text, s->instance, own))) return;
  s->peers = true;
  if (s->state != STORE_READY || !space[1]) return;
  /* "queue", or "queue topic due" */
  char *copy = strndup(space + 1, len - (size_t)(space + 1 - text));
  if (!copy) return; /* the sweep finds it */
  char *topic = strchr(copy, ' '), *due = topic ? strchr(topic + 1, ' ') : NULL;
  if (!due) {
    s->ev.wake(s->ev.arg, s, copy);
  } else {
    *topic = *due = 0;
    s->ev.due(s->ev.arg, s, copy, topic + 1, store_time_here(s, strtoull(due + 1, NULL, 10)));
  }
  free(copy);
}

void store_subscribed(struct store *s) {
  if (s->state != STORE_READY) return;
  publish(s, NULL); /* the others learn that somebody listens */
  store_wake_all(s);
}

/* --- the sweep --- */

static void on_woken(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  (void)why;
  if (rc || r->type != REPLY_ARRAY) return;
  for (size_t i = 0; i < r->elements; i++) s->ev.wake(s->ev.arg, s, r->element[i]->str);
}

static void woken_ask(struct store *s) {
  struct ask *a = ask_new(s, NULL, NULL, on_woken, NULL);
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "ZRANGEBYSCORE");
  cmd_text(&s->out, KEY_WOKEN);
  cmd_u64(&s->out, store_clock_ms(s) - WOKEN_BACK_MS);
  cmd_text(&s->out, "+inf");
  cmd_text(&s->out, "LIMIT");
  cmd_text(&s->out, "0");
  cmd_u64(&s->out, WOKEN_MAX);
  ask_send(a, SCRIPT_NONE);
}

/* One queue a sweep lets go of what is settled, and with `retain` old enough. */
static void trim_one(struct store *s) {
  size_t n = 0, at;
  struct store_queue *q;
  for (q = s->queues; q; q = q->next) n += q->retain;
  if (!n) return;
  at = s->trim_at++ % n;
  for (q = s->queues; q && (!q->retain || at); q = q->next) at -= q->retain;
  if (q) store_trim(q);
}

static void sweep(void *arg) {
  struct store *s = arg;
  timer_start(&s->sweep_timer, loop_jitter(s->loop, SWEEP_MS));
  char data[sizeof s->data];
  struct ask *a = ask_new(s, NULL, NULL, on_nodes_swept, NULL);
  a->own = true;
  a->n[0] = ++s->data_marks;
  snprintf(data, sizeof data, "%.40s/%u", s->instance, s->data_marks);
  nodes_put(s, "", data);
  ask_send(a, SCRIPT_NODES);
  store_groups_tick(s);
  /* In the first moments others may not have known of this node, and told it nothing. */
  if (s->sweeps++ == 0)
    store_wake_all(s);
  else if (s->peers)
    woken_ask(s);
  if (s->sweeps % ACTS_EACH == 1) store_act_look(s);
  trim_one(s);
}

/* --- life --- */

int store_node_init(struct store *s) {
  timer_init(&s->lease_timer, s->loop, lease_refresh, s);
  timer_init(&s->sweep_timer, s->loop, sweep, s);
  timer_init(&s->wake_timer, s->loop, wake_send, s);
  if (asprintf(&s->lease_key, "pb:{@}:node:%s", s->server->node) < 0) {
    s->lease_key = NULL;
    return -ENOMEM;
  }
  return 0;
}

void store_node_start(struct store *s) {
  s->publish_ms = 0; /* another connection, perhaps with other rights */
  s->sweeps = 0;
  s->counted = false;
  s->data[0] = 0;
  timer_start(&s->lease_timer, refresh_ms(s));
  timer_start(&s->sweep_timer, loop_jitter(s->loop, SWEEP_MS / 2));
  store_census_start(s);
  /* Those that were not sent when the connection was lost: their queues want no other meanwhile. */
  if (s->waking) loop_defer(s->loop, &s->wake_later, wake_send, s);
  publish(s, NULL); /* every topic looks at READY: nobody here needs to be woken */
}

void store_node_stop(struct store *s) {
  timer_stop(&s->lease_timer);
  timer_stop(&s->sweep_timer);
  timer_stop(&s->wake_timer);
  store_census_stop(s);
}

void store_node_done(struct store *s) {
  timer_done(&s->lease_timer);
  timer_done(&s->sweep_timer);
  timer_done(&s->wake_timer);
  deferred_cancel(s->loop, &s->wake_later);
  free(s->lease_key);
}
