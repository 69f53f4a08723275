/* Owns the output. Calls stdio. */
#include "tools/plugin_check/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCES_MAX 16 /* of one rule */
#define SENTENCE_SIZE 512

struct report {
  FILE *out;
  bool verbose, open;
  char rule[128];
  unsigned rules, broken;
  unsigned told; /* of this rule */
  char sentences[SENTENCES_MAX][SENTENCE_SIZE];
};

struct report *report_new(FILE *out, bool verbose) {
  struct report *r = calloc(1, sizeof *r);
  if (!r) abort();
  r->out = out;
  r->verbose = verbose;
  return r;
}

void report_free(struct report *r) {
  free(r);
}

void report_end(struct report *r) {
  if (!r->open) return;
  r->open = false;
  r->rules++;
  if (r->told)
    r->broken++;
  else
    fprintf(r->out, "ok      %s\n", r->rule);
  fflush(r->out);
}

void report_rule(struct report *r, const char *rule, const char *worker) {
  report_end(r);
  snprintf(r->rule, sizeof r->rule, "%s%s%s", rule, *worker ? ", " : "", worker);
  r->open = true;
  r->told = 0;
}

static void line(struct report *r, const char *mark, const char *text) {
  fprintf(r->out, "%-7s %s%s%s\n", mark, r->open ? r->rule : "", r->open ? ": " : "", text);
  fflush(r->out); /* the plugin may crash next */
}

void report_broken(struct report *r, const char *fmt, ...) {
  char text[SENTENCE_SIZE];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  for (unsigned i = 0; i < r->told; i++)
    if (!strcmp(r->sentences[i], text)) return;
  if (r->told == SENTENCES_MAX) return;
  memcpy(r->sentences[r->told++], text, sizeof text);
  line(r, "BROKEN", text);
}

void report_note(struct report *r, const char *fmt, ...) {
  char text[SENTENCE_SIZE];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  line(r, "note", text);
}

void report_verbose(struct report *r, const char *fmt, ...) {
  char text[2048];
  va_list ap;
  if (!r->verbose) return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  fprintf(r->out, "        %s\n", text);
}

unsigned report_rules(const struct report *r) {
  return r->rules;
}
unsigned report_broken_rules(const struct report *r) {
  return r->broken;
}
