/* Adds jobs. The plain way is one XADD, put together from a prefix made once, with no memory
 * allocated for it; a limit, a token or a delay takes the script; replicas are waited for on a
 * connection of their own, because WAIT holds up everything behind it. */
#include "storage/redis/private.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL         1024 /* a command up to this long is put together before it is handed on */
#define ADDS_KEPT     4096
#define WAIT_MAX_MS   60000 /* a producer cannot wait for replicas longer */
#define TOO_MANY      "too much is on the way to the storage (max_inflight jobs, or 256 MB); try again"
#define NO_CONNECTION "no connection to the storage"

struct store_add_call {
  struct redis_call call;
  size_t len; /* of the job's stored form */
  struct store_add_call *next;
  struct store_queue *q;
  store_added_fn fn;
  void *arg;
  uint64_t id;
  enum add_refusal {
    ADD_NO_CONNECTION,
    ADD_TOO_MANY,
    ADD_NO_REPLICAS,
    ADD_NO_LINK
  } refusal; /* of one that was not sent */
};

static struct store_add_call *add_new(struct store_queue *q, store_added_fn fn, void *arg,
                                      uint64_t id) {
  struct store *s = q->store;
  struct store_add_call *c = s->add_pool;
  if (c) {
    s->add_pool = c->next;
    s->add_pool_n--;
  } else if (!(c = malloc(sizeof *c))) {
    abort();
  }
  c->q = q;
  c->fn = fn;
  c->arg = arg;
  c->id = id;
  c->len = 0;
  q->refs++;
  s->adds++;
  return c;
}

static void add_answer(struct store_add_call *c, enum store_rc rc, const char *why) {
  struct store_queue *q = c->q;
  struct store *s = q->store;
  store_added_fn fn = c->fn;
  void *arg = c->arg;
  uint64_t id = c->id;
  if (s->add_pool_n < ADDS_KEPT) {
    c->next = s->add_pool;
    s->add_pool = c;
    s->add_pool_n++;
  } else {
    free(c); /* between the contents of a storm's jobs they would keep its memory */
  }
  s->adds--;
  fn(arg, rc, id, why);
  store_queue_unref(q);
  if (!s->adds) store_check_idle(s);
}

/* A topic has no group, so the job would not be for it: not acknowledged. `why` is said. */
static enum store_rc ungrouped(struct store_queue *q, const char **why) {
  struct store *s = q->store;
  snprintf(
      s->words, sizeof s->words,
      "the job is stored, but not for all topics of the queue, whose groups cannot be made: %s",
      q->ungrouped_why);
  *why = s->words;
  return STORE_ERROR;
}

/* The answer to a job that is too large for the server, which closes the connection with it. */
static void learn(struct store *s, const struct redis_reply *r, size_t len) {
  if (r && r->type == REPLY_ERROR && strstr(r->str, "invalid bulk length"))
    store_bulk_refused(s, len);
}

static void on_added(struct redis_call *call, struct redis_reply *r) {
  struct store_add_call *c = CONTAINER_OF(call, struct store_add_call, call);
  const char *why = "";
  enum store_rc rc = r && r->type == REPLY_STRING ? STORE_OK : store_reply_rc(c->q->store, r, &why);
  if (!rc && c->q->ungrouped) rc = ungrouped(c->q, &why);
  if (rc == STORE_ERROR) learn(c->q->store, r, c->len);
  add_answer(c, rc, why);
}

static void add_failed(void *arg) {
  store_answer_failed(arg);
}

/* Not sent; answered at the end of the turn. */
static void add_refuse(struct store_add_call *c, enum add_refusal refusal) {
  struct store *s = c->q->store;
  c->refusal = refusal;
  c->next = NULL;
  *s->add_failed_end = c;
  s->add_failed_end = &c->next;
  loop_defer(s->loop, &s->answer_later, add_failed, s);
}

void store_intake_failed(struct store *s) {
  while (s->add_failed) {
    struct store_add_call *c = s->add_failed;
    s->add_failed = c->next;
    if (!s->add_failed) s->add_failed_end = &s->add_failed;
    const char *why = c->refusal == ADD_TOO_MANY ? TOO_MANY
                      : c->refusal == ADD_NO_REPLICAS
                          ? "no connection for jobs that wait for replicas; try again"
                      : c->refusal == ADD_NO_LINK
                          ? "max_connections = 2 of the storage leaves no connection for jobs that "
                            "wait for replicas; 3 would"
                      : *s->why ? s->why
                                : NO_CONNECTION;
    add_answer(c, STORE_UNAVAILABLE, why);
  }
}

