/* Owns what an export as JSON lines becomes when it is imported: sections as text. */
#include "admin/private.h"

#include "config/shared_text.h"

#include <stdlib.h>
#include <string.h>

/* A section of one line. False: `errors` says why. */
static bool line_put(struct shared_sections *all, json_t *o, FILE *errors) {
  struct shared_section s = {.kind = json_string_value(json_object_get(o, "kind")),
                             .name = json_string_value(json_object_get(o, "name"))};
  json_t *values = json_object_get(o, "values"), *v;
  const char *key;
  if (!s.kind || !s.name || !json_is_object(values)) {
    fputs("it is {\"kind\": TEXT, \"name\": TEXT, \"values\": {KEY: TEXT, ...}}", errors);
    return false;
  }
  if (shared_find(all, s.kind, s.name)) {
    fprintf(errors, "[%.40s %.128s] is there twice", s.kind, s.name);
    return false;
  }
  struct shared_entry *entries = calloc(json_object_size(values) + 1, sizeof *entries);
  if (!entries) return false;
  bool good = true;
  json_object_foreach(values, key, v) {
    if (good && !json_is_string(v)) fprintf(errors, "%.64s is a text in quotes", key);
    good = good && json_is_string(v);
    if (good) entries[s.n_entries++] = (struct shared_entry){key, json_string_value(v)};
  }
  s.entries = entries;
  good = good && !shared_put(all, &s, errors);
  free(entries);
  return good;
}

static bool lines_read(struct shared_sections *all, const char *lines, size_t *ret_line,
                       FILE *errors) {
  *ret_line = 0;
  for (const char *line = lines; *line;) {
    size_t len = strcspn(line, "\n");
    json_error_t e;
    ++*ret_line;
    if (strspn(line, " \t\r\n") < len) {
      json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
      if (!o) fprintf(errors, "it is no JSON: %s", e.text);
      bool good = o && line_put(all, o, errors);
      json_decref(o);
      if (!good) return false;
    }
    line += len + (line[len] == '\n');
  }
  return true;
}

bool import_lines(struct call *c, json_t *body) {
  const json_t *lines = json_object_get(body, "jsonl");
  struct shared_sections *all = NULL;
  char *why = NULL;
  size_t len, line = 0;
  if (!lines) return true;
  FILE *errors = open_memstream(&why, &len);
  if (!errors) return false;
  bool good = json_is_string(lines) && !shared_read("text", "", 0, &all, errors) &&
              lines_read(all, json_string_value(lines), &line, errors);
  fclose(errors);
  if (good) {
    char *text = shared_print(all, NULL);
    json_object_set_new(body, "text", json_string(text));
    free(text);
  } else if (!all) {
    call_error(c, 400, "\"jsonl\" is a text: one JSON object a line");
  } else {
    call_error(c, 400, "text:%zu: %s", line, why);
  }
  shared_free(all);
  free(why);
  return good;
}
