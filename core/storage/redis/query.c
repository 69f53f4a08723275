/* Owns one question to the storage from being asked to being answered: exactly once, never from
 * within the call that asked. Reloads a script that the server does not know (any more). */
#include "storage/redis/private.h"

#include "job/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ask_free(struct ask *a) {
  struct store *s = a->store;
  if (!a->own) s->asks--;
  if (a->t) store_topic_unref(a->t);
  if (a->q) store_queue_unref(a->q);
  free(a->cmd);
  free(a->ptr);
  free(a);
  store_check_idle(s);
}

static void ask_answer(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  a->sent_again = false;
  a->answer(a, rc, r, why);
  if (!a->sent_again) ask_free(a);
}

void store_answer_failed(struct store *s) {
  store_intake_failed(s);
  while (s->failed) {
    struct ask *a = s->failed;
    s->failed = a->next;
    if (!s->failed) s->failed_end = &s->failed;
    ask_answer(a, a->rc, NULL,
               s->state == STORE_READY ? "too many commands on the way"
               : *s->why               ? s->why
                                       : "no connection to the storage");
  }
}

static void answer_later(void *arg) {
  store_answer_failed(arg);
}

static void ask_fail(struct ask *a, enum store_rc rc) {
  struct store *s = a->store;
  a->rc = rc;
  a->next = NULL;
  *s->failed_end = a;
  s->failed_end = &a->next;
  loop_defer(s->loop, &s->answer_later, answer_later, s);
}

enum refusal {
  REFUSAL_PLAIN,
  REFUSAL_WRITES, /* the server takes no writes, whoever sends them */
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

enum store_rc store_reply_rc(struct store *s, const struct redis_reply *r, const char **why) {
  *why = "";
  if (!r) {
    s->unknown++;
    *why = "the connection to the storage broke; whether it was done is not known";
    return STORE_UNKNOWN;
  }
  if (r->type != REPLY_ERROR) return STORE_OK;
  *why = s->words;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (strncmp(r->str, errors[i].prefix, strlen(errors[i].prefix))) continue;
    snprintf(s->words, sizeof s->words, "%s refuses: %s: %.300s", s->subject, errors[i].meaning,
             r->str);
    if (errors[i].refusal == REFUSAL_PLACE && s->state == STORE_READY)
      store_elsewhere(s, errors[i].meaning);
    if (errors[i].refusal == REFUSAL_RIGHT && s->state == STORE_READY) store_forbidden(s, s->words);
    if (errors[i].refusal == REFUSAL_WRITES && s->state == STORE_READY) store_refuses(s, s->words);
    return errors[i].rc;
  }
  snprintf(s->words, sizeof s->words, "%s: %.400s", s->subject, r->str);
  return STORE_ERROR;
}

struct ask *ask_new(struct store *s, struct store_queue *q, struct store_topic *t, answer_fn answer,
                    void *arg) {
  struct ask *a = calloc(1, sizeof *a);
  if (!a) abort(); /* a callback that never comes would be a job that is lost */
  a->store = s;
  a->q = q;
  a->t = t;
  if (q) q->refs++;
  if (t) t->refs++;
  a->answer = answer;
  a->arg = arg;
  a->script = SCRIPT_NONE;
  s->asks++;
  return a;
}

void ask_script(struct store *s, enum store_script script, unsigned keys) {
  cmd_begin(&s->out);
  cmd_text(&s->out, "EVALSHA");
  cmd_bytes(&s->out, s->sha[script], STORE_SHA_LEN);
  cmd_u64(&s->out, keys);
}

static void on_answer(struct redis_call *call, struct redis_reply *r);

static void on_reload(struct redis_call *call, struct redis_reply *r) {
  struct ask *a = CONTAINER_OF(call, struct ask, call);
  const char *why;
  enum store_rc rc = store_reply_rc(a->store, r, &why);
  struct redis_piece piece = {a->cmd, a->cmd_len};
  a->call.fn = on_answer;
  if (rc)
    ask_answer(a, rc == STORE_UNKNOWN ? STORE_UNAVAILABLE : rc, NULL, why);
  else if (!a->store->link || redis_link_send(a->store->link, &piece, 1, &a->call))
    ask_fail(a, STORE_UNAVAILABLE);
}

/* The server forgot its scripts (SCRIPT FLUSH, a restart behind a proxy): teach it again. */
static bool ask_reload(struct ask *a) {
  struct store *s = a->store;
  struct redis_piece piece;
  if (a->reloaded || !a->cmd || !s->link) return false;
  a->reloaded = true;
  cmd_begin(&s->out);
  cmd_text(&s->out, "SCRIPT");
  cmd_text(&s->out, "LOAD");
  cmd_text(&s->out, store_script_text(a->script));
  if (!cmd_end(&s->out, &piece.p, &piece.n)) return false;
  a->call.fn = on_reload;
  if (redis_link_send(s->link, &piece, 1, &a->call)) {
    a->call.fn = on_answer;
    return false;
  }
  return true;
}

static void on_answer(struct redis_call *call, struct redis_reply *r) {
  struct ask *a = CONTAINER_OF(call, struct ask, call);
  const char *why;
  if (r && r->type == REPLY_ERROR && !strncmp(r->str, "NOSCRIPT", 8) && ask_reload(a)) return;
  enum store_rc rc = store_reply_rc(a->store, r, &why);
  ask_answer(a, rc, r, why);
}

void ask_send(struct ask *a, enum store_script script) {
  struct store *s = a->store;
  struct redis_piece piece;
  if (a->own) s->asks--; /* decided by the caller after ask_new() */
  a->script = script;
  a->call.fn = on_answer;
  if (!cmd_end(&s->out, &piece.p, &piece.n)) {
    ask_fail(a, STORE_UNAVAILABLE);
    return;
  }
  if (script != SCRIPT_NONE) {
    char *cmd = malloc(piece.n);
    if (cmd) {
      memcpy(cmd, piece.p, piece.n);
      free(a->cmd);
      a->cmd = cmd;
      a->cmd_len = piece.n;
    }
  }
  if (!s->link || (!a->own && s->state != STORE_READY) ||
      redis_link_send(s->link, &piece, 1, &a->call))
    ask_fail(a, STORE_UNAVAILABLE);
}

void ask_send_again(struct ask *a, enum store_script script) {
  a->sent_again = true;
  a->reloaded = false;
  if (a->own) a->store->asks++; /* which ask_send() takes back */
  ask_send(a, script);
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
