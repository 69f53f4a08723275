/* Owns one question to the storage from being asked to being answered: exactly once, never from
 * within the call that asked. Reloads a script that the server does not know (any more). Whose
 * question it is this file does not know: it has `answer`, and `release` of the queue and the
 * topic. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"
#include "job/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void query_init(struct store *s) {
  s->queries.failed_end = &s->queries.failed;
}

void query_done(struct store *s) {
  deferred_cancel(s->loop, &s->queries.later);
}

static void query_free(struct query *query) {
  struct store *s = query->store;
  if (!query->own) s->queries.n--;
  if (query->t) topic_unref(query->t);
  if (query->q) queue_unref(query->q);
  free(query->cmd);
  free(query->ptr);
  free(query->refused);
  free(query);
  flush_check(s);
}

static void query_answer(struct query *query, enum store_rc rc, struct redis_reply *r,
                         const char *why) {
  query->sent_again = false;
  query->answer(query, rc, r, why);
  if (!query->sent_again) query_free(query);
}

void query_answer_failed(struct store *s) {
  while (s->queries.failed) {
    struct query *query = s->queries.failed;
    s->queries.failed = query->next;
    if (!s->queries.failed) s->queries.failed_end = &s->queries.failed;
    query_answer(query, query->rc, NULL,
                 query->refused            ? query->refused
                 : s->state == STORE_READY ? "too many commands on the way"
                 : *s->why                 ? s->why
                                           : "no connection to the storage");
  }
}

static void answer_turn(void *arg) {
  query_answer_failed(arg);
}

static void query_fail(struct query *query, enum store_rc rc) {
  struct store *s = query->store;
  query->rc = rc;
  query->next = NULL;
  *s->queries.failed_end = query;
  s->queries.failed_end = &query->next;
  loop_defer(s->loop, &s->queries.later, answer_turn, s);
}

void query_refuse(struct query *query, enum store_rc rc, const char *why) {
  if (!(query->refused = strdup(why))) out_of_memory();
  query_fail(query, rc);
}

enum refusal {
  REFUSAL_PLAIN,
  REFUSAL_WRITES, /* the server takes no writes from any client */
  REFUSAL_RIGHT,  /* this user may not: only who set its ACL can mend that */
  REFUSAL_PLACE   /* it is not the server to talk to (any more): the connection is given up, and
                     the address looked up again */
};

static const struct {
  const char *prefix;
  enum store_rc rc;
  enum refusal refusal;
  const char *meaning;
} errors[] = {
    {"LOADING ", STORE_UNAVAILABLE, REFUSAL_PLACE, "it is reading its data back"},
    {"BUSY ", STORE_UNAVAILABLE, REFUSAL_PLAIN, "it is busy with a script of somebody's"},
    {"MASTERDOWN ", STORE_UNAVAILABLE, REFUSAL_PLACE, "it is a replica without its master"},
    {"READONLY ", STORE_ERROR, REFUSAL_PLACE, "it is a read-only replica"},
    {"UNBLOCKED ", STORE_UNKNOWN, REFUSAL_PLACE, "it has become a replica meanwhile"},
    {"NOAUTH ", STORE_ERROR, REFUSAL_PLACE, "it asks for a password"},
    {"MOVED ", STORE_ERROR, REFUSAL_PLACE, "it is a node of a Redis Cluster"},
    {"ASK ", STORE_ERROR, REFUSAL_PLACE, "it is a node of a Redis Cluster"},
    {"CLUSTERDOWN ", STORE_ERROR, REFUSAL_PLACE, "it is a node of a Redis Cluster"},
    {"OOM ", STORE_ERROR, REFUSAL_WRITES, "it is out of memory (maxmemory)"},
    {"MISCONF ", STORE_ERROR, REFUSAL_WRITES, "it cannot write its data to disk"},
    {"NOREPLICAS ", STORE_ERROR, REFUSAL_WRITES, "it has too few replicas (min-replicas-to-write)"},
    {"NOPERM ", STORE_ERROR, REFUSAL_RIGHT, "its ACL forbids a command"},
    {"ERR The user executing the script can't", STORE_ERROR, REFUSAL_RIGHT,
     "its ACL forbids a command"},
    {"ERR Protocol error: invalid bulk length", STORE_ERROR, REFUSAL_PLAIN,
     "the job is larger than its proto-max-bulk-len"},
};

enum store_rc query_rc(struct store *s, const struct redis_reply *r, const char **why) {
  *why = "";
  if (!r) {
    s->queries.unknown++;
    *why = "the connection to the storage broke; whether it was done is not known";
    return STORE_UNKNOWN;
  }
  if (r->type != REPLY_ERROR) return STORE_OK;
  *why = s->queries.words;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (strncmp(r->str, errors[i].prefix, strlen(errors[i].prefix))) continue;
    snprintf(s->queries.words, sizeof s->queries.words, "%s refuses: %s: %.300s", s->subject,
             errors[i].meaning, r->str);
    if (errors[i].refusal == REFUSAL_PLACE && s->state == STORE_READY)
      refusals_place(s, errors[i].meaning);
    if (errors[i].refusal == REFUSAL_RIGHT && s->state == STORE_READY)
      refusals_right(s, s->queries.words);
    if (errors[i].refusal == REFUSAL_WRITES && s->state == STORE_READY)
      refusals_writes(s, s->queries.words);
    return errors[i].rc;
  }
  snprintf(s->queries.words, sizeof s->queries.words, "%s: %.400s", s->subject, r->str);
  return STORE_ERROR;
}