void store_intake_done(struct store *s) {
  while (s->add_pool) {
    struct store_add_call *c = s->add_pool;
    s->add_pool = c->next;
    free(c);
  }
}

/* An expiry is kept by the server's clock, for other nodes will compare it. */
static size_t encode_head(const struct store *s, const struct store_add *a,
                          unsigned char ret[JOB_HEAD_MAX]) {
  if (!a->head.expires_ms) return job_encode_head(&a->head, ret);
  struct job_head head = a->head;
  head.expires_ms = store_time_there(s, head.expires_ms);
  return job_encode_head(&head, ret);
}

static void add_plain(struct store_queue *q, const struct store_add *a, store_added_fn fn,
                      void *arg) {
  struct store *s = q->store;
  struct store_add_call *c = add_new(q, fn, arg, a->head.id);
  unsigned char head[JOB_HEAD_MAX];
  char small[SMALL];
  size_t head_len = encode_head(s, a, head);
  char *p = small;
  c->call.fn = on_added;
  c->len = head_len + a->content_len;
  int rc = -ENOTCONN;
  /* Prefix and content have their lengths checked; the rest is at most 32 bytes. */
  if (q->xadd_len + head_len + 32 > sizeof small) abort(); /* names have at most 128 bytes */
  memcpy(p, q->xadd, q->xadd_len);
  p += q->xadd_len;
  p += id_format(head_len + a->content_len, p);
  *p++ = '\r';
  *p++ = '\n';
  memcpy(p, head, head_len);
  p += head_len;
  size_t n = (size_t)(p - small);
  if (n + a->content_len + 2 <= sizeof small) {
    if (a->content_len) memcpy(p, a->content, a->content_len);
    p += a->content_len;
    *p++ = '\r';
    *p++ = '\n';
    struct redis_piece piece = {small, (size_t)(p - small)};
    if (s->state == STORE_READY) rc = redis_link_send(s->link, &piece, 1, &c->call);
  } else {
    struct redis_piece piece[] = {{small, n}, {a->content, a->content_len}, {"\r\n", 2}};
    if (s->state == STORE_READY) rc = redis_link_send(s->link, piece, 3, &c->call);
  }
  if (rc) add_refuse(c, rc == -EAGAIN ? ADD_TOO_MANY : ADD_NO_CONNECTION);
}

/* Stored, so it is acknowledged; adding it again with the token would store it once more. */
static void token_lost(struct store_queue *q, const char *why) {
  if (!q->warned_token)
    log_error(loop_log(q->store->loop), q->name,
              "the storage takes jobs and not their tokens (ADDJOB ... ID): %.300s; what is added "
              "again is stored again",
              why);
  q->warned_token = true;
}

static void on_script_added(struct ask *a, enum store_rc rc, struct redis_reply *r,
                            const char *why) {
  uint64_t id = a->n[0];
  if (!rc && (r->type != REPLY_ARRAY || r->elements < 2)) {
    rc = STORE_ERROR;
    why = "the storage gave an answer nobody expected";
  } else if (!rc) {
    switch (r->element[0]->integer) {
    case 0:
      if (r->elements > 2) token_lost(a->q, r->element[2]->str);
      break;
    case 1:
      id = redis_reply_u64(r->element[1]);
      break;
    case 2:
      rc = STORE_FULL;
      why = "the queue is full: max_length is reached";
      break;
    default:
      rc = STORE_FULL;
      why = "the queue is full: max_bytes is reached";
    }
  }
  if (!rc && a->q->ungrouped) rc = ungrouped(a->q, &why);
  if (rc == STORE_ERROR) learn(a->store, r, a->n[1]);
  a->fn.added(a->arg, rc, id, why);
}

/* The value of the job in the buffer of the command. */
static void put_value(struct store *s, const struct store_add *a) {
  struct redis_command *out = &s->out;
  unsigned char head[JOB_HEAD_MAX];
  size_t head_len = encode_head(s, a, head);
  char *value = malloc(head_len + a->content_len + 1);
  if (!value) abort();
  memcpy(value, head, head_len);
  if (a->content_len) memcpy(value + head_len, a->content, a->content_len);
  cmd_bytes(out, value, head_len + a->content_len);
  free(value);
}

