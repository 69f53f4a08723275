/* Owns the work of a move on two storages (which may be one). Batch after batch is read from the
 * source, written to the target and deleted at the source. move_put.lua says why no job is lost or
 * copied twice. Also owns the marks that say from when on a node's jobs are in both storages.
 *
 * Must never happen: a new batch before the deletion of the last one is known to have happened.
 */
#include "storage/redis/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_JOBS   100
#define BATCH_BYTES  (2u << 20)
#define HISTORIES    3    /* the last one is a hash */
#define HISTORY_ROWS 2000 /* the newest */
#define ITEM         7    /* place id score record field body times */

enum move_phase {
  MOVE_LAST,    /* the target tells the last batch, which is deleted at the source */
  MOVE_LOG,     /* pause and error log, before the first job */
  MOVE_HISTORY, /* figures that are kept, and signatures */
  MOVE_JOBS,    /* until the source has nothing but what runs */
  MOVE_DELAYED, /* of the queue; then MOVE_END, which goes back to MOVE_JOBS if there is news */
  MOVE_END
};

struct store_move {
  struct store *from, *to;
  struct store_move_plan plan;
  enum move_phase phase;
  bool logged;
  size_t carried;  /* of histories[] */
  uint64_t offset; /* of delayed jobs that stay at the source */
  uint64_t n[4];
  struct buf batch; /* the batch that is being written: "place:ref=id " each */
  size_t items;
  char pause[512];
  store_move_fn fn;
  void *arg;
};

static const char *const histories[HISTORIES] = {"hm", "hh", "sig"};

struct store_move *store_move_new(void) {
  struct store_move *m = calloc(1, sizeof *m);
  if (!m) out_of_memory();
  return m;
}

void store_move_free(struct store_move *m) {
  if (!m) return;
  buf_free(&m->batch);
  free(m);
}

static void answer(struct store_move *m, enum store_rc rc, enum store_move_state state,
                   uint64_t running, const char *why) {
  if (rc) m->phase = MOVE_LAST; /* whether the batch was written is not known */
  m->fn(m->arg, rc, state, m->n, running, why);
}

/* False: the step has ended, for that storage is gone. */
static bool still_there(struct store_move *m, const struct store *s) {
  if (m->plan.is_there(m->plan.is_there_arg, s)) return true;
  answer(m, STORE_UNAVAILABLE, STORE_MOVE_GOES_ON, 0, "a storage is not configured any more");
  return false;
}

static void put_name_key(struct store *s, const char *queue, const char *kind, const char *name) {
  char key[2 * NAME_LEN_MAX + 32];
  snprintf(key, sizeof key, "pb:{%s}:%s%s%s", queue, kind, name ? ":" : "", name ? name : "");
  cmd_text(&s->out, key);
}

/* One letter for each key. A capital letter is a key of the queue. */
static void put_keys(struct store *s, const char *queue, const char *topic, const char *letters) {
  for (; *letters; letters++) {
    bool whole = *letters >= 'A' && *letters <= 'Z';
    char kind[2] = {whole ? (char)(*letters - 'A' + 'a') : *letters, 0};
    put_name_key(s, queue, kind, whole ? NULL : topic);
  }
}

static void put_consumer(struct store *s, const struct store_move *m) {
  char name[STORE_ACT_ID_MAX + 8];
  snprintf(name, sizeof name, STORE_ACT_CONSUMER "%s", m->plan.id);
  cmd_text(&s->out, name);
}

static struct query *move_ask(struct store_move *m, struct store *s, answer_fn fn) {
  return query_new(s, NULL, NULL, fn, m);
}

/* --- deleting at the source --- */

static void on_deleted(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_move *m = query->arg;
  (void)r;
  answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
}

/* `batch`: "place:ref=id " each. */
static void delete_batch(struct store_move *m, const char *batch) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_deleted);
  query_script(s, SCRIPT_MOVE_TAKE, 8);
  put_keys(s, m->plan.queue, m->plan.topic, "SrxhbcDJ");
  cmd_text(&s->out, m->plan.topic);
  for (const char *p = batch; *p;) {
    size_t len = strcspn(p, " "), ref = strcspn(p, "=");
    if (len > 2 && ref < len) {
      cmd_bytes(&s->out, p, 1);
      cmd_bytes(&s->out, p + 2, ref - 2);
    }
    p += len + (p[len] == ' ');
  }
  query_send(query, SCRIPT_MOVE_TAKE);
}

