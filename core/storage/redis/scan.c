/* Owns a look through failed jobs: slice after slice of failed_scan.lua, each a script of some
 * hundred jobs, until enough is found or the time is over. Lua decides the filter but for the
 * signature, which is decided here; groups are made here too. */
#include "storage/redis/scan.h"

#include "base/out_of_memory.h"
#include "job/signature.h"
#include "storage/redis/private.h"
#include "storage/redis/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_JOBS  500          /* a script of at most two milliseconds */
#define SLICE_BYTES (256u << 10) /* of records and bodies, but for the last one */
#define TABLE_SIZE  4096         /* a power of two, several times STORE_SCAN_GROUPS_MAX */
struct grouped {
  struct store_group group;
  char text[SIGNATURE_TEXT_MAX + 1];
};

struct scan {
  struct store_scan ask;
  char queue[NAME_LEN_MAX + 1], topic[NAME_LEN_MAX + 1];
  uint64_t crashes, end_ms; /* monotonic */
  bool facts;               /* Lua decides which jobs match, and tells all of them at once */
  struct store_scanned result;
  struct store_record *records;
  size_t cap, bytes; /* bytes: of their contents */
  struct grouped *groups;
  struct store_group *sorted; /* what the caller gets */
  uint16_t *table;            /* signature -> index in `groups` + 1 */
  /* With a signature: what a slice found, and is asked for. */
  uint64_t picked[SLICE_JOBS];
  size_t n_picked;
  bool cut;                  /* the slice had more; the next one begins behind the last of these */
  struct store_scan_at next; /* where the next slice begins, unless it was cut */
};

/* --- places as text --- */

void store_scan_at_format(const struct store_scan_at *at, char ret[STORE_SCAN_AT_MAX]) {
  if (!at->phase)
    *ret = 0;
  else
    snprintf(ret, STORE_SCAN_AT_MAX, "%c.%" PRIu64 ".%" PRIu64, at->phase, at->score, at->id);
}

/* Digits up to `end`, at most `max`. */
static bool number_parse(const char **p, char end, uint64_t max, uint64_t *ret) {
  uint64_t n = 0;
  const char *from = *p;
  for (; **p >= '0' && **p <= '9'; ++*p) {
    uint64_t digit = (uint64_t)(**p - '0');
    if (n > (max - digit) / 10) return false;
    n = n * 10 + digit;
  }
  *ret = n;
  return *p > from && *(*p)++ == end;
}

bool store_scan_at_parse(const char *text, struct store_scan_at *ret) {
  struct store_scan_at at = {.phase = *text};
  const char *p = text + 2;
  if (*text && ((*text != 'r' && *text != 'x' && *text != 'e') || text[1] != '.' ||
                !number_parse(&p, '.', UINT64_C(1) << 53, &at.score) ||
                !number_parse(&p, 0, UINT64_MAX, &at.id)))
    return false;
  *ret = at;
  return true;
}

/* --- groups --- */

static int by_count(const void *a, const void *b) {
  const struct store_group *l = a, *r = b;
  if (l->count != r->count) return l->count < r->count ? 1 : -1;
  return l->signature < r->signature ? -1 : l->signature > r->signature;
}

static struct grouped *group_of(struct scan *scan, const struct signature *sig) {
  size_t slot = sig->id & (TABLE_SIZE - 1), n = scan->result.n_groups;
  for (; scan->table[slot]; slot = (slot + 1) & (TABLE_SIZE - 1)) {
    struct grouped *g = &scan->groups[scan->table[slot] - 1];
    if (g->group.signature == sig->id) return g;
  }
  if (n == STORE_SCAN_GROUPS_MAX) return NULL;
  struct grouped *g = &scan->groups[n];
  scan->table[slot] = (uint16_t)(n + 1);
  scan->result.n_groups = n + 1;
  g->group = (struct store_group){.signature = sig->id, .code = sig->code, .text = g->text};
  memcpy(g->text, sig->text, sig->len + 1);
  return g;
}

