/* Owns this node's place among the nodes of a storage: the lease of its name, its shard, and the
 * registry. Redis decides which node is dead: see lease_join.lua.
 *
 * Costs of an idle storage: the lease is renewed with each sweep, and four times in its length
 * where that is more.
 *
 * Offers events (struct membership_events). Other files do what follows from a lease.
 */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "job/id.h"
#include "storage/redis/consumers.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_NODES     STORE_KEY_NODES
#define KEY_BEATS     STORE_KEY_BEATS
#define KEY_MARKS     "pb:{@}:marks"
#define LOOK_AGAIN_MS 500 /* at a rival's lease */

/* A quarter of the lease at most: lease_join.lua counts on that. */
static uint64_t refresh_ms(const struct store *s) {
  uint64_t lease = store_lease_ms(s);
  return lease * 22 / 100 + loop_jitter(s->loop, lease / 50);
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
  /* The name (2nd field) may contain spaces and brackets; the start time is the 22nd field. A
   * process that has ended, but whose end its parent has not read (state Z), has no jobs any more.
   */
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

/* A node registry entry: "<shard> <seen ms> <instance> <identity> <host>". */
struct entry {
  unsigned shard;
  uint64_t seen_ms;
  char instance[128];
  struct identity id;
};

static bool node_entry_parse(const char *text, struct entry *e) {
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

static void on_joined(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why);

/* name, entry, state of each */
bool membership_nodes_seen(struct store *s, struct redis_reply *const *element, size_t n) {
  bool peers = false, dead = false;
  for (size_t i = 0; i + 3 <= n; i += 3) {
    const char *name = element[i]->str;
    if (!strcmp(name, s->server->node)) continue;
    if (element[i + 2]->integer >= 0) {
      peers = true;
      continue;
    }
    dead = true;
    if (s->member.died) s->member.died(s->member.died_arg, s, name);
  }
  wakeup_peers_are(s, peers);
  return dead;
}

static void nodes_told(struct store *s, struct redis_reply *const *element, size_t n) {
  if (membership_nodes_seen(s, element, n)) s->member.events->dead(s);
}

static void on_nodes_looked(struct query *query, enum store_rc rc, struct redis_reply *r,
                            const char *why) {
  (void)why;
  if (rc || r->type != REPLY_ARRAY || !r->elements) return;
  shared_swept(query->store, r->element[r->elements - 1]);
  nodes_told(query->store, r->element, r->elements - 1);
}

static void nodes_look(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, on_nodes_looked, NULL);
  query->own = true;
  membership_put_nodes(s, "", true);
  query_send(query, SCRIPT_NODES);
}

/* What the registry has of this node, which stays so. */
static void self_look(struct store *s) {
  struct identity own;
  char host[64] = "";
  identity_own(&own);
  gethostname(host, sizeof host - 1);
  snprintf(s->member.self, sizeof s->member.self, "%.127s %s %llu %llu %llu %s", s->node_instance,
           own.boot, own.ns, own.pid, own.start, host);
}

static void put_entry(struct store *s) {
  char entry[sizeof s->member.self + 40];
  snprintf(entry, sizeof entry, "%u %" PRIu64 " %s", s->member.shard, clock_now(s), s->member.self);
  cmd_text(&s->out, entry);
}

/* Ids of the next `ahead_ms` stay below it, in Unix ms. They follow the wall clock; where that was
 * set back they run on from the last one, and use up a quarter as many milliseconds at most. */
static uint64_t mark_after(struct store *s, uint64_t ahead_ms) {
  uint64_t id = s->marks.last_id ? s->marks.last_id(s->marks.last_id_arg) : 0;
  uint64_t by_clock = loop_wall_ms(s->loop) + ahead_ms, last = s->member.id_mark;
  struct id_parts parts;
  id_decode(id, &parts);
  if (id && parts.unix_ms > last) last = parts.unix_ms;
  return by_clock > last + ahead_ms / 4 ? by_clock : last + ahead_ms / 4;
}

static void join_send(struct store *s, const char *replace, bool first) {
  struct cmd *out = &s->out;
  if (first) self_look(s);
  /* Further than a renewal's. Ids begin at the mark that the life before has left, and a node that
   * is killed before its first renewal must leave a higher one. */
  s->member.mark_ms = mark_after(s, store_lease_ms(s));
  struct query *query = query_new(s, NULL, NULL, on_joined, NULL);
  query->own = true;
  query->n[0] = first;
  query->n[1] = s->member.shard;
  query->n[2] = loop_now_ms(s->loop);
  query_script(s, SCRIPT_LEASE_JOIN, 4);
  cmd_text(out, s->member.lease_key);
  cmd_text(out, KEY_NODES);
  cmd_text(out, KEY_MARKS);
  cmd_text(out, KEY_BEATS);
  cmd_text(out, s->server->node);
  cmd_text(out, s->node_instance);
  cmd_u64(out, store_lease_ms(s));
  cmd_u64(out, s->member.shard);
  cmd_u64(out, s->member.mark_ms); /* ids until the next refresh stay below */
  put_entry(s);
  cmd_text(out, replace);
  cmd_text(out, first ? "1" : "0");
  cmd_u64(out, s->member.beats_since_ms);
  s->member.joining = true;
  query_send(query, SCRIPT_LEASE_JOIN);
}

static void name_taken(struct store *s, const char *entry) {
  char why[STORE_WORDS];
  const char *host = strrchr(entry, ' ');
  snprintf(why, sizeof why,
           "another living node is called %s%s%s; give this one another name ([server] node)",
           s->server->node, host ? ", on" : "", host ? host : "");
  s->member.joined = false;
  s->member.events->not_joined(s, STORE_REFUSED, 5000, why);
  s->ev.name_taken(s->ev.arg, s, why);
}

static void lease_held(struct store *s, struct redis_reply *r) {
  const char *instance = r->element[1]->str;
  const char *text = r->element[3]->str;
  int64_t left = r->element[2]->integer;
  struct entry e;
  bool known = node_entry_parse(text, &e) && !strcmp(e.instance, instance);
  if (s->member.joined) { /* it was ours */
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
  bool refreshed = !strcmp(s->member.rival, instance) && left > s->member.rival_ms;
  snprintf(s->member.rival, sizeof s->member.rival, "%s", instance);
  s->member.rival_ms = left;
  if (rival == RIVAL_ALIVE || refreshed) {
    name_taken(s, text);
    return;
  }
  char why[STORE_WORDS];
  snprintf(why, sizeof why,
           "a node called %s was here a moment ago; waiting at most %.1f s for its lease to end",
           s->server->node, (double)left / 1000);
  s->member.events->not_joined(s, STORE_CONNECTING, LOOK_AGAIN_MS, why);
}

/* The other nodes have waited long enough: they run again the jobs that this node was running. */
static void was_declared_dead(struct store *s) {
  log_warning(loop_log(s->loop), s->subject,
              "this node did not renew its lease while others did, so they took over what it was "
              "running; outcomes of those jobs are refused, and jobs at hand are given back");
  s->member.deaths++;
  if (s->ev.declared_dead) s->ev.declared_dead(s->ev.arg, s);
}

/* A lease is renewed in a full server, too. */
static void renew_refused(struct store *s, const char *why) {
  s->member.full = true;
  refusals_writes(s, why);
  join_send(s, "", false);
  nodes_look(s);
  acts_find_open(s); /* one of them may be the purge that makes room */
}

/* The time when the clock of leases began goes with the data: FLUSHALL, SWAPDB, another server
 * behind the name. */
static void since_told(struct store *s, uint64_t since_ms) {
  bool lost =
      s->state == STORE_READY && s->member.beats_since_ms && s->member.beats_since_ms != since_ms;
  s->member.beats_since_ms = since_ms;
  if (!lost) return;
  s->member.mark_ms = 0;
  s->member.events->data_lost(s);
}

static void renewed(struct store *s, const struct query *query, const struct redis_reply *r) {
  if (s->state != STORE_READY || s->member.left || r->elements < 8) return;
  size_t n = (size_t)redis_reply_u64(r->element[6]);
  clock_learn(s, redis_reply_u64(r->element[4]), loop_clock_ms() - query->n[3]);
  if (r->elements < 8 + n) return;
  shared_swept(s, r->element[7]);
  acts_told(s, r->element + 8, n);
  if (r->element[5]->integer < 0)
    nodes_told(s, r->element + 8 + n, r->elements - 8 - n);
  else if (r->element[5]->integer)
    wakeup_peer_likely(s); /* that there are none the whole registry tells */
}

static void on_joined(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
  bool first = query->n[0];
  s->member.joining = false;
  if (rc || r->type != REPLY_ARRAY || !r->elements) {
    s->member.mark_ms = 0;
    if (rc == STORE_ERROR && query->script == SCRIPT_LEASE_RENEW && r &&
        !strncmp(r->str, "OOM ", 4) && s->state == STORE_READY && !s->member.left) {
      renew_refused(s, why);
      return;
    }
    if (rc == STORE_ERROR && first) s->member.events->not_joined(s, STORE_REFUSED, 2000, why);
    if (rc == STORE_UNAVAILABLE && first && r)
      s->member.events->not_joined(s, STORE_LOADING, 250, why);
    if (rc == STORE_ERROR && !first && s->state == STORE_READY) refusals_writes(s, why);
    return; /* a lost connection says so itself; a refresh comes again */
  }
  if (query->script == SCRIPT_LEASE_RENEW) s->member.full = false;
  if (!s->member.full) refusals_writes(s, "");
  switch (r->element[0]->integer) {
  case 0:
    s->member.rival[0] = 0;
    if (first) s->member.id_mark = redis_reply_u64(r->element[1]);
    if (s->member.joined && r->element[2]->integer) was_declared_dead(s);
    since_told(s, redis_reply_u64(r->element[3]));
    s->member.renewed_ms = query->n[2];
    if (s->member.doubted && s->state == STORE_READY) wakeup_all(s);
    s->member.doubted = false;
    if (query->script == SCRIPT_LEASE_RENEW) renewed(s, query, r);
    if (s->state != STORE_READY && !s->member.left) {
      s->member.joined = true;
      s->member.events->ready(s);
    }
    break;
  case 1:
    if (!s->member.left) lease_held(s, r);
    break;
  default:
    if (s->state != STORE_READY)
      s->member.events->not_joined(s, STORE_CONNECTING, 5000, "its shard belongs to another node");
    s->ev.shard_taken(s->ev.arg, s, (unsigned)query->n[1]);
  }
}

void membership_join(struct store *s) {
  if (!s->member.joining) join_send(s, "", true);
}

void membership_renew(struct store *s, bool swept, bool acts, bool full) {
  struct cmd *out = &s->out;
  uint64_t lease = store_lease_ms(s);
  bool mark = s->member.mark_ms < mark_after(s, lease / 2);
  if (s->member.left) return;
  timer_start(&s->member.timer, refresh_ms(s));
  if (mark) s->member.mark_ms = mark_after(s, lease * 3 / 4);
  struct query *query = query_new(s, NULL, NULL, on_joined, NULL);
  query->own = true;
  query->n[1] = s->member.shard;
  query->n[2] = loop_now_ms(s->loop);
  query->n[3] = loop_clock_ms();
  query_script(s, SCRIPT_LEASE_RENEW, 7);
  cmd_text(out, s->member.lease_key);
  cmd_text(out, KEY_NODES);
  cmd_text(out, KEY_MARKS);
  cmd_text(out, KEY_BEATS);
  cmd_text(out, STORE_KEY_ACTS_OPEN);
  cmd_text(out, STORE_KEY_TOLD);
  cmd_text(out, STORE_KEY_ACTS_BEGUN);
  cmd_text(out, s->server->node);
  cmd_text(out, s->node_instance);
  cmd_u64(out, lease);
  cmd_u64(out, s->member.shard);
  if (mark)
    cmd_u64(out, s->member.mark_ms);
  else
    cmd_text(out, "");
  put_entry(s);
  cmd_u64(out, s->member.beats_since_ms);
  cmd_text(out, acts ? s->acts.owner : "");
  cmd_text(out, full ? "1" : "0");
  if (swept)
    shared_put_swept(s);
  else
    cmd_text(out, "");
  query_send(query, SCRIPT_LEASE_RENEW);
}

void store_claim_shard(struct store *s, unsigned shard) {
  s->member.shard = shard;
  if (s->state == STORE_READY || s->state == STORE_CONNECTING)
    if (link_is_up(s->link) && !s->hello.answers) join_send(s, "", true);
}

/* Nobody is declared dead before one and a half leases. */
bool store_holds_lease(struct store *s) {
  if (loop_now_ms(s->loop) - s->member.renewed_ms <= store_lease_ms(s) * 5 / 4) return true;
  s->member.doubted = true;
  return false;
}

uint64_t store_id_mark(const struct store *s) {
  return s->member.id_mark;
}

/* Where no sweep has renewed it in time. */
static void lease_refresh(void *arg) {
  membership_renew(arg, false, false, false);
}

/* Consumers of this node in the groups of a queue that it may ever have read. */
static void queue_part(struct store *s, const struct store_queue *q) {
  struct consumers part = {.store = s, .stream = q->stream};
  for (size_t i = 0; q->set && i < q->set->n_topics; i++)
    consumers_add(&part, q->set->topics[i]->name, s->server->node);
  for (const struct store_topic *t = q->topics; t; t = t->next)
    consumers_add(&part, t->name, s->server->node);
  consumers_send(&part);
}

void store_leave(struct store *s) {
  if (s->member.left) return;
  s->member.left = true;
  if (s->state != STORE_READY) return;
  bool jobs = s->objects.leaves_jobs;
  for (const struct store_queue *q = s->objects.queues; q; q = q->next) {
    queue_part(s, q);
    for (const struct store_topic *t = q->topics; t; t = t->next) jobs |= t->held.n > 0;
  }
  struct query *query = query_new(s, NULL, NULL, query_ignored, NULL);
  query_script(s, SCRIPT_LEASE_LEAVE, 3);
  cmd_text(&s->out, s->member.lease_key);
  cmd_text(&s->out, KEY_NODES);
  cmd_text(&s->out, KEY_BEATS);
  cmd_text(&s->out, s->server->node);
  cmd_text(&s->out, s->node_instance);
  cmd_text(&s->out, jobs ? "1" : "0");
  query_send(query, SCRIPT_LEASE_LEAVE);
}

void store_on_node_death(struct store *s,
                         void (*died)(void *arg, struct store *s, const char *node), void *arg) {
  s->member.died = died;
  s->member.died_arg = arg;
}

/* --- the node registry --- */

static void on_nodes(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  size_t n = 0;
  struct store_node *nodes = NULL;
  (void)why;
  if (!rc && r->type == REPLY_ARRAY) {
    nodes = calloc(r->elements / 3 + 1, sizeof *nodes);
    if (!nodes) out_of_memory();
    for (size_t i = 0; i + 3 <= r->elements; i += 3) {
      struct entry e;
      if (!node_entry_parse(r->element[i + 1]->str, &e)) continue;
      nodes[n++] = (struct store_node){.name = r->element[i]->str,
                                       .shard = e.shard,
                                       .seen_ms = e.seen_ms,
                                       .alive = r->element[i + 2]->integer > 0,
                                       .dead = r->element[i + 2]->integer < 0};
    }
  }
  query->fn.nodes(query->arg, rc, nodes, n);
  free(nodes);
}

void membership_put_nodes(struct store *s, const char *remove, bool told) {
  query_script(s, SCRIPT_NODES, told ? 3 : 2);
  cmd_text(&s->out, KEY_NODES);
  cmd_text(&s->out, KEY_BEATS);
  if (told) cmd_text(&s->out, STORE_KEY_TOLD);
  cmd_u64(&s->out, store_lease_ms(s));
  cmd_text(&s->out, remove);
  if (told) shared_put_swept(s);
}

void store_nodes(struct store *s, store_nodes_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_nodes, arg);
  query->fn.nodes = fn;
  membership_put_nodes(s, "", false);
  query_send(query, SCRIPT_NODES);
}

/* --- life --- */

int membership_init(struct store *s, unsigned shard, const struct membership_events *ev) {
  s->member.events = ev;
  s->member.shard = shard;
  timer_init(&s->member.timer, s->loop, lease_refresh, s);
  if (asprintf(&s->member.lease_key, "pb:{@}:node:%s", s->server->node) < 0) {
    s->member.lease_key = NULL;
    return -ENOMEM;
  }
  return 0;
}

void membership_start(struct store *s) {
  timer_start(&s->member.timer, refresh_ms(s));
}

void membership_stop(struct store *s) {
  timer_stop(&s->member.timer);
}

void membership_lost(struct store *s) {
  s->member.joining = false;
}

void membership_done(struct store *s) {
  timer_done(&s->member.timer);
  free(s->member.lease_key);
}
