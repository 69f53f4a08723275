/* Owns the export of failed jobs as a file: page after page of a look, each written as lines and
 * forgotten.
 *
 * Must never happen: a content in a file for who may not see contents; a file that is not whole and
 * looks so; a cell that a spreadsheet takes for a formula; more than a page in memory.
 */
#include "admin/failed_filter.h"
#include "admin/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_JOBS   200
#define PAGE_BYTES  (256u << 10) /* of contents, but for the last one */
#define CONTENT_MAX (1u << 30)   /* whole */
#define PIECE       (64u << 10)

struct export {
  struct call *c;           /* held by the stream; NULL: that has ended */
  struct http_request *req; /* NULL: no answer has begun, or it has ended */
  struct store_scan scan;   /* from where the next page begins */
  bool csv, asked, over, failed;
  struct buf page; /* lines; those up to `sent` are on their way */
  size_t sent;
  unsigned refs; /* the stream's, and that of a question on the way */
};

static void export_unref(struct export *e) {
  if (--e->refs) return;
  buf_free(&e->page);
  free(e);
}

/* --- lines --- */

static const char *const columns[] = {
    "id",        "state",   "failed",  "crashes",   "due_ms",      "died_ms", "first_failed_ms",
    "failed_ms", "code",    "node",    "signature", "quarantined", "origin",  "size",
    "message",   "content", "encoding"};
#define N_COLUMNS (sizeof columns / sizeof *columns)
/* The last two are of files with contents. */
static size_t columns_of(const struct export *e) {
  return e->scan.content_max ? N_COLUMNS : N_COLUMNS - 2;
}

/* Spreadsheets run a cell that begins with one of these as a formula. */
static bool is_formula(const char *text, size_t len) {
  return len && memchr("=+-@\t\r", text[0], 6);
}

static void text_cell(struct buf *out, const char *text, size_t len) {
  bool quoted = false;
  for (size_t i = 0; i < len && !quoted; i++) quoted = memchr("\",\r\n", text[i], 4);
  if (quoted) buf_add(out, "\"", 1);
  if (is_formula(text, len)) buf_add(out, "'", 1);
  for (size_t i = 0, n; i < len; i += n) {
    const char *quote = memchr(text + i, '"', len - i);
    n = quote ? (size_t)(quote - text) - i + 1 : len - i;
    buf_add(out, text + i, n);
    if (quote) buf_add(out, "\"", 1);
  }
  if (quoted) buf_add(out, "\"", 1);
}

static void cell(struct buf *out, const json_t *v) {
  if (json_is_string(v))
    text_cell(out, json_string_value(v), json_string_length(v));
  else if (json_is_integer(v))
    buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
  else if (json_is_boolean(v))
    buf_add_text(out, json_is_true(v) ? "true" : "false");
}

static void csv_head(struct export *e) {
  for (size_t i = 0; i < columns_of(e); i++) buf_printf(&e->page, "%s%s", i ? "," : "", columns[i]);
  buf_add_text(&e->page, "\r\n");
}

static void csv_line(struct export *e, const json_t *o) {
  for (size_t i = 0; i < columns_of(e); i++) {
    if (i) buf_add(&e->page, ",", 1);
    cell(&e->page, json_object_get(o, columns[i]));
  }
  buf_add_text(&e->page, "\r\n");
}

static void page_write(struct export *e, const struct store_scanned *r) {
  for (size_t i = 0; i < r->n; i++) {
    json_t *o = failed_found_json(e->c, &r->records[i], e->scan.content_max);
    bool first = true; /* no comma before it */
    if (r->records[i].origin) json_object_set_new(o, "origin", json_id(r->records[i].origin));
    if (e->csv) {
      csv_line(e, o);
      json_decref(o);
    } else {
      json_list_add(&e->page, o, &first);
      buf_add(&e->page, "\n", 1);
    }
  }
  e->scan.from = r->at;
  e->over = r->over;
  e->failed = e->page.failed;
}

/* --- pages --- */

static enum http_stream export_more(void *arg, struct buf *out);
static void export_done(void *arg);

