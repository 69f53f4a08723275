/* Owns the adds that wait for replicas. They use a connection of their own, because WAIT holds up
 * every command behind it. One WAIT serves all adds before it. */
#include "storage/redis/private.h"

#include "base/log.h"
#include "base/out_of_memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX_MS 60000 /* a producer cannot wait for replicas longer */

struct replicated {
  struct link_callback callback;
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
  struct link_callback callback;
  struct store *store;
};

static void replicated_answer(struct replicated *w) {
  struct store_queue *q = w->q;
  struct store *s = q->store;
  w->fn(w->arg, w->rc, w->id, w->why);
  free(w);
  add_counts_not(s);
  queue_unref(q);
  flush_check(s);
}

static void wait_send(struct store *s);

static void on_waited(struct link_callback *callback, struct redis_reply *r) {
  struct wait *wait = CONTAINER_OF(callback, struct wait, callback);
  struct store *s = wait->store;
  struct replicated *list = s->replicas.waited;
  uint64_t have = r && r->type == REPLY_INTEGER && r->integer > 0 ? (uint64_t)r->integer : 0;
  s->replicas.waited = NULL;
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
  if (s->replicas.to_wait) wait_send(s);
}

static void wait_send(struct store *s) {
  struct redis_piece piece;
  uint64_t want = 1, ms = 1;
  struct wait *wait = malloc(sizeof *wait);
  if (!wait) out_of_memory();
  *wait = (struct wait){.callback.fn = on_waited, .store = s};
  s->replicas.waited = s->replicas.to_wait;
  s->replicas.to_wait = NULL;
  s->replicas.to_wait_end = &s->replicas.to_wait;
  for (const struct replicated *w = s->replicas.waited; w; w = w->next) {
    if (w->want > want) want = w->want;
    if (w->ms > ms) ms = w->ms;
  }
  cmd_begin(&s->out);
  cmd_text(&s->out, "WAIT");
  cmd_u64(&s->out, want);
  cmd_u64(&s->out, ms);
  if (!s->replicas.link || !cmd_end(&s->out, &piece.p, &piece.n) ||
      link_send(s->replicas.link, &piece, 1, &wait->callback))
    on_waited(&wait->callback, NULL);
}

static void on_replicated(struct link_callback *callback, struct redis_reply *r) {
  struct replicated *w = CONTAINER_OF(callback, struct replicated, callback);
  struct store *s = w->q->store;
  const char *why;
  w->rc = query_rc(s, r, &why);
  snprintf(w->why, sizeof w->why, "%s", why);
  if (!w->rc && r->type == REPLY_ARRAY && r->elements >= 2) {
    long long told = r->element[0]->integer;
    if (told == 1) w->id = redis_reply_u64(r->element[1]);
    if (told > 1) {
      w->rc = STORE_FULL;
      snprintf(w->why, sizeof w->why, "the queue is full");
    }
  }
  if (!w->rc && r->type == REPLY_ARRAY && r->elements == 3)
    add_token_lost(w->q, r->element[2]->str);
  if (!w->rc && w->q->groups.failed) {
    w->rc = add_ungrouped(w->q, &why);
    snprintf(w->why, sizeof w->why, "%s", why);
  }
  if (w->rc) {
    replicated_answer(w);
    return;
  }
  w->next = NULL;
  *s->replicas.to_wait_end = w;
  s->replicas.to_wait_end = &w->next;
  if (!s->replicas.waited) wait_send(s);
}

static enum add_refusal replicated_refusal(int rc) {
  return rc == -EAGAIN ? ADD_TOO_MANY : ADD_NO_REPLICAS;
}

/* Sends an add that was held back while the link came up. */
static void replicated_send(struct replicated *w) {
  struct store_queue *q = w->q;
  struct store *s = q->store;
  struct redis_piece piece = {.p = w->command, .n = w->len};
  int rc = s->replicas.link && s->state == STORE_READY
               ? link_send(s->replicas.link, &piece, 1, &w->callback)
               : -ENOTCONN;
  free(w->command);
  w->command = NULL;
  if (!rc) return;
  add_refuse(add_new(q, w->fn, w->arg, w->id), replicated_refusal(rc));
  free(w);
  add_counts_not(s);
  queue_unref(q);
}

