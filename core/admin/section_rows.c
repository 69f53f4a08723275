/* Owns changes of several sections in one revision, as a form or an import asks for them: their
 * rows, what became of each, and the faults by section and key.
 *
 * Must never happen: a secret in an answer; a part of the rows that is changed where another one is
 * refused.
 */
#include "admin/private.h"

#include "base/out_of_memory.h"
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_ROWS_MAX 1000
#define TOLD_FAULTS_MAX  20 /* each is looked for in the whole text */

static const char *const result_names[] = {"added", "changed", "removed", "there"};

/* --- faults --- */

/* "[KIND NAME] KEY" or "[KIND NAME]" at the beginning of a line. False: it is neither. */
static bool head_read(const char *line, size_t len, json_t *o) {
  const char *end = len && *line == '[' ? memchr(line, ']', len) : NULL;
  const char *space = end ? memchr(line, ' ', (size_t)(end - line)) : NULL;
  if (!space) return false;
  json_object_set_new(o, "kind", json_text(line + 1, (size_t)(space - line) - 1));
  json_object_set_new(o, "name", json_text(space + 1, (size_t)(end - space) - 1));
  return true;
}

/* The section and the key of a line of the text. */
static void line_find(const char *text, unsigned long number, json_t *o) {
  const char *line = text;
  for (unsigned long i = 1; *line; i++) {
    size_t len = strcspn(line, "\n"), key = strcspn(line, " =\n");
    if (*line == '[') head_read(line, len, o);
    if (i == number) {
      if (*line != '[' && key) json_object_set_new(o, "key", json_text(line, key));
      return;
    }
    line += len + (line[len] == '\n');
  }
}

static json_t *fault_json(const char *line, size_t len, const char *text) {
  json_t *o = json_pack("{sn sn sn}", "kind", "name", "key");
  const char *at = memchr(line, ':', len);
  char *end;
  unsigned long number = at ? strtoul(at + 1, &end, 10) : 0;
  if (number && end < line + len && *end == ':' && *line != '[') {
    line_find(text, number, o);
    end += 1 + strspn(end + 1, " ");
    len -= (size_t)(end - line);
    line = end;
    const char *head = *line == '[' ? memchr(line, ']', len) : NULL; /* the row has its names */
    if (head && head + 2 < line + len) {
      len -= (size_t)(head + 2 - line);
      line = head + 2;
    }
  } else if (head_read(line, len, o)) {
    const char *key = memchr(line, ']', len);
    key += 1 + strspn(key + 1, " ");
    size_t n = strcspn(key, " :\n");
    if (n) json_object_set_new(o, "key", json_text(key, n));
  }
  json_object_set_new(o, "text", json_text(line, len));
  return o;
}

static json_t *faults_json(const char *lines, const char *text) {
  json_t *a = json_array();
  while (*lines && json_array_size(a) < TOLD_FAULTS_MAX) {
    size_t len = strcspn(lines, "\n");
    if (len && strncmp(lines, "warning: ", strlen("warning: ")) != 0)
      json_array_append_new(a, fault_json(lines, len, text));
    lines += len + (lines[len] == '\n');
  }
  return a;
}

/* --- the answer --- */

static json_t *rows_json(const struct section_row *rows, size_t n) {
  json_t *a = json_array();
  for (size_t i = 0; i < n; i++) {
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_cstr(rows[i].kind));
    json_object_set_new(o, "name", json_cstr(rows[i].name));
    json_object_set_new(o, "result", json_string(result_names[rows[i].result]));
    json_array_append_new(a, o);
  }
  return a;
}

static void rows_answer(struct call *c, const struct control_result *r,
                        const struct section_row *rows, size_t n, const char *text) {
  json_t *o = shared_result_json(r);
  if (r->status == 200)
    json_object_set_new(o, "rows", rows_json(rows, n));
  else
    json_object_set_new(o, "faults", faults_json(r->why, text));
  c->audit.error = r->status == 200 ? NULL : r->why;
  call_json(c, r->status, o);
  c->audit.error = NULL;
}

/* --- the question --- */

/* False: answered. */
static bool row_read(struct call *c, const json_t *row, size_t i, struct section_edit *ret) {
  json_t *keys = json_object_get(row, "keys");
  ret->kind = json_string_value(json_object_get(row, "kind"));
  ret->name = json_string_value(json_object_get(row, "name"));
  ret->values = json_is_object(keys) ? keys : NULL;
  if (ret->kind && ret->name && (json_is_object(keys) || json_is_null(keys))) return true;
  call_error(
      c, 400,
      "row %zu of \"sections\" is not {\"kind\": TEXT, \"name\": TEXT, \"keys\": {KEY: VALUE, "
      "...}}; null as \"keys\" removes the section",
      i + 1);
  return false;
}

static void rows_ask(struct call *c, const json_t *asked, bool dry) {
  const json_t *list = json_object_get(asked, "sections");
  size_t n = json_array_size(list), i = 0;
  if (!n || n > SECTION_ROWS_MAX) {
    call_error(c, 400, "\"sections\" is a list of 1 to %d sections", SECTION_ROWS_MAX);
    return;
  }
  struct section_edit *edits = calloc(n, sizeof *edits);
  if (!edits) out_of_memory();
  while (i < n && row_read(c, json_array_get(list, i), i, &edits[i])) i++;
  if (i == n) sections_change(c, edits, n, asked, dry, rows_answer);
  free(edits);
}

void admin_post_sections(struct call *c) {
  json_t *asked = call_body_json(c);
  if (!asked) return;
  rows_ask(c, asked, false);
  json_decref(asked);
}

/* Of a text, or of some sections. */
void admin_post_config_check(struct call *c) {
  json_t *asked = call_body_json(c);
  if (!asked) return;
  if (json_object_get(asked, "sections"))
    rows_ask(c, asked, true);
  else
    shared_check(c);
  json_decref(asked);
}