struct query *query_new(struct store *s, struct store_queue *q, struct store_topic *t,
                        answer_fn answer, void *arg) {
  struct query *query = calloc(1, sizeof *query);
  if (!query) out_of_memory(); /* a callback that never comes would be a job that is lost */
  query->store = s;
  query->q = q;
  query->t = t;
  if (q) q->refs++;
  if (t) t->refs++;
  query->answer = answer;
  query->arg = arg;
  query->script = SCRIPT_NONE;
  s->queries.n++;
  return query;
}

void query_script(struct store *s, enum store_script script, unsigned keys) {
  cmd_begin(&s->out);
  cmd_text(&s->out, "EVALSHA");
  cmd_bytes(&s->out, s->hello.sha[script], STORE_SHA_LEN);
  cmd_u64(&s->out, keys);
}

void query_ignored(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  (void)query;
  (void)rc;
  (void)r;
  (void)why;
}

static void on_answer(struct link_callback *callback, struct redis_reply *r);

static void on_reload(struct link_callback *callback, struct redis_reply *r) {
  struct query *query = CONTAINER_OF(callback, struct query, callback);
  const char *why;
  enum store_rc rc = query_rc(query->store, r, &why);
  struct redis_piece piece = {query->cmd, query->cmd_len};
  query->callback.fn = on_answer;
  if (rc)
    query_answer(query, rc == STORE_UNKNOWN ? STORE_UNAVAILABLE : rc, NULL, why);
  else if (!query->store->link || link_send(query->store->link, &piece, 1, &query->callback))
    query_fail(query, STORE_UNAVAILABLE);
}

/* The server forgot its scripts (SCRIPT FLUSH, a restart behind a proxy): teach it again. */
static bool query_reload(struct query *query) {
  struct store *s = query->store;
  struct redis_piece piece;
  if (query->reloaded || !query->cmd || !s->link) return false;
  query->reloaded = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "SCRIPT");
  cmd_text(&s->out, "LOAD");
  cmd_text(&s->out, store_script_text(query->script));
  if (!cmd_end(&s->out, &piece.p, &piece.n)) return false;
  query->callback.fn = on_reload;
  if (link_send(s->link, &piece, 1, &query->callback)) {
    query->callback.fn = on_answer;
    return false;
  }
  return true;
}

static void on_answer(struct link_callback *callback, struct redis_reply *r) {
  struct query *query = CONTAINER_OF(callback, struct query, callback);
  const char *why;
  if (r && r->type == REPLY_ERROR && !strncmp(r->str, "NOSCRIPT", 8) && query_reload(query)) return;
  enum store_rc rc = query_rc(query->store, r, &why);
  query_answer(query, rc, r, why);
}

void query_send(struct query *query, enum store_script script) {
  struct store *s = query->store;
  struct redis_piece piece;
  if (query->own) s->queries.n--; /* decided by the caller after query_new() */
  query->script = script;
  query->callback.fn = on_answer;
  if (!cmd_end(&s->out, &piece.p, &piece.n)) {
    query_fail(query, STORE_UNAVAILABLE);
    return;
  }
  if (script != SCRIPT_NONE) {
    char *cmd = malloc(piece.n);
    if (cmd) {
      memcpy(cmd, piece.p, piece.n);
      free(query->cmd);
      query->cmd = cmd;
      query->cmd_len = piece.n;
    }
  }
  if (!s->link || (!query->own && s->state != STORE_READY) ||
      link_send(s->link, &piece, 1, &query->callback))
    query_fail(query, STORE_UNAVAILABLE);
}

void query_send_again(struct query *query, enum store_script script) {
  query->sent_again = true;
  query->reloaded = false;
  if (query->own) query->store->queries.n++; /* which query_send() takes back */
  query_send(query, script);
}

uint64_t redis_reply_u64(const struct redis_reply *r) {
  uint64_t v;
  if (r->type == REPLY_INTEGER) return r->integer > 0 ? (uint64_t)r->integer : 0;
  if (r->type != REPLY_STRING && r->type != REPLY_STATUS) return 0;
  if (id_parse(r->str, r->len, &v)) return v;
  return (uint64_t)strtod(r->str, NULL); /* scores: "1.7e+12" */
}

bool entry_parse(const char *p, uint64_t *ms, uint64_t *seq) {
  uint64_t a = 0, b = 0;
  const char *from = p;
  for (; *p >= '0' && *p <= '9'; p++) a = a * 10 + (uint64_t)(*p - '0');
  if (p == from || *p != '-') return false;
  from = ++p;
  for (; *p >= '0' && *p <= '9'; p++) b = b * 10 + (uint64_t)(*p - '0');
  if (p == from || *p) return false;
  *ms = a;
  *seq = b;
  return true;
}