static void on_last(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_move *m = query->arg;
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
    return;
  }
  if (!still_there(m, m->from)) return;
  m->phase = !m->logged ? MOVE_LOG : m->carried < HISTORIES ? MOVE_HISTORY : MOVE_JOBS;
  m->offset = 0;
  if (r->type == REPLY_STRING && r->len)
    delete_batch(m, r->str);
  else
    answer(m, STORE_OK, STORE_MOVE_GOES_ON, 0, "");
}

static void last_ask(struct store_move *m) {
  struct store *s = m->to;
  struct query *query = move_ask(m, s, on_last);
  cmd_begin(&s->out);
  cmd_text(&s->out, "HGET");
  put_name_key(s, m->plan.to_queue, "act", m->plan.id);
  cmd_text(&s->out, "batch");
  query_send(query, SCRIPT_NONE);
}

/* --- pause and error log --- */

static void on_log_put(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_move *m = query->arg;
  (void)r;
  if (!rc) {
    m->logged = true;
    m->phase = MOVE_HISTORY;
  }
  answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
}

static void put_error(struct store *s, const struct redis_reply *entry) {
  const char *const names = "icnm";
  cmd_text(&s->out, entry->element[0]->str);
  for (const char *name = names; *name; name++) {
    const struct redis_reply *f = entry->element[1], *value = NULL;
    for (size_t k = 0; k + 2 <= f->elements; k += 2)
      if (*f->element[k]->str == *name) value = f->element[k + 1];
    cmd_bytes(&s->out, value ? value->str : "", value ? value->len : 0);
  }
}

static void on_log(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_move *m = query->arg;
  struct store *s = m->to;
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
    return;
  }
  if (!still_there(m, s)) return;
  struct query *next = move_ask(m, s, on_log_put);
  query_script(s, SCRIPT_MOVE_LOG, 3);
  put_keys(s, m->plan.to_queue, m->plan.to_topic, "Pe");
  put_name_key(s, m->plan.to_queue, "act", m->plan.id);
  cmd_text(&s->out, m->plan.to_topic);
  cmd_text(&s->out, m->pause);
  for (size_t i = r->type == REPLY_ARRAY ? r->elements : 0; i-- > 0;)
    if (r->element[i]->elements == 2) put_error(s, r->element[i]);
  query_send(next, SCRIPT_MOVE_LOG);
}

static void on_pause(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_move *m = query->arg;
  struct store *s = m->from;
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
    return;
  }
  snprintf(m->pause, sizeof m->pause, "%s", r->type == REPLY_STRING ? r->str : "");
  struct query *next = move_ask(m, s, on_log);
  cmd_begin(&s->out);
  cmd_text(&s->out, "XREVRANGE");
  put_keys(s, m->plan.queue, m->plan.topic, "e");
  cmd_text(&s->out, "+");
  cmd_text(&s->out, "-");
  cmd_text(&s->out, "COUNT");
  cmd_text(&s->out, "1000");
  query_send(next, SCRIPT_NONE);
}

static void pause_ask(struct store_move *m) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_pause);
  cmd_begin(&s->out);
  cmd_text(&s->out, "HGET");
  put_keys(s, m->plan.queue, NULL, "P");
  cmd_text(&s->out, m->plan.topic);
  query_send(query, SCRIPT_NONE);
}

/* --- history --- */

static void on_carried(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_move *m = query->arg;
  (void)r;
  if (!rc && ++m->carried == HISTORIES) m->phase = MOVE_JOBS;
  answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
}

static void put_row(struct store *s, const struct redis_reply *entry) {
  const char *const names = "nbg";
  cmd_text(&s->out, entry->element[0]->str);
  for (const char *name = names; *name; name++) {
    const struct redis_reply *f = entry->element[1], *value = NULL;
    for (size_t k = 0; k + 2 <= f->elements; k += 2)
      if (*f->element[k]->str == *name) value = f->element[k + 1];
    cmd_bytes(&s->out, value ? value->str : "", value ? value->len : 0);
  }
}

