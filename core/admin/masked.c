/* Owns how a text of the shared configuration is shown: every secret masked, made on a thread,
 * because 10,000 topics take 50 ms.
 *
 * Must never happen: a secret in an answer.
 */
#include "admin/private.h"

#include "base/buf.h"
#include "base/out_of_memory.h"
#include "control/control.h"
#include "control/revision.h"
#include "transport/plugin_loader.h"

#include <stdlib.h>
#include <string.h>

struct masked {
  struct call *c;
  const struct settings_types *types;
  enum masked_as as;
  json_t *o;    /* the answer but for its text */
  char *queues; /* "a,b": these alone, with their topics; NULL: all */
  char *text;   /* sections, or the stored form of a revision */
  size_t len;
  struct buf out;
  struct pb_err err;
};

/* --- on the thread --- */

static struct shared_sections *sections_of(const char *text) {
  struct shared_sections *s = NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  if (shared_read("text", text, strlen(text), &s, errors)) s = NULL;
  fclose(errors);
  free(lines);
  return s;
}

static bool is_of(const struct shared_section *s, const char *queues) {
  size_t n = strcspn(s->name, "/");
  if (strcmp(s->kind, "queue") != 0 && strcmp(s->kind, "topic") != 0) return false;
  for (const char *p = queues; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
    if (strcspn(p, ",") == n && !strncmp(p, s->name, n)) return true;
  return false;
}

/* Those of `all` that belong to the queues; `all` is freed. */
static struct shared_sections *chosen(struct shared_sections *all, const char *queues) {
  struct shared_sections *some = all ? sections_of("") : NULL;
  char *lines = NULL;
  size_t len;
  FILE *errors = open_memstream(&lines, &len);
  if (!errors) out_of_memory();
  for (size_t i = 0; some && i < shared_n(all); i++)
    if (is_of(shared_at(all, i), queues)) shared_put(some, shared_at(all, i), errors);
  fclose(errors);
  free(lines);
  shared_free(all);
  return some;
}

/* NULL: it cannot be read. */
static char *mask(const char *text, const struct settings_types *types, const char *queues) {
  struct shared_sections *s = sections_of(text);
  if (queues) s = chosen(s, queues);
  char *ret = s ? shared_print_masked(s, types, NULL) : NULL;
  shared_free(s);
  return ret;
}

static void line_put(struct buf *out, const struct shared_section *s) {
  json_t *o = json_object(), *values = json_object();
  for (size_t k = 0; k < s->n_entries; k++)
    json_object_set_new(values, s->entries[k].key, json_cstr(s->entries[k].value));
  json_object_set_new(o, "kind", json_cstr(s->kind));
  json_object_set_new(o, "name", json_cstr(s->name));
  json_object_set_new(o, "values", values);
  char *line = json_dumps(o, JSON_COMPACT);
  if (line) buf_add_text(out, line);
  buf_add_text(out, "\n");
  free(line);
  json_decref(o);
}

static void lines_put(struct buf *out, const char *text) {
  struct shared_sections *all = sections_of(text);
  for (size_t i = 0; all && i < shared_n(all); i++) line_put(out, shared_at(all, i));
  shared_free(all);
}

/* The object with the text as its last member. */
static void answer_put(struct masked *m, const char *masked) {
  char *text = json_dumps(m->o, JSON_COMPACT | JSON_REAL_PRECISION(9));
  if (!text) out_of_memory();
  buf_add(&m->out, text, strlen(text) - 1);
  buf_add_text(&m->out, masked ? ",\"text\":\"" : ",\"text\":null");
  if (masked) buf_add_json(&m->out, masked, strlen(masked));
  buf_add_text(&m->out, masked ? "\"}\n" : "}\n");
  free(text);
}

static void run(void *arg) {
  struct masked *m = arg;
  struct revision in = {.doc = NULL};
  const char *text = m->text;
  if (m->as == MASKED_REVISION) {
    if (revision_read(m->text, m->len, &in, &m->err)) return;
    json_object_set_new(m->o, "by", json_cstr(in.by));
    json_object_set_new(m->o, "from", json_cstr(in.from));
    json_object_set_new(m->o, "comment", json_cstr(in.comment));
    text = in.text;
  }
  char *masked = mask(text, m->types, m->queues);
  if (!masked && (m->as == MASKED_LINES || m->as == MASKED_EXPORT))
    snprintf(m->err.text, sizeof m->err.text, "the shared configuration cannot be read");
  else if (m->as == MASKED_LINES)
    lines_put(&m->out, masked);
  else
    answer_put(m, masked);
  free(masked);
  revision_done(&in);
}

/* --- on the loop --- */

static void on_done(void *arg, bool ran) {
  struct masked *m = arg;
  struct call *c = m->c;
  const char *type = m->as == MASKED_LINES ? "application/x-ndjson" : "application/json";
  if (!call_answered(c)) {
    if (!ran)
      call_error(c, 503, "the broker is stopping");
    else if (*m->err.text && m->as == MASKED_REVISION)
      call_error(c, 500, "revision %.30s cannot be read: %s", c->args[0], m->err.text);
    else if (*m->err.text || m->out.failed)
      call_error(c, 500, "%s", *m->err.text ? m->err.text : "out of memory");
    else
      call_text(c, 200, type, buf_text(&m->out), m->out.len);
  }
  json_decref(m->o);
  free(m->queues);
  free(m->text);
  buf_free(&m->out);
  free(m);
  call_unref(c);
}

void masked_answer(struct call *c, enum masked_as as, json_t *o, const void *text, size_t len) {
  struct masked *m = calloc(1, sizeof *m);
  if (!m || !(m->text = malloc(len + 1))) out_of_memory();
  memcpy(m->text, text, len);
  m->text[len] = 0;
  m->len = len;
  m->c = c;
  m->as = as;
  m->o = o;
  m->types = plugins_types(c->view->plugins);
  char queues[4096] = "";
  bool some =
      (as == MASKED_LINES || as == MASKED_EXPORT) && call_query(c, "queues", queues, sizeof queues);
  if (some && !(m->queues = strdup(queues))) out_of_memory();
  call_wait(c, ADMIN_WAIT_MS);
  if (control_work(c->view->control, run, on_done, m)) return;
  call_error(c, 503, "too many texts are being printed on this node; try again");
  json_decref(o);
  free(m->queues);
  free(m->text);
  free(m);
  call_unref(c);
}
