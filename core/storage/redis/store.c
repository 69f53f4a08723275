/* Owns the life of a storage: its connections, what it is checked for at each start of one, and
 * its state.
 *
 * A connection comes up: INFO (version, eviction, role, loading) -> layout version and scripts
 * -> the lease of this node's name (store_node.c) -> READY.
 */
#include "storage/redis/managed_server.h"
#include "storage/redis/private.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOADING_MS    250
#define REFUSED_MS    5000
#define REPLICA_MS    500 /* a failover is under way, perhaps */
#define QUERY_SLACK   (64 * 1024)
#define LEASE_MORE_MS 2000 /* after a lease has ended its node's name is asked for again */

struct store_flush_wait {
  struct store_flush_wait *next;
  struct store *store;
  struct timer timer;
  void (*fn)(void *arg, bool idle);
  void *arg;
};

/* --- state --- */

void store_set_state(struct store *s, enum store_state state, const char *why) {
  struct log *log = loop_log(s->loop);
  if (s->state == state && !strcmp(s->why, why)) return;
  s->state = state;
  snprintf(s->why, sizeof s->why, "%s", why);
  switch (state) {
  case STORE_READY:
    log_info(log, s->subject, "ready");
    break;
  case STORE_LOADING:
    log_info(log, s->subject, "%s", why);
    break;
  case STORE_CONNECTING:
    if (*why) log_warning(log, s->subject, "%s", why);
    break;
  case STORE_REFUSED:
    log_error(log, s->subject, "%s", why);
    break;
  }
  if (!s->freeing) s->ev.state(s->ev.arg, s, state, s->why);
}

enum store_state store_state(const struct store *s) {
  return s->state;
}
/* What was asked again since has not been allowed meanwhile. */
static bool forbidden_now(const struct store *s) {
  return *s->forbidden && loop_now_ms(s->loop) - s->forbidden_ms < 4 * STORE_FORBIDDEN_MS;
}

void store_forbidden(struct store *s, const char *why) {
  bool now = forbidden_now(s), told = now && !strcmp(s->forbidden, why);
  if (!now) memset(s->forbidden_told, 0, sizeof s->forbidden_told);
  s->forbidden_ms = loop_now_ms(s->loop);
  snprintf(s->forbidden, sizeof s->forbidden, "%s", why);
  for (size_t i = 0; i < sizeof s->forbidden_told / sizeof *s->forbidden_told; i++) {
    char *said = s->forbidden_told[i];
    if (told || !strcmp(said, why)) return;
    if (*said) continue;
    snprintf(said, sizeof s->forbidden_told[i], "%s", why);
    log_error(loop_log(s->loop), s->subject,
              "%s; it is asked again now and then; doc/store-layout.md says what the broker needs",
              why);
    return;
  }
}

const char *store_no_writes(const struct store *s) {
  return s->refuses;
}

const char *store_why(const struct store *s) {
  if (s->state != STORE_READY) return s->why;
  if (*s->refuses) return s->refuses;
  return forbidden_now(s) ? s->forbidden : s->why;
}

#define STILL_MS 60000 /* between two lines about what goes on */

void store_refuses(struct store *s, const char *why) {
  struct log *log = loop_log(s->loop);
  uint64_t now = loop_now_ms(s->loop);
  bool before = *s->refuses;
  if (!*why) {
    s->refuses[0] = 0;
    if (before)
      log_info(log, s->subject, "takes writes again; refused meanwhile: %" PRIu64, s->refused);
    return;
  }
  s->refused++;
  if (why != s->refuses) snprintf(s->refuses, sizeof s->refuses, "%s", why);
  if (!before) {
    s->refused = 1;
    log_error(log, s->subject,
              "takes no writes: producers get an error, outcomes are kept until it does; %s", why);
  } else if (now - s->refuses_said_ms >= STILL_MS) {
    log_error(log, s->subject, "still takes no writes, refused so far: %" PRIu64 "; %s", s->refused,
              why);
  } else {
    return;
  }
  s->refuses_said_ms = now;
}