static void put_limits(struct store_queue *q, const struct store_add *a, uint64_t due, size_t more,
                       uint64_t more_bytes) {
  struct redis_command *out = &q->store->out;
  cmd_text(out, q->field);
  cmd_u64(out, due);
  cmd_u64(out, a->max_length > 0 ? (uint64_t)a->max_length : 0);
  cmd_u64(out, a->max_bytes);
  cmd_u64(out, more);
  cmd_u64(out, more_bytes);
  cmd_u64(out, a->token_ms ? a->token_ms : STORE_TOKEN_MS);
}

static void put_script(struct store_queue *q, const struct store_add *a) {
  struct store *s = q->store;
  struct redis_command *out = &s->out;
  uint64_t due = a->delay_ms ? store_clock_ms(s) + a->delay_ms : 0;
  bool token = a->token && a->token_len;
  ask_script(s, SCRIPT_ADD, token ? 4 : 3);
  if (a->replicate) { /* on a link where nobody loads the script again */
    cmd_begin(out);
    cmd_text(out, "EVAL");
    cmd_text(out, store_script_text(SCRIPT_ADD));
    cmd_u64(out, token ? 4 : 3);
  }
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  if (token) {
    size_t n = strlen(q->name) + a->token_len + 16;
    char *key = malloc(n);
    if (!key) abort();
    char *p = stpcpy(stpcpy(stpcpy(key, "pb:{"), q->name), "}:t:");
    memcpy(p, a->token, a->token_len);
    cmd_bytes(out, key, (size_t)(p - key) + a->token_len);
    free(key);
  }
  put_limits(q, a, due, 0, 0);
  put_value(s, a);
  cmd_u64(out, a->head.id);
}

/* --- with replicas: on a link of their own, one WAIT for all that were added before it --- */

struct replicated {
  struct redis_call call;
  struct replicated *next;
  struct store_queue *q;
  store_added_fn fn;
  void *arg;
  uint64_t id, want, ms;
  char *command; /* not sent yet: the link is being made */
  size_t len;
  enum store_rc rc;
  char why[STORE_WORDS];
};

struct wait {
  struct redis_call call;
  struct store *store;
};

static void replicated_answer(struct replicated *w) {
  struct store_queue *q = w->q;
  struct store *s = q->store;
  w->fn(w->arg, w->rc, w->id, w->why);
  free(w);
  s->adds--;
  store_queue_unref(q);
  store_check_idle(s);
}

static void wait_send(struct store *s);

static void on_waited(struct redis_call *call, struct redis_reply *r) {
  struct wait *wait = CONTAINER_OF(call, struct wait, call);
  struct store *s = wait->store;
  struct replicated *list = s->waited;
  uint64_t have = r && r->type == REPLY_INTEGER && r->integer > 0 ? (uint64_t)r->integer : 0;
  s->waited = NULL;
  free(wait);
  for (struct replicated *w = list, *next; w; w = next) {
    next = w->next;
    if (!w->rc && !r) {
      w->rc = STORE_UNKNOWN;
      snprintf(w->why, sizeof w->why, "the connection broke while waiting for replicas");
    } else if (!w->rc && have < w->want) {
      w->rc = STORE_ERROR;
      snprintf(w->why, sizeof w->why,
               "the job is stored, but only %llu of %llu replicas had it in time",
               (unsigned long long)have, (unsigned long long)w->want);
    }
    replicated_answer(w);
  }
  if (s->to_wait) wait_send(s);
}

static void wait_send(struct store *s) {
  struct redis_piece piece;
  uint64_t want = 1, ms = 1;
  struct wait *wait = malloc(sizeof *wait);
  if (!wait) abort();
  *wait = (struct wait){.call.fn = on_waited, .store = s};
  s->waited = s->to_wait;
  s->to_wait = NULL;
  s->to_wait_end = &s->to_wait;
  for (const struct replicated *w = s->waited; w; w = w->next) {
    if (w->want > want) want = w->want;
    if (w->ms > ms) ms = w->ms;
  }
  cmd_begin(&s->out);
  cmd_text(&s->out, "WAIT");
  cmd_u64(&s->out, want);
  cmd_u64(&s->out, ms);
  if (!s->sync || !cmd_end(&s->out, &piece.p, &piece.n) ||
      redis_link_send(s->sync, &piece, 1, &wait->call))
    on_waited(&wait->call, NULL);
}