static void group_add(struct scan *scan, uint64_t id, const struct record_parts *parts,
                      const struct signature *sig) {
  struct grouped *g = group_of(scan, sig);
  scan->result.matched++;
  if (!g) {
    scan->result.others++;
    return;
  }
  if (!g->group.count++ || parts->at_ms < g->group.first_ms) g->group.first_ms = parts->at_ms;
  if (parts->at_ms < g->group.last_ms) return;
  g->group.last_ms = parts->at_ms;
  g->group.sample_id = id;
}

static void groups_sort(struct scan *scan) {
  size_t n = scan->result.n_groups;
  if (!n) return;
  if (!(scan->sorted = malloc(n * sizeof *scan->sorted))) out_of_memory();
  for (size_t i = 0; i < n; i++) scan->sorted[i] = scan->groups[i].group;
  qsort(scan->sorted, n, sizeof *scan->sorted, by_count);
  scan->result.groups = scan->sorted;
}

/* --- records --- */

static void record_add(struct scan *scan, struct redis_reply *const *e) {
  struct store_scanned *result = &scan->result;
  struct store_record *r;
  struct signature sig;
  if (result->n == scan->cap) {
    scan->cap = scan->cap ? 2 * scan->cap : 64;
    scan->records = realloc(scan->records, scan->cap * sizeof *scan->records);
    if (!scan->records) out_of_memory();
  }
  r = &scan->records[result->n++];
  record_read(r, e);
  signature_of(r->code, r->message, r->message_len, &sig);
  r->signature = sig.id;
  r->quarantined = r->dead && scan->crashes && r->crashes >= scan->crashes;
  result->matched++;
  scan->bytes += r->content_len;
  result->at = (struct store_scan_at){r->dead ? 'x' : 'r', r->due_ms, r->id};
}

static void records_read(struct scan *scan, struct redis_reply *const *e, size_t n) {
  for (size_t i = 0; i + RECORD_ANSWER <= n; i += RECORD_ANSWER) record_add(scan, e + i);
}

/* Jobs of a slice by their signature: their groups are counted, or their ids are kept, to ask for
 * the facts. */
static void signatures_read(struct scan *scan, const struct redis_reply *ids,
                            const struct redis_reply *records) {
  uint64_t wanted = scan->ask.filter.signature;
  bool groups = scan->ask.kind == STORE_SCAN_GROUPS;
  for (size_t i = 0; i < ids->elements && i < records->elements; i++) {
    const struct redis_reply *r = records->element[i];
    struct record_parts parts;
    struct signature sig;
    record_parse(r->str ? r->str : "", r->len, &parts);
    signature_of(parts.code, parts.message, parts.message_len, &sig);
    if (wanted && sig.id != wanted) continue;
    uint64_t id = redis_reply_u64(ids->element[i]);
    if (groups) {
      group_add(scan, id, &parts, &sig);
    } else if (scan->n_picked < SLICE_JOBS && scan->n_picked + scan->result.n < scan->ask.want) {
      scan->picked[scan->n_picked++] = id;
    } else {
      scan->cut = true;
      return;
    }
  }
}

/* --- slices --- */

static void scan_done(struct scan *scan) {
  for (size_t i = 0; i < scan->result.n; i++) record_done(&scan->records[i]);
  free(scan->records);
  free(scan->groups);
  free(scan->sorted);
  free(scan->table);
}

static void put_filter(struct cmd *out, const struct store_filter *f, uint64_t crashes) {
  char match[sizeof f->match], code[16] = "";
  for (size_t i = 0; i < sizeof match; i++) {
    char c = f->match[i];
    match[i] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
  }
  if (f->has_code) snprintf(code, sizeof code, "%d", f->code);
  cmd_u64(out, f->set);
  cmd_u64(out, crashes);
  cmd_text(out, match);
  cmd_text(out, f->body);
  cmd_text(out, code);
  cmd_u64(out, f->since_ms);
  cmd_u64(out, f->until_ms);
  cmd_text(out, f->node);
  cmd_u64(out, f->attempts_min);
  cmd_u64(out, f->attempts_max);
}