/* One that many topics meet at once is told for the first of them, and counted. */
void store_complain(struct store *s, const char *subject, const char *what, const char *why) {
  struct log *log = loop_log(s->loop);
  uint64_t now = loop_now_ms(s->loop);
  const char *shared = strstr(why, " refuses: "); /* of the server, not about this topic */
  size_t len = shared ? strcspn(shared + 10, ":") + (size_t)(shared + 10 - why) : strlen(why);
  if (*s->refuses || s->state != STORE_READY) return; /* told, and counted there */
  if (!strcmp(s->forbidden, why)) return;             /* the same */
  if (s->complaint.said_ms && now - s->complaint.said_ms < STILL_MS && shared &&
      !strncmp(s->complaint.why, why, len)) {
    s->complaint.more++;
    return;
  }
  if (s->complaint.more)
    log_error(log, s->subject, "%" PRIu64 " more like this in the last minute: %s",
              s->complaint.more, s->complaint.why);
  snprintf(s->complaint.why, sizeof s->complaint.why, "%.*s", (int)len, why);
  s->complaint.said_ms = now;
  s->complaint.more = 0;
  log_error(log, subject, "%s: %s", what, why);
}

void store_elsewhere(struct store *s, const char *why) {
  char text[200];
  snprintf(text, sizeof text, "%s", why);
  if (s->link) redis_link_drop(s->link, text);
  if (s->sub) redis_link_drop(s->sub, text);
  if (s->sync) redis_link_drop(s->sync, text);
}
const char *store_name(const struct store *s) {
  return s->st->name;
}

bool store_is_same(const struct store *a, const struct store *b) {
  return a->run_known && b->run_known && !strcmp(a->run, b->run) && a->st->db == b->st->db;
}

uint64_t store_job_max(const struct store *s, const char **ret_why) {
  *ret_why = s->bulk_name;
  if (!s->bulk_max) return UINT64_MAX;
  return s->bulk_max > JOB_HEAD_MAX ? s->bulk_max - JOB_HEAD_MAX : 0;
}

static void bulk_set(struct store *s, uint64_t max, const char *name) {
  uint64_t job = s->server->max_job_size;
  if (s->bulk_max == max) return;
  s->bulk_max = max;
  s->bulk_name = name;
  if (max && max < job + JOB_HEAD_MAX)
    log_warning(loop_log(s->loop), s->subject,
                "its %s is %" PRIu64 " bytes and max_job_size is %" PRIu64
                ": larger jobs are refused; raise the one or lower the other",
                name, max, job);
}

void store_bulk_refused(struct store *s, uint64_t bytes) {
  if (s->bulk_told || !bytes || (s->bulk_max && s->bulk_max < bytes)) return;
  bulk_set(s, bytes - 1, "proto-max-bulk-len");
}

bool store_is_twin(const struct store *s) {
  return s->twin;
}

uint64_t store_expected(const struct store *s) {
  if (s->was_ready || s->left || s->freeing) return 0;
  uint64_t now = loop_now_ms(s->loop), patience = s->st->command_timeout_ms;
  if (s->state == STORE_LOADING) return now + patience;
  if (s->state != STORE_CONNECTING) return 0;
  if (patience < s->st->connect_timeout_ms) patience = s->st->connect_timeout_ms;
  /* The name of a node that was killed in another place is free when its lease has ended. */
  if (*s->rival && patience < store_lease_ms(s) + LEASE_MORE_MS)
    patience = store_lease_ms(s) + LEASE_MORE_MS;
  return now < s->since_ms + patience ? s->since_ms + patience : 0;
}

void store_not_joined(struct store *s, enum store_state state, uint64_t again_ms, const char *why) {
  uint64_t soon = store_lease_ms(s) / 8; /* back in time, whatever kept it away */
  store_node_stop(s);
  store_set_state(s, state, why);
  timer_start(&s->again, loop_jitter(s->loop, again_ms < soon ? again_ms : soon));
}

void store_ready(struct store *s) {
  timer_stop(&s->again);
  s->state = STORE_READY; /* so that what follows is sent; told below */
  s->why[0] = 0;
  store_act_look(s); /* first: what follows compares times by the server's clock */
  store_attach_all(s, true);
  store_settle_all(s);
  s->was_ready = true;
  s->state = STORE_CONNECTING;
  store_set_state(s, STORE_READY, "");
  if (s->state != STORE_READY) return;
  store_node_start(s);
  store_stray_ready(s);
}

/* --- hello --- */