static void on_history(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_move *m = query->arg;
  struct store *s = m->to;
  bool rows = m->carried < HISTORIES - 1;
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
    return;
  }
  if (!still_there(m, s)) return;
  struct query *next = move_ask(m, s, on_carried);
  query_script(s, SCRIPT_HISTORY_CARRY, 1);
  put_name_key(s, m->plan.to_queue, histories[m->carried], m->plan.to_topic);
  cmd_text(&s->out, rows ? "r" : "s");
  size_t n = r->type == REPLY_ARRAY ? r->elements : 0;
  for (size_t i = 0; rows && i < n; i++)
    if (r->element[i]->elements == 2) put_row(s, r->element[i]);
  for (size_t i = 0; !rows && i + 1 < n; i += 2) {
    const struct redis_reply *id = r->element[i], *value = r->element[i + 1];
    if (*id->str == '@') continue; /* of a node, about its last write there */
    cmd_bytes(&s->out, id->str, id->len);
    cmd_bytes(&s->out, value->str, value->len);
  }
  query_send(next, SCRIPT_HISTORY_CARRY);
}

static void history_ask(struct store_move *m) {
  struct store *s = m->from;
  bool rows = m->carried < HISTORIES - 1;
  struct query *query = move_ask(m, s, on_history);
  cmd_begin(&s->out);
  cmd_text(&s->out, rows ? "XREVRANGE" : "HGETALL");
  put_name_key(s, m->plan.queue, histories[m->carried], m->plan.topic);
  if (rows) {
    cmd_text(&s->out, "+");
    cmd_text(&s->out, "-");
    cmd_text(&s->out, "COUNT");
    cmd_u64(&s->out, HISTORY_ROWS);
  }
  query_send(query, SCRIPT_NONE);
}

/* --- a batch --- */

static uint64_t id_of(const struct redis_reply *field, const struct redis_reply *body,
                      const char *entry) {
  uint64_t id = 0, ms = 0, seq = 0;
  if (field->len > 2 && !strncmp(field->str, "1:", 2) && body->len >= 9)
    for (int i = 0; i < 8; i++) id = id << 8 | (unsigned char)body->str[i];
  if (id) return id;
  /* What cannot be decoded: as when a node meets it. */
  if (!entry_parse(entry, &ms, &seq)) return 1;
  return (ms << 14 | (seq & 0x3fff)) & ~(UINT64_C(1) << 63);
}

/* Will the target get the job without the move? In the same stream: a job that came after the
 * target's group began. In another storage: a job that its node added after the node began to store
 * jobs there too. */
static bool is_there(const struct store_move *m, const struct redis_reply *r, uint64_t id,
                     const char *entry) {
  struct id_parts parts;
  uint64_t ms, seq, from_ms, from_seq;
  if (strcmp(m->plan.queue, m->plan.to_queue)) return false;
  if (m->from == m->to) {
    if (!entry_parse(r->element[1]->str, &from_ms, &from_seq) || !entry_parse(entry, &ms, &seq))
      return false;
    return ms > from_ms || (ms == from_ms && seq > from_seq);
  }
  const struct redis_reply *marks = r->element[0];
  if (!(id >> 63)) return false;
  id_decode(id, &parts);
  for (size_t i = 0; i + 2 <= marks->elements; i += 2)
    if ((unsigned)redis_reply_u64(marks->element[i]) == parts.shard)
      return id > redis_reply_u64(marks->element[i + 1]);
  return false;
}

static void on_put(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_move *m = query->arg;
  if (!rc && (r->type != REPLY_ARRAY || r->elements != 4)) {
    rc = STORE_ERROR;
    why = "another node goes on with it";
  }
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
    return;
  }
  for (size_t i = 0; i < 4; i++) m->n[i] = redis_reply_u64(r->element[i]);
  if (still_there(m, m->from)) delete_batch(m, buf_text(&m->batch));
}