static void put_topic_key(struct cmd *out, const struct scan *scan, char kind) {
  char key[2 * NAME_LEN_MAX + 16];
  snprintf(key, sizeof key, "pb:{%s}:%c:%s", scan->queue, kind, scan->topic);
  cmd_text(out, key);
}

static void topic_keys(struct cmd *out, const struct scan *scan) {
  for (const char *kind = "rxhbc"; *kind; kind++) put_topic_key(out, scan, *kind);
}

static size_t body_head(const struct scan *scan) {
  return scan->ask.content_max ? scan->ask.content_max + JOB_HEAD_MAX : 0;
}

static void slice_send(struct query *query) {
  struct scan *scan = query->ptr;
  const struct store_scan *ask = &scan->ask;
  const struct store_scan_at *at = &scan->result.at;
  struct cmd *out = &query->store->out;
  uint64_t look = SLICE_JOBS;
  if (ask->look_max && ask->look_max - scan->result.looked < look)
    look = ask->look_max - scan->result.looked;
  query_script(query->store, SCRIPT_FAILED_SCAN, 5);
  topic_keys(out, scan);
  cmd_text(out, scan->facts ? "f" : "r");
  cmd_u64(out, scan->facts ? ask->want - scan->result.n : SLICE_JOBS);
  cmd_u64(out, look);
  cmd_u64(out, SLICE_BYTES);
  cmd_u64(out, body_head(scan));
  cmd_u64(out, ask->newest);
  cmd_text(out, (char[]){at->phase, 0});
  cmd_u64(out, at->score);
  cmd_u64(out, at->id);
  put_filter(out, &ask->filter, scan->crashes);
}

static void picked_send(struct query *query) {
  struct scan *scan = query->ptr;
  struct cmd *out = &query->store->out;
  query_script(query->store, SCRIPT_FAILED_SOME, 5);
  topic_keys(out, scan);
  cmd_u64(out, body_head(scan));
  cmd_u64(out, SLICE_BYTES);
  for (size_t i = 0; i < scan->n_picked; i++) cmd_u64(out, scan->picked[i]);
  query_send_again(query, SCRIPT_FAILED_SOME);
}

/* {phase, score, id, looked, total, then ids and records, or the facts of the matches} */
static void slice_read(struct scan *scan, struct redis_reply *const *e, size_t n) {
  struct store_scanned *result = &scan->result;
  result->looked += redis_reply_u64(e[3]);
  result->total = redis_reply_u64(e[4]);
  scan->next = (struct store_scan_at){*e[0]->str, redis_reply_u64(e[1]), redis_reply_u64(e[2])};
  scan->cut = false;
  if (scan->facts)
    records_read(scan, e + 5, n - 5);
  else if (n == 7)
    signatures_read(scan, e[5], e[6]);
}

static bool is_enough(const struct scan *scan) {
  size_t most = scan->ask.bytes_max ? scan->ask.bytes_max : STORE_SCAN_BYTES;
  return scan->result.n >= scan->ask.want || scan->bytes >= most;
}

/* The facts of jobs that were picked, or of the first of them. True: those of the others are
 * wanted. */
static bool picked_read(struct scan *scan, struct redis_reply *const *e, size_t n) {
  uint64_t told = redis_reply_u64(e[0]);
  records_read(scan, e + 1, n - 1);
  if (!told || told >= scan->n_picked) {
    scan->n_picked = 0;
    return false;
  }
  scan->n_picked -= told;
  memmove(scan->picked, scan->picked + told, scan->n_picked * sizeof *scan->picked);
  if (!is_enough(scan)) return true;
  scan->cut = true;
  scan->n_picked = 0;
  return false;
}

