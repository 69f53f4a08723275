/* Owns the queue of a transaction. A command in it is its number of arguments, then each argument's
 * length, then all their bytes. */
#include "intake/multi.h"

#include "base/buf.h"
#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>

struct multi {
  struct buf queue;
  size_t n;
  size_t at; /* of the next to run */
  bool aborted;
  struct resp_arg *args; /* of the command that runs */
  size_t cap;
};

struct multi *multi_new(void) {
  return calloc(1, sizeof(struct multi));
}

void multi_free(struct multi *m) {
  if (!m) return;
  buf_free(&m->queue);
  free(m->args);
  free(m);
}

size_t multi_size(const struct resp_arg *args, size_t argc) {
  size_t n = (argc + 1) * sizeof(size_t);
  for (size_t i = 0; i < argc; i++) n += args[i].len;
  return n;
}

bool multi_add(struct multi *m, const struct resp_arg *args, size_t argc) {
  if (!buf_reserve(&m->queue, multi_size(args, argc))) return false;
  buf_add(&m->queue, &argc, sizeof argc);
  for (size_t i = 0; i < argc; i++) buf_add(&m->queue, &args[i].len, sizeof args[i].len);
  for (size_t i = 0; i < argc; i++)
    if (args[i].len) buf_add(&m->queue, args[i].text, args[i].len);
  m->n++;
  return true;
}

size_t multi_count(const struct multi *m) {
  return m->n;
}

size_t multi_bytes(const struct multi *m) {
  return m->queue.len;
}

void multi_abort(struct multi *m) {
  m->aborted = true;
}

bool multi_aborted(const struct multi *m) {
  return m->aborted;
}

static size_t take_size(struct multi *m) {
  size_t n;
  memcpy(&n, m->queue.data + m->at, sizeof n);
  m->at += sizeof n;
  return n;
}

bool multi_next(struct multi *m, const struct resp_arg **ret_args, size_t *ret_argc) {
  if (m->at >= m->queue.len) return false;
  size_t argc = take_size(m);
  if (argc > m->cap) {
    struct resp_arg *p = realloc(m->args, argc * sizeof *p);
    if (!p) out_of_memory(); /* the client was told QUEUED */
    m->args = p;
    m->cap = argc;
  }
  for (size_t i = 0; i < argc; i++) m->args[i].len = take_size(m);
  for (size_t i = 0; i < argc; i++) {
    m->args[i].text = m->queue.data + m->at;
    m->at += m->args[i].len;
  }
  *ret_args = m->args;
  *ret_argc = argc;
  return true;
}