/* The value of "name:" in INFO, up to the end of its line. */
static bool info_get(const char *info, const char *name, char *ret, size_t cap) {
  size_t n = strlen(name);
  for (const char *p = info; p; p = strchr(p, '\n')) {
    if (*p == '\n') p++;
    if (strncmp(p, name, n) || p[n] != ':') continue;
    p += n + 1;
    size_t len = strcspn(p, "\r\n");
    if (len >= cap) len = cap - 1;
    memcpy(ret, p, len);
    ret[len] = 0;
    return true;
  }
  return false;
}

static void refuse(struct store *s, const char *why) {
  store_not_joined(s, STORE_REFUSED, REFUSED_MS, why);
}

/* Its name or its VIP may lead to another server soon: to be looked up again, on a new connection.
 * Or this one becomes the primary. */
static void refuse_replica(struct store *s) {
  s->look_up = true;
  store_not_joined(s, STORE_REFUSED, REPLICA_MS,
                   "it is a read-only replica; `address` must be that of the primary");
}

static void hello_answered(struct store *s);

/* True: the hello has ended with this answer. One that was not for it (the server reads its data
 * back, a script of somebody's holds it up) begins it again. */
static bool hello_failed(struct store *s, enum store_rc rc, const struct redis_reply *r,
                         const char *why) {
  if (!rc) return false;
  if (rc == STORE_UNKNOWN || !s->hello) return true; /* the next connection says hello again */
  s->hello = 0;
  if (rc == STORE_UNAVAILABLE)
    store_not_joined(s, STORE_LOADING, LOADING_MS, r ? why : s->why);
  else
    refuse(s, why);
  return true;
}

static void on_script_loaded(struct ask *a, enum store_rc rc, struct redis_reply *r,
                             const char *why) {
  struct store *s = a->store;
  if (hello_failed(s, rc, r, why)) return;
  if (r->len != STORE_SHA_LEN) {
    s->hello = 0;
    refuse(s, "it answers SCRIPT LOAD with nonsense");
    return;
  }
  memcpy(s->sha[a->n[0]], r->str, STORE_SHA_LEN + 1);
  hello_answered(s);
}

static void on_version(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  char text[200];
  if (hello_failed(s, rc, r, why)) return;
  if (r->type == REPLY_STRING && redis_reply_u64(r) != STORE_LAYOUT) {
    snprintf(text, sizeof text,
             "it holds data of another version of Pepperbus (layout %.20s, this one knows %d); "
             "run that version, or choose another db",
             r->str, STORE_LAYOUT);
    s->hello = 0;
    refuse(s, text);
    return;
  }
  s->unversioned = r->type != REPLY_STRING;
  hello_answered(s);
}

static void on_version_set(struct ask *a, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  if (!rc && r->type != REPLY_STRING) a->store->unversioned = false; /* it is ours, just now */
  if (rc || r->type == REPLY_STRING)
    on_version(a, rc, r, why);
  else
    hello_answered(a->store);
}

/* By a script, for a server whose memory is full takes it from no other. */
static void version_set(struct store *s) {
  struct ask *a = ask_new(s, NULL, NULL, on_version_set, NULL);
  if (s->joined)
    log_error(loop_log(s->loop), s->subject,
              "holds no data of Pepperbus any more: it was emptied, or another server answers at "
              "its address; jobs that it had accepted are not here");
  s->hello = 1;
  a->own = true;
  ask_script(s, SCRIPT_WRITE, 1);
  cmd_text(&s->out, STORE_KEY_VERSION);
  cmd_text(&s->out, "SET");
  cmd_u64(&s->out, STORE_LAYOUT);
  cmd_text(&s->out, "NX");
  cmd_text(&s->out, "GET");
  ask_send(a, SCRIPT_WRITE);
}

static void hello_answered(struct store *s) {
  if (!s->hello || --s->hello) return;
  if (s->unversioned)
    version_set(s);
  else
    store_join(s);
}

/* A job that is larger would end the connection for all. Where CONFIG is forbidden the first one
 * that does teaches it. */