/* A slice is read whole. True: the next one is wanted. */
static bool slice_over(struct scan *scan) {
  struct store_scanned *result = &scan->result;
  if (scan->cut) return false;
  result->at = scan->next;
  result->over = scan->next.phase == 'e';
  if (result->over || loop_clock_ms() >= scan->end_ms) return false;
  if (scan->ask.look_max && result->looked >= scan->ask.look_max) return false;
  return scan->ask.kind == STORE_SCAN_GROUPS || !is_enough(scan);
}

static bool is_slice(const struct redis_reply *r) {
  return r->type == REPLY_ARRAY && r->elements >= 5 && r->element[0]->type == REPLY_STRING;
}

static void on_slice(struct query *query, enum store_rc rc, struct redis_reply *r,
                     const char *why) {
  struct scan *scan = query->ptr;
  static const struct store_scanned nothing;
  bool picked = scan->n_picked > 0;
  if (!rc && (picked ? r->type != REPLY_ARRAY || !r->elements : !is_slice(r))) {
    rc = STORE_ERROR;
    why = "the storage answered something that is not a slice of failed jobs";
  }
  if (!rc && !picked) slice_read(scan, r->element, r->elements);
  if (!rc && (picked ? picked_read(scan, r->element, r->elements) : scan->n_picked > 0)) {
    picked_send(query);
    return;
  }
  if (!rc && slice_over(scan)) {
    slice_send(query);
    query_send_again(query, SCRIPT_FAILED_SCAN);
    return;
  }
  if (!rc) {
    groups_sort(scan);
    scan->result.records = scan->records;
  }
  query->fn.scanned(query->arg, rc, rc ? &nothing : &scan->result, why);
  scan_done(scan);
}

uint64_t scan_crashes(const struct store *s, const char *queue, const char *topic) {
  for (const struct store_queue *q = s->objects.queues; q; q = q->next) {
    for (size_t i = 0; q->set && !strcmp(q->name, queue) && i < q->set->n_topics; i++)
      if (!strcmp(q->set->topics[i]->name, topic))
        return q->set->topics[i]->crashes > 0 ? (uint64_t)q->set->topics[i]->crashes : 0;
  }
  return 0;
}

void scan_topic(struct store *s, const char *queue, const char *topic, const struct store_scan *ask,
                store_scanned_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_slice, arg);
  struct scan *scan = calloc(1, sizeof *scan);
  if (!scan) out_of_memory();
  scan->ask = *ask;
  /* A set of other jobs is no failed job, and not all of them. */
  scan->ask.filter.set = ask->filter.set ? ask->filter.set & STORE_SET_ALL : STORE_SET_ALL;
  if (!scan->ask.want || scan->ask.want > STORE_SCAN_MAX) scan->ask.want = STORE_SCAN_MAX;
  scan->end_ms = loop_clock_ms() + (ask->time_ms ? ask->time_ms : STORE_SCAN_TIME_MS);
  scan->result.at = ask->from;
  scan->crashes = ask->filter.crashes ? ask->filter.crashes : scan_crashes(s, queue, topic);
  scan->facts = ask->kind == STORE_SCAN_RECORDS && !ask->filter.signature;
  snprintf(scan->queue, sizeof scan->queue, "%s", queue);
  snprintf(scan->topic, sizeof scan->topic, "%s", topic);
  if (ask->kind == STORE_SCAN_GROUPS) {
    scan->groups = calloc(STORE_SCAN_GROUPS_MAX, sizeof *scan->groups);
    scan->table = calloc(TABLE_SIZE, sizeof *scan->table);
    if (!scan->groups || !scan->table) out_of_memory();
  }
  query->ptr = scan;
  query->fn.scanned = fn;
  slice_send(query);
  query_send(query, SCRIPT_FAILED_SCAN);
}

void store_scan(struct store_topic *t, const struct store_scan *scan, store_scanned_fn fn,
                void *arg) {
  scan_topic(t->q->store, t->q->name, t->name, scan, fn, arg);
}
