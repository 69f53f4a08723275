/* Owns the start of a connection: the checks of the server before it is used.
 *
 * A connection comes up: INFO (version, eviction, role, loading) -> layout version and scripts ->
 * the lease of this node's name (membership.c) -> READY (store.c).
 */
#include "storage/redis/private.h"

#include "base/log.h"
#include "storage/redis/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOADING_MS  250
#define REFUSED_MS  5000
#define REPLICA_MS  500 /* a failover is under way, perhaps */
#define QUERY_SLACK (64 * 1024)

/* The lease, the sweeps and the wake-ups begin on READY and end with the connection. */
static void node_stop(struct store *s) {
  membership_stop(s);
  sweep_stop(s);
  wakeup_stop(s);
  census_stop(s);
}

void hello_again(struct store *s, enum store_state state, uint64_t again_ms, const char *why) {
  uint64_t soon = store_lease_ms(s) / 8; /* back in time, whatever broke it */
  node_stop(s);
  state_set(s, state, why);
  timer_start(&s->hello.again, loop_jitter(s->loop, again_ms < soon ? again_ms : soon));
}

static void refuse(struct store *s, const char *why) {
  hello_again(s, STORE_REFUSED, REFUSED_MS, why);
}

/* Its name or its VIP may lead to another server soon: to be looked up again, on a new connection.
 * Or this one becomes the primary. */
static void refuse_replica(struct store *s, const char *why) {
  s->hello.resolve_again = true;
  hello_again(s, STORE_REFUSED, REPLICA_MS, why);
}

static void hello_answered(struct store *s);

/* True: the hello has ended with this answer. The hello starts again if the error is not about the
 * hello: the server is reading its data back, or a foreign script holds it up. */
static bool hello_failed(struct store *s, enum store_rc rc, const struct redis_reply *r,
                         const char *why) {
  if (!rc) return false;
  if (rc == STORE_UNKNOWN || !s->hello.answers)
    return true; /* the next connection says hello again */
  s->hello.answers = 0;
  if (rc == STORE_UNAVAILABLE)
    hello_again(s, STORE_LOADING, LOADING_MS, r ? why : s->why);
  else
    refuse(s, why);
  return true;
}

static void on_script_loaded(struct query *query, enum store_rc rc, struct redis_reply *r,
                             const char *why) {
  struct store *s = query->store;
  if (hello_failed(s, rc, r, why)) return;
  if (r->len != STORE_SHA_LEN) {
    s->hello.answers = 0;
    refuse(s, "it gave an unexpected answer to SCRIPT LOAD");
    return;
  }
  memcpy(s->hello.sha[query->n[0]], r->str, STORE_SHA_LEN + 1);
  hello_answered(s);
}

static void on_version(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store *s = query->store;
  char text[200];
  if (hello_failed(s, rc, r, why)) return;
  if (r->type == REPLY_STRING && redis_reply_u64(r) != STORE_LAYOUT) {
    snprintf(text, sizeof text,
             "it holds data of another version of Pepperbus (layout %.20s, this one knows %d); "
             "run that version, or choose another db",
             r->str, STORE_LAYOUT);
    s->hello.answers = 0;
    refuse(s, text);
    return;
  }
  s->hello.unversioned = r->type != REPLY_STRING;
  hello_answered(s);
}

static void on_version_set(struct query *query, enum store_rc rc, struct redis_reply *r,
                           const char *why) {
  if (!rc && r->type != REPLY_STRING)
    query->store->hello.unversioned = false; /* it is ours, just now */
  if (rc || r->type == REPLY_STRING)
    on_version(query, rc, r, why);
  else
    hello_answered(query->store);
}

/* By a script, for a server whose memory is full takes it from no other. */
static void version_set(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, on_version_set, NULL);
  if (s->member.joined)
    log_error(loop_log(s->loop), s->subject,
              "holds no data of Pepperbus any more: it was emptied, or another server answers at "
              "its address; jobs that it had accepted are not here");
  s->hello.answers = 1;
  query->own = true;
  query_script(s, SCRIPT_WRITE, 1);
  cmd_text(&s->out, STORE_KEY_VERSION);
  cmd_text(&s->out, "SET");
  cmd_u64(&s->out, STORE_LAYOUT);
  cmd_text(&s->out, "NX");
  cmd_text(&s->out, "GET");
  query_send(query, SCRIPT_WRITE);
}

static void hello_answered(struct store *s) {
  if (!s->hello.answers || --s->hello.answers) return;
  if (s->hello.unversioned)
    version_set(s);
  else
    membership_join(s);
}

/* A larger job would end the connection for all jobs. Where CONFIG is forbidden, the first job that
 * is too large teaches the limit. */
static void on_limits(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  struct store *s = query->store;
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
  /* The buffer also holds the beginning of the next command. */
  buffer = buffer > QUERY_SLACK ? buffer - QUERY_SLACK : buffer;
  if (!bulk || (buffer && buffer < bulk))
    refusals_size_told(s, buffer, "client-query-buffer-limit");
  else
    refusals_size_told(s, bulk, "proto-max-bulk-len");
}