static void on_limits(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  uint64_t bulk = 0, buffer = 0;
  (void)why;
  if (rc || r->type != REPLY_ARRAY) return;
  for (size_t i = 0; i + 1 < r->elements; i += 2) {
    const struct redis_reply *name = r->element[i];
    uint64_t v = redis_reply_u64(r->element[i + 1]);
    if (name->type != REPLY_STRING) continue;
    if (!strcmp(name->str, "proto-max-bulk-len")) bulk = v;
    if (!strcmp(name->str, "client-query-buffer-limit")) buffer = v;
  }
  if (!bulk && !buffer) return;
  /* The buffer holds the beginning of what comes next, too. */
  buffer = buffer > QUERY_SLACK ? buffer - QUERY_SLACK : buffer;
  s->bulk_told = true;
  if (!bulk || (buffer && buffer < bulk))
    bulk_set(s, buffer, "client-query-buffer-limit");
  else
    bulk_set(s, bulk, "proto-max-bulk-len");
}

static void limits_ask(struct store *s) {
  struct ask *a = ask_new(s, NULL, NULL, on_limits, NULL);
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "CONFIG");
  cmd_text(&s->out, "GET");
  cmd_text(&s->out, "proto-max-bulk-len");
  cmd_text(&s->out, "client-query-buffer-limit");
  ask_send(a, SCRIPT_NONE);
}

static void hello_rest(struct store *s) {
  limits_ask(s);
  struct ask *a = ask_new(s, NULL, NULL, on_version, NULL);
  s->hello = SCRIPT_MAX + 1;
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "GET");
  cmd_text(&s->out, STORE_KEY_VERSION);
  ask_send(a, SCRIPT_NONE);
  for (int i = 0; i < SCRIPT_MAX; i++) {
    a = ask_new(s, NULL, NULL, on_script_loaded, NULL);
    a->own = true;
    a->n[0] = (uint64_t)i;
    cmd_begin(&s->out);
    cmd_text(&s->out, "SCRIPT");
    cmd_text(&s->out, "LOAD");
    cmd_text(&s->out, store_script_text((enum store_script)i));
    ask_send(a, SCRIPT_NONE);
  }
}

/* Two spellings of one database: each job would be stored and run twice. */
static bool refuse_twin(struct store *s) {
  const char *other = s->run_known && s->ev.same ? s->ev.same(s->ev.arg, s) : NULL;
  char text[400];
  s->twin = other != NULL;
  if (!other) return false;
  snprintf(text, sizeof text,
           "it is the same Redis database as storage %.128s (run id %.12s..., db %lld): each job "
           "would be stored and run twice; give it a server or a `db` of its own, or take one of "
           "the two out",
           other, s->run, (long long)s->st->db);
  s->look_up = true; /* its name may lead elsewhere later */
  refuse(s, text);
  return true;
}

static void on_info(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = a->store;
  struct log *log = loop_log(s->loop);
  char v[64], text[300];
  if (rc == STORE_UNKNOWN) return; /* the connection is gone; the next one asks again */
  s->run_known =
      !rc && r->type == REPLY_STRING && info_get(r->str, "run_id", s->run, sizeof s->run);
  if (!s->run_known)
    snprintf(s->run, sizeof s->run, "?%.80s-%llu", s->instance, (unsigned long long)++s->greeted);
  if (rc == STORE_UNAVAILABLE) {
    if (redis_link_is_up(s->link)) store_not_joined(s, STORE_LOADING, LOADING_MS, why);
    return;
  }
  if (rc && !strncmp(r->str, "NOAUTH", 6)) {
    refuse(s, "it asks for a password; set `password` (and `username`) of this storage");
    return;
  }
  if (rc) {
    if (!s->warned_info)
      log_warning(log, s->subject,
                  "cannot be checked (%s): it must be Redis 7.0 or newer, never evict, and write "
                  "an append-only file",
                  why);
    s->warned_info = true;
    hello_rest(s);
    return;
  }
  if (info_get(r->str, "loading", v, sizeof v) && !strcmp(v, "1")) {
    store_not_joined(s, STORE_LOADING, LOADING_MS, "the server reads its data back");
    return;
  }
  if (info_get(r->str, "redis_version", v, sizeof v) && atoi(v) < 7) {
    snprintf(text, sizeof text, "its version is %s; Redis 7.0 or newer, or Valkey, is needed", v);
    refuse(s, text);
    return;
  }
  if (info_get(r->str, "cluster_enabled", v, sizeof v) && !strcmp(v, "1")) {
    refuse(s, "it is a node of a Redis Cluster, which this version cannot use");
    return;
  }
  if (info_get(r->str, "role", v, sizeof v) && strcmp(v, "master")) {
    refuse_replica(s);
    return;
  }
  if (info_get(r->str, "maxmemory_policy", v, sizeof v) && strcmp(v, "noeviction")) {
    snprintf(text, sizeof text,
             "its maxmemory-policy is %s, which deletes jobs when memory is short; set "
             "`maxmemory-policy noeviction` in redis.conf",
             v);
    refuse(s, text);
    return;
  }
  if (refuse_twin(s)) return;
  if (info_get(r->str, "aof_enabled", v, sizeof v) && !strcmp(v, "0") && !s->warned_aof) {
    s->warned_aof = true;
    log_warning(log, s->subject,
                "keeps no append-only file: jobs accepted since its last snapshot are lost when it "
                "dies; set `appendonly yes` in redis.conf");
  }
  hello_rest(s);
}