static void put_item(struct store *s, char place, uint64_t id, struct redis_reply **e,
                     const char *field, size_t field_len, const char *body, size_t len) {
  uint64_t times = redis_reply_u64(e[6]);
  cmd_bytes(&s->out, &place, 1);
  cmd_u64(&s->out, id);
  cmd_bytes(&s->out, e[2]->type == REPLY_STRING ? e[2]->str : "0",
            e[2]->type == REPLY_STRING ? e[2]->len : 1);
  cmd_bytes(&s->out, e[3]->str, e[3]->len);
  cmd_bytes(&s->out, field, field_len);
  cmd_bytes(&s->out, body, len);
  cmd_u64(&s->out, times > 1 ? times - 1 : 0);
}

/* Of a delayed job that is copied for one topic the value is "field newline body". */
static void put_one(struct store *s, char place, uint64_t id, struct redis_reply **e) {
  const char *line = place == 'c' ? memchr(e[5]->str, '\n', e[5]->len) : NULL;
  if (line)
    put_item(s, place, id, e, e[5]->str, (size_t)(line - e[5]->str), line + 1,
             e[5]->len - (size_t)(line + 1 - e[5]->str));
  else
    put_item(s, place, id, e, e[4]->str, e[4]->len, e[5]->str, e[5]->len);
}

/* The items of `r` go to the target. False: nothing was sent. */
static bool batch_put(struct store_move *m, const struct redis_reply *r) {
  struct store *s = m->to;
  m->items = 0;
  m->batch.len = 0;
  if (r->type != REPLY_ARRAY || r->elements < 2 + ITEM) return false;
  size_t n = (r->elements - 2) / ITEM;
  uint64_t *ids = calloc(n, sizeof *ids);
  bool *skip = calloc(n, sizeof *skip);
  if (!ids || !skip) out_of_memory();
  for (size_t i = 0; i < n; i++) {
    struct redis_reply **e = r->element + 2 + ITEM * i;
    char place = *e[0]->str;
    ids[i] = place == 's' ? id_of(e[4], e[5], e[1]->str) : redis_reply_u64(e[1]);
    skip[i] = (place == 's' || place == 'c') && is_there(m, r, ids[i], e[1]->str);
    buf_printf(&m->batch, "%c:%s=%" PRIu64 " ", place, e[1]->str, ids[i]);
  }
  struct query *query = move_ask(m, s, on_put);
  query_script(s, SCRIPT_MOVE_PUT, 8);
  put_keys(s, m->plan.to_queue, m->plan.to_topic, "rxhb");
  put_name_key(s, m->plan.to_queue, "act", m->plan.id);
  put_name_key(s, m->plan.to_queue, "act:copied", m->plan.id);
  put_keys(s, m->plan.to_queue, NULL, "DJ");
  cmd_u64(&s->out, m->plan.epoch);
  cmd_text(&s->out, buf_text(&m->batch));
  for (size_t i = 0; i < n; i++)
    if (!skip[i]) put_one(s, *r->element[2 + ITEM * i]->str, ids[i], r->element + 2 + ITEM * i);
  m->items = n;
  free(ids);
  free(skip);
  query_send(query, SCRIPT_MOVE_PUT);
  return true;
}

/* --- what still runs --- */

static void on_freed(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_move *m = query->arg;
  bool good = !rc && r->type == REPLY_ARRAY && r->elements == 2;
  uint64_t running = good ? redis_reply_u64(r->element[1]) : 0;
  if (good && !running && !redis_reply_u64(r->element[0])) m->phase = MOVE_DELAYED;
  answer(m, rc, running ? STORE_MOVE_WAITS : STORE_MOVE_GOES_ON, running, why);
}

static void on_alive(void *arg, enum store_rc rc, const struct store_node *nodes, size_t n) {
  struct store_move *m = arg;
  struct store *s = m->from;
  if (rc) {
    answer(m, rc, STORE_MOVE_GOES_ON, 0, "the storage did not list its nodes");
    return;
  }
  struct query *query = move_ask(m, s, on_freed);
  query_script(s, SCRIPT_MOVE_FREE, 4);
  put_keys(s, m->plan.queue, m->plan.topic, "Srhc");
  cmd_text(&s->out, m->plan.topic);
  put_consumer(s, m);
  cmd_u64(&s->out, m->plan.hold_ms);
  for (size_t i = 0; i < n; i++)
    if (!nodes[i].dead && (m->plan.here || strcmp(nodes[i].name, s->server->node)))
      cmd_text(&s->out, nodes[i].name);
  query_send(query, SCRIPT_MOVE_FREE);
}