static void limits_ask(struct store *s) {
  struct query *query = query_new(s, NULL, NULL, on_limits, NULL);
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "CONFIG");
  cmd_text(&s->out, "GET");
  cmd_text(&s->out, "proto-max-bulk-len");
  cmd_text(&s->out, "client-query-buffer-limit");
  query_send(query, SCRIPT_NONE);
}

static void hello_rest(struct store *s) {
  limits_ask(s);
  struct query *query = query_new(s, NULL, NULL, on_version, NULL);
  s->hello.answers = SCRIPT_MAX + 1;
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "GET");
  cmd_text(&s->out, STORE_KEY_VERSION);
  query_send(query, SCRIPT_NONE);
  for (int i = 0; i < SCRIPT_MAX; i++) {
    query = query_new(s, NULL, NULL, on_script_loaded, NULL);
    query->own = true;
    query->n[0] = (uint64_t)i;
    cmd_begin(&s->out);
    cmd_text(&s->out, "SCRIPT");
    cmd_text(&s->out, "LOAD");
    cmd_text(&s->out, store_script_text((enum store_script)i));
    query_send(query, SCRIPT_NONE);
  }
}

/* Two spellings of one database: each job would be stored and run twice. */
static bool refuse_twin(struct store *s) {
  const char *other = s->hello.run_known && s->ev.same ? s->ev.same(s->ev.arg, s) : NULL;
  char text[400];
  s->hello.twin = other != NULL;
  if (!other) return false;
  snprintf(text, sizeof text,
           "it is the same Redis database as storage %.128s (run id %.12s..., db %lld): each job "
           "would be stored and run twice; give it a server or a `db` of its own, or take one of "
           "the two out",
           other, s->hello.run, (long long)s->st->db);
  s->hello.resolve_again = true; /* its name may lead elsewhere later */
  refuse(s, text);
  return true;
}

static void on_info(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = query->store;
  struct log *log = loop_log(s->loop);
  char v[64], text[300];
  if (rc == STORE_UNKNOWN) return; /* the connection is gone; the next one asks again */
  s->hello.run_known = !rc && r->type == REPLY_STRING &&
                       info_get(r->str, "run_id", s->hello.run, sizeof s->hello.run);
  if (!s->hello.run_known)
    snprintf(s->hello.run, sizeof s->hello.run, "?%.80s-%llu", s->node_instance,
             (unsigned long long)++s->hello.greeted);
  if (rc == STORE_UNAVAILABLE) {
    if (link_is_up(s->link)) hello_again(s, STORE_LOADING, LOADING_MS, why);
    return;
  }
  if (rc && !strncmp(r->str, "NOAUTH", 6)) {
    refuse(s, "it asks for a password; set `password` (and `username`) of this storage");
    return;
  }
  if (rc) {
    if (!s->hello.warned_info)
      log_warning(log, s->subject,
                  "cannot be checked (%s): it must be Redis 7.0 or newer, never evict, and write "
                  "an append-only file",
                  why);
    s->hello.warned_info = true;
    info_told(s, NULL);
    hello_rest(s);
    return;
  }
  info_told(s, r->str);
  switch (info_fault(r->str, text, sizeof text)) {
  case SERVER_LOADS:
    hello_again(s, STORE_LOADING, LOADING_MS, text);
    return;
  case SERVER_REPLICA:
    refuse_replica(s, text);
    return;
  case SERVER_UNFIT:
    refuse(s, text);
    return;
  case SERVER_FITS:
    break;
  }
  if (refuse_twin(s)) return;
  if (info_get(r->str, "aof_enabled", v, sizeof v) && !strcmp(v, "0") && !s->hello.warned_aof) {
    s->hello.warned_aof = true;
    log_warning(log, s->subject,
                "keeps no append-only file: jobs accepted since its last snapshot are lost when it "
                "dies; set `appendonly yes` in redis.conf");
  }
  hello_rest(s);
}

static void hello(void *arg) {
  struct store *s = arg;
  if (!link_is_up(s->link) || s->member.joining || s->member.left) return;
  if (s->hello.resolve_again) {
    link_drop(s->link, "its address is looked up again");
    return;
  }
  struct query *query = query_new(s, NULL, NULL, on_info, NULL);
  s->hello.answers = 0;
  query->own = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "INFO");
  query_send(query, SCRIPT_NONE);
}

void hello_init(struct store *s) {
  timer_init(&s->hello.again, s->loop, hello, s);
}

void hello_begin(struct store *s) {
  hello(s);
}

bool hello_lost(struct store *s) {
  bool told = s->hello.resolve_again;
  timer_stop(&s->hello.again);
  node_stop(s);
  s->hello.answers = 0;
  s->hello.resolve_again = false;
  membership_lost(s);
  return told;
}

void hello_over(struct store *s) {
  timer_stop(&s->hello.again);
  s->hello.was_ready = true;
}

void hello_done(struct store *s) {
  timer_done(&s->hello.again);
}
