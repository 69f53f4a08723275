/* Owns the texts of faults until they are written. Calls only arena and buf. */
#include "config/faults.h"

#include "base/arena.h"
#include "base/out_of_memory.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FAULT_TEXT_MAX 1024
#define FAULTS_MANY    100

struct file {
  struct file *next;
  const char *name;
  size_t rank;
};

struct fault {
  struct fault *next;
  const struct file *file;
  unsigned line;
  size_t seq; /* two of one line stay in the order in which they were found */
  bool warning;
  const char *text;
};

struct faults {
  struct arena *arena;
  struct file *files, **files_end;
  struct fault *list;
  size_t n_files, n_errors, n_kept, n_found;
};

struct faults *faults_new(void) {
  struct faults *f = calloc(1, sizeof *f);
  if (!f) out_of_memory();
  f->arena = arena_new();
  f->files_end = &f->files;
  return f;
}

void faults_free(struct faults *f) {
  if (!f) return;
  arena_free(f->arena);
  free(f);
}

static const struct file *file_named(struct faults *f, const char *name) {
  for (const struct file *i = f->files; i; i = i->next)
    if (strcmp(i->name, name) == 0) return i;
  struct file *file = arena_alloc(f->arena, sizeof *file);
  file->name = arena_text(f->arena, name, strlen(name));
  file->rank = f->n_files++;
  *f->files_end = file;
  f->files_end = &file->next;
  return file;
}

void faults_file(struct faults *f, const char *file) {
  file_named(f, file);
}

/* A fault often quotes the value, and a reload writes it to the log: a URL's user and password must
 * not stand there. */
static void mask_user(char *text) {
  for (char *p = text; (p = strstr(p, "://"));) {
    p += 3;
    char *at = p + strcspn(p, "/@ \t\"?#");
    if (*at != '@' || at == p) continue;
    size_t stars = at - p < 3 ? (size_t)(at - p) : 3;
    memset(p, '*', stars);
    memmove(p + stars, at, strlen(at) + 1);
  }
}

/* The text quotes foreign files and is read on a terminal. */
static void mask_controls(char *text) {
  uint32_t code;
  size_t left = strlen(text);
  for (size_t n; left; text += n, left -= n) {
    if ((n = utf8_unshown((const unsigned char *)text, left, &code)))
      memset(text, '?', n);
    else
      n = utf8_sequence((const unsigned char *)text, left);
  }
}

static void fault_put(struct faults *f, struct place at, bool warning, const char *fmt,
                      va_list ap) {
  char text[FAULT_TEXT_MAX];
  f->n_found++;
  if (!warning) f->n_errors++;
  if (f->n_kept >= FAULTS_MAX) return;
  vsnprintf(text, sizeof text, fmt, ap);
  mask_user(text);
  mask_controls(text);
  struct fault *fault = arena_alloc(f->arena, sizeof *fault);
  fault->file = file_named(f, at.file ? at.file : "");
  fault->line = at.line;
  fault->seq = f->n_kept++;
  fault->warning = warning;
  fault->text = arena_text(f->arena, text, strlen(text));
  fault->next = f->list;
  f->list = fault;
}

void fault_add(struct faults *f, struct place at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fault_put(f, at, false, fmt, ap);
  va_end(ap);
}

void fault_warn(struct faults *f, struct place at, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fault_put(f, at, true, fmt, ap);
  va_end(ap);
}

size_t faults_count(const struct faults *f) {
  return f->n_errors;
}

bool faults_many(const struct faults *f) {
  return f->n_kept >= FAULTS_MANY;
}

static int fault_order(const void *pa, const void *pb) {
  const struct fault *a = *(const struct fault *const *)pa, *b = *(const struct fault *const *)pb;
  if (a->file->rank != b->file->rank) return a->file->rank < b->file->rank ? -1 : 1;
  if (a->line != b->line) return a->line < b->line ? -1 : 1;
  return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void faults_write(struct faults *f, FILE *out) {
  const struct fault **sorted = arena_alloc(f->arena, f->n_kept * sizeof *sorted);
  size_t n = 0;
  for (const struct fault *i = f->list; i; i = i->next) sorted[n++] = i;
  if (n) qsort(sorted, n, sizeof *sorted, fault_order);
  for (size_t i = 0; i < n; i++) {
    const struct fault *fault = sorted[i];
    if (fault->warning) fputs("warning: ", out);
    if (fault->line)
      fprintf(out, "%s:%u: %s\n", fault->file->name, fault->line, fault->text);
    else if (*fault->file->name)
      fprintf(out, "%s: %s\n", fault->file->name, fault->text);
    else
      fprintf(out, "%s\n", fault->text);
  }
  if (f->n_found > n) fprintf(out, "%zu more of these are not shown\n", f->n_found - n);
}