static void on_replicated(struct redis_call *call, struct redis_reply *r) {
  struct replicated *w = CONTAINER_OF(call, struct replicated, call);
  struct store *s = w->q->store;
  const char *why;
  w->rc = store_reply_rc(s, r, &why);
  snprintf(w->why, sizeof w->why, "%s", why);
  if (!w->rc && r->type == REPLY_ARRAY && r->elements >= 2) {
    long long told = r->element[0]->integer;
    if (told == 1) w->id = redis_reply_u64(r->element[1]);
    if (told > 1) {
      w->rc = STORE_FULL;
      snprintf(w->why, sizeof w->why, "the queue is full");
    }
  }
  if (!w->rc && r->type == REPLY_ARRAY && r->elements == 3) token_lost(w->q, r->element[2]->str);
  if (!w->rc && w->q->ungrouped) {
    w->rc = ungrouped(w->q, &why);
    snprintf(w->why, sizeof w->why, "%s", why);
  }
  if (w->rc) {
    replicated_answer(w);
    return;
  }
  w->next = NULL;
  *s->to_wait_end = w;
  s->to_wait_end = &w->next;
  if (!s->waited) wait_send(s);
}

static enum add_refusal replicated_refusal(int rc) {
  return rc == -EAGAIN ? ADD_TOO_MANY : ADD_NO_REPLICAS;
}

/* One that was held back while the link came up. */
static void replicated_send(struct replicated *w) {
  struct store_queue *q = w->q;
  struct store *s = q->store;
  struct redis_piece piece = {.p = w->command, .n = w->len};
  int rc = s->sync && s->state == STORE_READY ? redis_link_send(s->sync, &piece, 1, &w->call)
                                              : -ENOTCONN;
  free(w->command);
  w->command = NULL;
  if (!rc) return;
  add_refuse(add_new(q, w->fn, w->arg, w->id), replicated_refusal(rc));
  free(w);
  s->adds--;
  store_queue_unref(q);
}

/* The link is there, or cannot be made: no reason to hold anything back. */
void store_intake_go_on(struct store *s) {
  struct replicated *list = s->to_sync;
  s->sync_opens = false;
  s->to_sync = NULL;
  s->to_sync_end = &s->to_sync;
  s->to_sync_bytes = 0;
  for (struct replicated *w = list, *next; w; w = next) {
    next = w->next;
    replicated_send(w);
  }
}

static void sync_up(void *arg) {
  store_intake_go_on(arg);
}

static void sync_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  if (s->freeing) return;
  if (s->state == STORE_READY)
    log_warning(loop_log(s->loop), s->subject,
                "no connection for jobs that wait for replicas (%s%s); trying again",
                refused ? "refused: " : "", why);
  store_intake_go_on(s);
}

/* Made when it is needed first. */
static bool sync_made(struct store *s) {
  if (!s->sync && !s->freeing) {
    struct redis_link_settings ls = {.name = s->subject,
                                     .address = s->address,
                                     .username = s->st->username,
                                     .password = s->st->password,
                                     .client_name = s->client_name,
                                     .db = s->st->db,
                                     .connect_timeout_ms = s->st->connect_timeout_ms,
                                     .command_timeout_ms =
                                         s->st->command_timeout_ms + 2 * WAIT_MAX_MS};
    struct redis_link_events ev = {.up = sync_up, .down = sync_down, .arg = s};
    s->sync = redis_link_new(s->loop, &ls, &ev);
    s->sync_opens = s->sync != NULL;
  }
  return s->sync && s->state == STORE_READY;
}

/* 0: it is on its way, or will be when the link is there. */
static int replicated_begin(struct store *s, struct replicated *w) {
  struct redis_piece piece;
  if (!sync_made(s) || !cmd_end(&s->out, &piece.p, &piece.n)) return -ENOTCONN;
  /* This link is another one than that on which groups are made: they come first. */
  if (!s->sync_opens && !w->q->grouping) return redis_link_send(s->sync, &piece, 1, &w->call);
  if (piece.n > REDIS_UNSENT_MAX - s->to_sync_bytes) return -EAGAIN;
  w->command = malloc(piece.n);
  if (!w->command) return -ENOMEM;
  s->to_sync_bytes += piece.n;
  memcpy(w->command, piece.p, piece.n);
  w->len = piece.n;
  *s->to_sync_end = w;
  s->to_sync_end = &w->next;
  return 0;
}