static void on_page(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_move *m = query->arg;
  if (rc)
    answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
  else if (still_there(m, m->to) && !batch_put(m, r))
    store_nodes(m->from, on_alive, m);
}

static void page_ask(struct store_move *m) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_page);
  bool same = m->from == m->to && !strcmp(m->plan.queue, m->plan.to_queue);
  query_script(s, SCRIPT_MOVE_PAGE, 8);
  put_keys(s, m->plan.queue, m->plan.topic, "SrxhbclG");
  cmd_text(&s->out, m->plan.topic);
  put_consumer(s, m);
  cmd_u64(&s->out, BATCH_JOBS);
  cmd_u64(&s->out, BATCH_BYTES);
  cmd_text(&s->out, same ? m->plan.to_topic : "");
  query_send(query, SCRIPT_MOVE_PAGE);
}

/* --- delayed jobs, and the end --- */

static void on_delayed(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_move *m = query->arg;
  if (!rc && !still_there(m, m->to)) return;
  if (!rc && batch_put(m, r)) {
    if (m->plan.delayed == STORE_MOVE_COPIED) m->offset += m->items;
    return;
  }
  if (!rc) m->phase = MOVE_END;
  answer(m, rc, STORE_MOVE_GOES_ON, 0, why);
}

static void delayed_ask(struct store_move *m) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_delayed);
  query_script(s, SCRIPT_MOVE_DELAYED, 3);
  put_keys(s, m->plan.queue, m->plan.topic, "DJl");
  cmd_u64(&s->out, m->plan.delayed == STORE_MOVE_COPIED ? m->offset : 0);
  cmd_u64(&s->out, BATCH_JOBS);
  cmd_u64(&s->out, BATCH_BYTES);
  cmd_text(&s->out, m->plan.delayed == STORE_MOVE_COPIED ? "c" : "d");
  query_send(query, SCRIPT_MOVE_DELAYED);
}

static void on_end(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_move *m = query->arg;
  bool over = !rc && r->integer;
  if (!rc && !over) m->phase = MOVE_JOBS;
  answer(m, rc, over ? STORE_MOVE_DONE : STORE_MOVE_GOES_ON, 0, why);
}

static void end_ask(struct store_move *m) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_end);
  const char *whole = m->plan.delayed == STORE_MOVE_WHOLE ? "1" : m->plan.last ? "0" : "";
  query_script(s, SCRIPT_MOVE_END, 15);
  put_keys(s, m->plan.queue, m->plan.topic, "SPrxhbceDJlG");
  for (size_t i = 0; i < HISTORIES; i++)
    put_name_key(s, m->plan.queue, histories[i], m->plan.topic);
  cmd_text(&s->out, m->plan.topic);
  cmd_text(&s->out, whole);
  query_send(query, SCRIPT_MOVE_END);
}

/* --- cancelled --- */

static void on_back(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  bool over = !rc && r->type == REPLY_ARRAY && r->elements == 2 && r->element[1]->integer;
  answer(query->arg, rc, over ? STORE_MOVE_BACK : STORE_MOVE_GOES_ON, 0, why);
}

static void back_ask(struct store_move *m) {
  struct store *s = m->from;
  struct query *query = move_ask(m, s, on_back);
  query_script(s, SCRIPT_MOVE_BACK, 4);
  put_keys(s, m->plan.queue, m->plan.topic, "Srhb");
  cmd_text(&s->out, m->plan.topic);
  put_consumer(s, m);
  cmd_u64(&s->out, BATCH_JOBS);
  cmd_u64(&s->out, BATCH_BYTES);
  query_send(query, SCRIPT_MOVE_BACK);
}

