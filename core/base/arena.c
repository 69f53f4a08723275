/* Owns blocks of memory. Calls nothing of the core. */
#include "base/arena.h"

#include "base/out_of_memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK 8192
#define ARENA_ALIGN _Alignof(max_align_t)

struct block {
  struct block *next;
  size_t used, size;
  _Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
  struct block *blocks; /* the first is the one in use */
};

struct arena *arena_new(void) {
  struct arena *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  return a;
}

void arena_free(struct arena *a) {
  if (!a) return;
  for (struct block *c = a->blocks, *next; c; c = next) {
    next = c->next;
    explicit_bzero(c->bytes, c->used); /* passwords may be among it */
    free(c);
  }
  free(a);
}

static struct block *block_new(size_t size) {
  if (size > SIZE_MAX - sizeof(struct block)) out_of_memory();
  struct block *c = calloc(1, sizeof *c + size);
  if (!c) out_of_memory();
  c->size = size;
  return c;
}

void *arena_alloc(struct arena *a, size_t size) {
  if (size > SIZE_MAX - ARENA_ALIGN) out_of_memory();
  size = (size + (size == 0) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
  struct block *c = a->blocks;
  if (!c || c->size - c->used < size) {
    if (size >= ARENA_BLOCK / 2 && c) { /* a big one has a block to itself, behind the first */
      struct block *big = block_new(size);
      big->used = size;
      big->next = c->next;
      c->next = big;
      return big->bytes;
    }
    c = block_new(size > ARENA_BLOCK ? size : ARENA_BLOCK);
    c->next = a->blocks;
    a->blocks = c;
  }
  void *p = c->bytes + c->used;
  c->used += size;
  return p;
}

char *arena_text(struct arena *a, const char *text, size_t len) {
  if (len == SIZE_MAX) abort();
  char *copy = arena_alloc(a, len + 1);
  if (len) memcpy(copy, text, len);
  copy[len] = 0;
  return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int len = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (len < 0) abort();
  char *text = arena_alloc(a, (size_t)len + 1);
  va_start(ap, fmt);
  vsnprintf(text, (size_t)len + 1, fmt, ap);
  va_end(ap);
  return text;
}