/* "msg.reply.failed.jsonl": names have letters, digits and "_.:-". */
static void answer_begin(struct export *e) {
  struct call *c = e->c;
  char fields[2 * NAME_LEN_MAX + 200], *colon;
  snprintf(fields, sizeof fields,
           "Content-Disposition: attachment; filename=\"%s.%s.failed.%s\"\r\n"
           "Content-Security-Policy: sandbox\r\n",
           c->args[0], c->args[1], e->csv ? "csv" : "jsonl");
  for (char *at = strchr(fields, '"'); (colon = strchr(at, ':')) && colon < strchr(at, '\r');)
    *colon = '_';
  e->req = c->req;
  e->refs++;
  call_stream_fields(c, e->csv ? "text/csv; charset=utf-8" : "application/x-ndjson", fields,
                     UINT64_MAX, export_more, export_done, e);
}

/* Before it there is no answer, so a fault can be told. */
static void first_page(struct export *e, enum store_rc rc, const struct store_scanned *r,
                       const char *why) {
  struct call *c = e->c;
  if (call_answered(c)) {
    /* The client has gone. */
  } else if (rc) {
    call_store_error(c, rc, why);
  } else {
    if (e->csv) csv_head(e);
    page_write(e, r);
    answer_begin(e);
  }
  call_go_on(c);
}

static void on_page(void *arg, enum store_rc rc, const struct store_scanned *r, const char *why) {
  struct export *e = arg;
  e->asked = false;
  if (e->c && !e->req) {
    first_page(e, rc, r, why);
  } else if (e->req) {
    if (rc)
      e->failed = true;
    else
      page_write(e, r);
    http_stream_wake(e->req);
  }
  export_unref(e);
}

static void page_ask(struct export *e, struct topic *t) {
  e->asked = true;
  e->refs++;
  store_scan(t->store, &e->scan, on_page, e);
}

static enum http_stream export_more(void *arg, struct buf *out) {
  struct export *e = arg;
  size_t left = e->page.len - e->sent, n = left < PIECE ? left : PIECE;
  if (e->failed) return HTTP_CUT;
  if (n) {
    buf_add(out, e->page.data + e->sent, n);
    e->sent += n;
    return HTTP_MORE;
  }
  if (e->over) return HTTP_END;
  buf_free(&e->page);
  e->sent = 0;
  if (!e->asked) {
    struct topic *t = call_topic_again(e->c);
    if (!t || !t->store) return HTTP_CUT; /* a reload took it away */
    page_ask(e, t);
  }
  return HTTP_WAIT;
}

static void export_done(void *arg) {
  struct export *e = arg;
  e->req = NULL;
  e->c = NULL;
  export_unref(e);
}

/* --- the request --- */

/* False: answered. */
static bool format_read(struct call *c, struct export *e) {
  char format[16] = "jsonl";
  call_query(c, "format", format, sizeof format);
  e->csv = !strcmp(format, "csv");
  if (e->csv || !strcmp(format, "jsonl")) return true;
  call_error(c, 400, "format \"%.15s\" is not jsonl or csv", format);
  return false;
}

static bool content_read(struct call *c, struct export *e) {
  uint64_t content;
  if (!call_query_u64(c, "content", call_sees_contents(c), 1, &content)) return false;
  if (content && !call_may(c, RIGHT_CONTENTS, admin_system_of(c->view, c->args[0]))) return false;
  e->scan.content_max = content ? CONTENT_MAX : 0;
  return true;
}

void admin_get_failed_export(struct call *c) {
  static const char *const known[] = {
      "set",  "match",        "body",         "code",  "signature", "since",   "until",
      "node", "attempts_min", "attempts_max", "order", "format",    "content", NULL};
  struct topic *t = call_stored_topic(c);
  if (!t || !call_query_known(c, known)) return;
  struct export *e = calloc(1, sizeof *e);
  if (!e) out_of_memory();
  e->scan =
      (struct store_scan){.kind = STORE_SCAN_RECORDS, .want = PAGE_JOBS, .bytes_max = PAGE_BYTES};
  if (!filter_of_query(c, t, STORE_SET_ALL, &e->scan.filter) || !failed_order(c, &e->scan.newest) ||
      !format_read(c, e) || !content_read(c, e)) {
    free(e);
    return;
  }
  e->c = c;
  call_wait(c, ADMIN_WAIT_MS);
  page_ask(e, t);
}