static void hello(void *arg) {
  struct store *s = arg;
  if (!redis_link_is_up(s->link) || s->joining || s->left) return;
  if (s->look_up) {
    redis_link_drop(s->link, "its address is looked up again");
    return;
  }
  struct ask *a = ask_new(s, NULL, NULL, on_info, NULL);
  s->hello = 0;
  a->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "INFO");
  ask_send(a, SCRIPT_NONE);
}

/* --- connections --- */

static void link_up(void *arg) {
  struct store *s = arg;
  hello(s);
}

static void link_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  char text[STORE_WORDS];
  if (s->freeing) return;
  timer_stop(&s->again);
  store_node_stop(s);
  store_count_stop(s);
  s->hello = 0;
  s->joining = false;
  if (s->look_up && !refused) { /* said already why it is not used */
    s->look_up = false;
    return;
  }
  s->look_up = false;
  if (s->managed) redis_server_check(s->managed);
  if (s->managed && !refused && redis_server_is_starting(s->managed)) {
    store_set_state(s, STORE_LOADING, "its redis-server is starting");
    return;
  }
  if (s->managed && *redis_server_why(s->managed))
    snprintf(text, sizeof text, "%s; trying again", redis_server_why(s->managed));
  else
    snprintf(text, sizeof text, "%s%.400s; connecting again",
             refused ? "cannot be used: " : "no connection: ", why);
  store_set_state(s, refused ? STORE_REFUSED : STORE_CONNECTING, text);
}

static void sub_up(void *arg) {
  store_subscribed(arg);
}

static void sub_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  if (s->freeing || s->state != STORE_READY) return;
  if (refused && !strncmp(why, "NOPERM ", 7)) {
    char text[STORE_WORDS];
    snprintf(
        text, sizeof text,
        "%s refuses: its ACL forbids to subscribe, so wake-ups of other nodes come late: %.200s",
        s->subject, why);
    store_forbidden(s, text);
    return;
  }
  log_warning(loop_log(s->loop), s->subject,
              "the connection for wake-ups of other nodes is gone (%s%s); trying again",
              refused ? "refused: " : "", why);
}

static void sub_message(void *arg, const char *text, size_t len) {
  store_heard(arg, text, len);
}

/* --- life --- */

static struct redis_link *link_of(struct store *s, const char *channel) {
  const struct storage_settings *st = s->st;
  struct redis_link_settings ls = {.name = s->subject,
                                   .address = s->address,
                                   .username = st->username,
                                   .password = st->password,
                                   .client_name = s->client_name,
                                   .channel = channel,
                                   .db = st->db,
                                   .connect_timeout_ms = st->connect_timeout_ms,
                                   .command_timeout_ms = st->command_timeout_ms,
                                   .reconnect_max_ms = store_lease_ms(s) / 8,
                                   .refused_ms = channel ? STORE_FORBIDDEN_MS : 0};
  struct redis_link_events ev = {.up = channel ? sub_up : link_up,
                                 .down = channel ? sub_down : link_down,
                                 .message = sub_message,
                                 .arg = s};
  return redis_link_new(s->loop, &ls, &ev);
}