static void add_replicated(struct store_queue *q, const struct store_add *a, store_added_fn fn,
                           void *arg) {
  struct store *s = q->store;
  /* Two are always there: for commands and for wake-ups. */
  if (s->st->max_connections && s->st->max_connections < 3) {
    add_refuse(add_new(q, fn, arg, a->head.id), ADD_NO_LINK);
    return;
  }
  struct replicated *w = calloc(1, sizeof *w);
  if (!w) abort();
  w->call.fn = on_replicated;
  w->q = q;
  w->fn = fn;
  w->arg = arg;
  w->id = a->head.id;
  w->want = a->replicate;
  w->ms = a->replicate_ms ? a->replicate_ms : 1000;
  if (w->ms > WAIT_MAX_MS) w->ms = WAIT_MAX_MS;
  put_script(q, a);
  int rc = replicated_begin(s, w);
  if (!rc) {
    q->refs++;
    s->adds++;
    return;
  }
  free(w);
  add_refuse(add_new(q, fn, arg, a->head.id), replicated_refusal(rc));
}

/* --- several at a time --- */

static void on_many_added(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why) {
  uint64_t stored = rc ? 0 : a->n[0];
  if (!rc && (r->type != REPLY_ARRAY || r->elements < 2)) {
    rc = STORE_ERROR;
    stored = 0;
    why = "the storage gave an answer nobody expected";
  } else if (!rc && r->element[0]->integer) {
    bool some = r->element[0]->integer == 4;
    rc = some ? STORE_ERROR : STORE_FULL;
    stored = some ? redis_reply_u64(r->element[1]) : 0;
    why = r->element[0]->integer == 2 ? "the queue is full: max_length is reached"
          : some && r->elements > 2   ? r->element[2]->str
                                      : "the queue is full: max_bytes is reached";
  }
  if (!rc && a->q->ungrouped) rc = ungrouped(a->q, &why);
  a->fn.added(a->arg, rc, stored, why);
}

void store_add_many(struct store_queue *q, const struct store_add *a, const struct store_job *jobs,
                    size_t n, size_t more, uint64_t more_bytes, store_added_fn fn, void *arg) {
  struct store *s = q->store;
  struct redis_command *out = &s->out;
  struct store_add one = *a;
  struct ask *ask = ask_new(s, q, NULL, on_many_added, arg);
  ask->fn.added = fn;
  ask->n[0] = n;
  ask_script(s, SCRIPT_ADD, 3);
  cmd_text(out, q->stream);
  cmd_text(out, q->delayed);
  cmd_text(out, q->delayed_jobs);
  put_limits(q, a, 0, more, more_bytes);
  for (size_t i = 0; i < n; i++) {
    one.head.id = jobs[i].id;
    one.content = jobs[i].content;
    one.content_len = jobs[i].len;
    put_value(s, &one);
    cmd_u64(out, one.head.id);
  }
  ask_send(ask, SCRIPT_ADD);
  store_wake_peers(q, true);
}

const char *store_admits(const struct store *s, size_t n, size_t bytes) {
  if (s->state != STORE_READY || !s->link) return *s->why ? s->why : NO_CONNECTION;
  if ((s->st->max_inflight && s->adds >= (uint64_t)s->st->max_inflight) ||
      !redis_link_has_room(s->link, bytes + n * (JOB_HEAD_MAX + 256)))
    return TOO_MANY;
  return NULL;
}

void store_add(struct store_queue *q, const struct store_add *a, store_added_fn fn, void *arg) {
  struct store *s = q->store;
  bool token = a->token && a->token_len;
  /* Only intake is held back: what is to be settled or kept alive always gets through. */
  if (!a->admitted && s->st->max_inflight && s->adds >= (uint64_t)s->st->max_inflight) {
    add_refuse(add_new(q, fn, arg, a->head.id), ADD_TOO_MANY);
    return;
  }
  if (a->replicate) {
    add_replicated(q, a, fn, arg);
  } else if (!token && !a->delay_ms && a->max_length <= 0 && !a->max_bytes) {
    add_plain(q, a, fn, arg);
  } else {
    struct ask *ask = ask_new(s, q, NULL, on_script_added, arg);
    ask->fn.added = fn;
    ask->n[0] = a->head.id;
    ask->n[1] = a->content_len;
    put_script(q, a);
    ask_send(ask, SCRIPT_ADD);
  }
  store_wake_peers(q, !a->delay_ms);
}