void store_move_step(struct store_move *m, struct store *from, struct store *to,
                     const struct store_move_plan *plan, store_move_fn fn, void *arg) {
  m->from = from;
  m->to = to;
  m->plan = *plan;
  m->fn = fn;
  m->arg = arg;
  if (plan->cancelled && m->phase != MOVE_LAST) { /* jobs at the target are deleted first */
    back_ask(m);
    return;
  }
  switch (m->phase) {
  case MOVE_LAST:
    last_ask(m);
    break;
  case MOVE_LOG:
    pause_ask(m);
    break;
  case MOVE_HISTORY:
    history_ask(m);
    break;
  case MOVE_JOBS:
    page_ask(m);
    break;
  case MOVE_DELAYED:
    if (plan->delayed == STORE_MOVE_STAYS) m->phase = MOVE_END;
    if (m->phase == MOVE_DELAYED)
      delayed_ask(m);
    else
      end_ask(m);
    break;
  case MOVE_END:
    end_ask(m);
    break;
  }
}

/* --- the jobs of a topic --- */

static void on_holds(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct store_holds h = {0};
  if (!rc && r->type == REPLY_ARRAY && r->elements == 6) {
    uint64_t *to[] = {&h.ready, &h.running, &h.retry, &h.dead, &h.delayed};
    h.there = r->element[0]->integer;
    for (size_t i = 0; i < 5; i++) *to[i] = redis_reply_u64(r->element[i + 1]);
  }
  query->fn.holds(query->arg, rc, &h, why);
}

void store_holds(struct store *s, const char *queue, const char *topic, store_holds_fn fn,
                 void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_holds, arg);
  query->fn.holds = fn;
  query_script(s, SCRIPT_MOVE_HOLDS, 5);
  put_keys(s, queue, topic, "SrxcD");
  cmd_text(&s->out, topic);
  query_send(query, SCRIPT_MOVE_HOLDS);
}

/* --- from when on jobs are in both --- */

/* A mark that stays although its topic is back here would keep jobs from the next move. */
static void on_marked(struct query *query, enum store_rc rc, struct redis_reply *r,
                      const char *why) {
  if (rc) query->q->marks.sent = false;
  (void)r;
  (void)why;
}

void store_on_last_id(struct store *s, uint64_t (*last_id)(void *arg), void *arg) {
  s->marks.last_id = last_id;
  s->marks.last_id_arg = arg;
}

/* Ids of this process are greater than all ids that an earlier process of this node may have given.
 */
static uint64_t last_id(struct store *s) {
  uint64_t id = s->marks.last_id ? s->marks.last_id(s->marks.last_id_arg) : 0, mark = 0;
  if (s->member.id_mark > ID_EPOCH_MS)
    mark = UINT64_C(1) << 63 | (s->member.id_mark - ID_EPOCH_MS) << 24 |
           (uint64_t)(s->member.shard << 14);
  return id > mark ? id : mark;
}

void move_marks(struct store_queue *q) {
  struct store *s = q->store;
  char key[NAME_LEN_MAX + 16];
  bool foreign = false;
  for (size_t i = 0; q->set && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    foreign |= t->storage && strcmp(t->storage->name, s->st->name);
  }
  /* Also where the storage hears of it later. */
  if (!foreign) q->marks.since_id = 0;
  if (foreign && !q->marks.foreign)
    q->marks.since_id = s->marks.last_id ? s->marks.last_id(s->marks.last_id_arg) : 0;
  bool was = q->marks.foreign;
  q->marks.foreign = foreign;
  if (!foreign && was) q->marks.sent = false;
  if (s->state != STORE_READY || (!foreign && q->marks.sent)) return;
  q->marks.sent = true;
  struct query *query = query_new(s, q, NULL, on_marked, NULL);
  query->own = true;
  snprintf(key, sizeof key, "pb:{%s}:l:", q->name);
  query_script(s, SCRIPT_MOVE_LEFT, 2);
  cmd_text(&s->out, q->stream);
  cmd_text(&s->out, key);
  cmd_u64(&s->out, s->member.shard);
  cmd_u64(&s->out, q->marks.since_id ? q->marks.since_id : last_id(s));
  for (size_t i = 0; q->set && i < q->set->n_topics; i++) {
    const struct topic_settings *t = q->set->topics[i];
    if (!t->storage) continue;
    cmd_text(&s->out, strcmp(t->storage->name, s->st->name) ? "0" : "1");
    cmd_text(&s->out, t->name);
  }
  query_send(query, SCRIPT_MOVE_LEFT);
}