struct store *store_new(struct loop *loop, const struct storage_settings *st,
                        const struct server_settings *server, const char *instance, unsigned shard,
                        const struct store_events *ev) {
  struct store *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->loop = loop;
  s->st = st;
  s->server = server;
  s->ev = *ev;
  s->since_ms = loop_now_ms(loop);
  s->shard = shard;
  s->failed_end = &s->failed;
  s->add_failed_end = &s->add_failed;
  s->to_sync_end = &s->to_sync;
  s->to_wait_end = &s->to_wait;
  timer_init(&s->again, loop, hello, s);
  store_census_init(s);
  store_settle_start(s);
  s->instance = strdup(instance);
  if (asprintf(&s->subject, "storage %s", st->name) < 0) s->subject = NULL;
  if (asprintf(&s->client_name, "pepperbus-%s", server->node) < 0) s->client_name = NULL;
  if (store_node_init(s) || store_stray_init(s) || store_count_init(s) || store_act_init(s) ||
      !s->instance || !s->subject || !s->client_name)
    goto failed;
  if (st->managed) {
    s->managed = redis_server_new(loop, s->subject, st->server_binary, server->state_dir, st->name);
    if (!s->managed) goto failed;
    s->address = strdup(redis_server_address(s->managed));
  } else {
    s->address = strdup(st->address);
  }
  if (!s->address || !(s->link = link_of(s, NULL)) || !(s->sub = link_of(s, STORE_CHANNEL)))
    goto failed;
  return s;
failed:
  store_free(s);
  return NULL;
}

void store_free(struct store *s) {
  if (!s) return;
  struct redis_link *link = s->link, *sub = s->sub, *sync = s->sync;
  s->freeing = true;
  s->state = STORE_CONNECTING;
  s->link = s->sub = s->sync = NULL;
  redis_link_free(link);
  redis_link_free(sync);
  redis_link_free(sub);
  store_intake_go_on(s);
  store_answer_failed(s);
  while (s->flushes) {
    struct store_flush_wait *w = s->flushes;
    s->flushes = w->next;
    timer_done(&w->timer);
    w->fn(w->arg, false);
    free(w);
  }
  timer_done(&s->again);
  store_node_done(s);
  store_stray_done(s);
  store_census_done(s);
  store_count_done(s);
  store_act_done(s);
  while (s->lingering) store_settle_abandon(s->lingering);
  deferred_cancel(s->loop, &s->answer_later);
  deferred_cancel(s->loop, &s->settle_later);
  timer_done(&s->settle_timer);
  deferred_cancel(s->loop, &s->flush_later);
  store_intake_done(s);
  redis_server_free(s->managed);
  cmd_done(&s->out);
  free(s->instance);
  free(s->subject);
  free(s->client_name);
  free(s->address);
  free(s);
}

/* --- idle --- */

bool store_idle(const struct store *s) {
  return !s->asks && !s->adds && !s->unsettled;
}

static void flush_wait_end(struct store_flush_wait *w, bool idle) {
  struct store_flush_wait **p = &w->store->flushes;
  while (*p != w) p = &(*p)->next;
  *p = w->next;
  timer_done(&w->timer);
  w->fn(w->arg, idle);
  free(w);
}

static void flush_check(void *arg) {
  struct store *s = arg;
  while (s->flushes && store_idle(s)) flush_wait_end(s->flushes, true);
}

void store_check_idle(struct store *s) {
  if (s->flushes && !s->freeing && store_idle(s))
    loop_defer(s->loop, &s->flush_later, flush_check, s);
}

static void flush_timeout(void *arg) {
  struct store_flush_wait *w = arg;
  flush_wait_end(w, store_idle(w->store));
}

void store_flush(struct store *s, uint64_t timeout_ms, void (*fn)(void *arg, bool idle),
                 void *arg) {
  struct store_flush_wait *w = calloc(1, sizeof *w);
  if (!w) abort();
  *w = (struct store_flush_wait){.next = s->flushes, .store = s, .fn = fn, .arg = arg};
  s->flushes = w;
  timer_init(&w->timer, s->loop, flush_timeout, w);
  timer_start(&w->timer, timeout_ms);
  store_check_idle(s);
}

void store_stats(const struct store *s, struct store_stats *ret) {
  struct redis_link_stats l = {0};
  if (s->link) redis_link_stats(s->link, &l);
  *ret = (struct store_stats){.commands = l.commands,
                              .reconnects = l.reconnects,
                              .unknown = s->unknown,
                              .late = s->late,
                              .in_flight = l.in_flight,
                              .rtt_us = l.rtt_us};
}