/* The link is there, or cannot be made: no reason to hold anything back. */
void add_replicated_go_on(struct store *s) {
  struct replicated *list = s->replicas.to_send;
  s->replicas.opens = false;
  s->replicas.to_send = NULL;
  s->replicas.to_send_end = &s->replicas.to_send;
  s->replicas.to_send_bytes = 0;
  for (struct replicated *w = list, *next; w; w = next) {
    next = w->next;
    replicated_send(w);
  }
}

static void sync_up(void *arg) {
  add_replicated_go_on(arg);
}

static void sync_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  if (s->freeing) return;
  if (s->state == STORE_READY)
    log_warning(loop_log(s->loop), s->subject,
                "no connection for jobs that wait for replicas (%s%s); trying again",
                refused ? "refused: " : "", why);
  add_replicated_go_on(s);
}

/* Made when it is needed first. */
static bool sync_made(struct store *s) {
  if (!s->replicas.link && !s->freeing) {
    struct link_settings ls = {.name = s->subject,
                               .address = s->address,
                               .username = s->st->username,
                               .password = s->st->password,
                               .client_name = s->client_name,
                               .db = s->st->db,
                               .connect_timeout_ms = s->st->connect_timeout_ms,
                               .command_timeout_ms = s->st->command_timeout_ms + 2 * WAIT_MAX_MS};
    struct link_events ev = {.up = sync_up, .down = sync_down, .arg = s};
    s->replicas.link = link_new(s->loop, &ls, &ev);
    s->replicas.opens = s->replicas.link != NULL;
  }
  return s->replicas.link && s->state == STORE_READY;
}

/* 0: it is on its way, or will be when the link is there. */
static int replicated_route(struct store *s, struct replicated *w) {
  struct redis_piece piece;
  if (!sync_made(s) || !cmd_end(&s->out, &piece.p, &piece.n)) return -ENOTCONN;
  /* This link is another one than that on which groups are made: they come first. */
  if (!s->replicas.opens && !w->q->groups.asked)
    return link_send(s->replicas.link, &piece, 1, &w->callback);
  if (piece.n > REDIS_UNSENT_MAX - s->replicas.to_send_bytes) return -EAGAIN;
  w->command = malloc(piece.n);
  if (!w->command) return -ENOMEM;
  s->replicas.to_send_bytes += piece.n;
  memcpy(w->command, piece.p, piece.n);
  w->len = piece.n;
  *s->replicas.to_send_end = w;
  s->replicas.to_send_end = &w->next;
  return 0;
}

void add_replicated_begin(struct store_queue *q, const struct store_add *a, store_added_fn fn,
                          void *arg) {
  struct store *s = q->store;
  /* Two are always there: for commands and for wake-ups. */
  if (s->st->max_connections && s->st->max_connections < 3) {
    add_refuse(add_new(q, fn, arg, a->head.id), ADD_NO_LINK);
    return;
  }
  struct replicated *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  w->callback.fn = on_replicated;
  w->q = q;
  w->fn = fn;
  w->arg = arg;
  w->id = a->head.id;
  w->want = a->replicate;
  w->ms = a->replicate_ms ? a->replicate_ms : 1000;
  if (w->ms > WAIT_MAX_MS) w->ms = WAIT_MAX_MS;
  add_put_script(q, a);
  int rc = replicated_route(s, w);
  if (!rc) {
    q->refs++;
    add_counts(s);
    return;
  }
  free(w);
  add_refuse(add_new(q, fn, arg, a->head.id), replicated_refusal(rc));
}

void add_replicated_init(struct store *s) {
  s->replicas.to_send_end = &s->replicas.to_send;
  s->replicas.to_wait_end = &s->replicas.to_wait;
}

void add_replicated_close(struct store *s) {
  struct link *link = s->replicas.link;
  s->replicas.link = NULL;
  link_free(link);
  add_replicated_go_on(s);
}
