/* Owns the bytes of a command while it is built. Pure: no I/O. */
#include "storage/redis/cmd.h"

#include "job/id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD 24           /* room in front for "*<argc>\r\n", known at the end only */
#define KEEP (256 * 1024) /* a buffer that grew beyond is not kept */

static char *cmd_room(struct cmd *c, size_t n) {
  if (c->n + n > c->cap) {
    size_t cap = c->cap ? c->cap : 1024;
    while (cap < c->n + n) cap *= 2;
    char *p = c->failed ? NULL : realloc(c->p, cap);
    if (!p) {
      c->failed = true;
      return NULL;
    }
    c->p = p;
    c->cap = cap;
  }
  return c->p + c->n;
}

void cmd_begin(struct cmd *c) {
  if (c->cap > KEEP) cmd_done(c);
  c->argc = 0;
  c->failed = false;
  c->n = 0;
  cmd_room(c, HEAD);
  c->n = HEAD;
}

void cmd_bytes(struct cmd *c, const void *p, size_t n) {
  char *at = cmd_room(c, n + ID_TEXT_MAX + 8);
  if (!at) return;
  *at++ = '$';
  at += id_format(n, at);
  *at++ = '\r';
  *at++ = '\n';
  if (n) memcpy(at, p, n);
  at += n;
  *at++ = '\r';
  *at++ = '\n';
  c->n = (size_t)(at - c->p);
  c->argc++;
}

void cmd_text(struct cmd *c, const char *text) {
  cmd_bytes(c, text, strlen(text));
}

void cmd_u64(struct cmd *c, uint64_t v) {
  char text[ID_TEXT_MAX];
  cmd_bytes(c, text, id_format(v, text));
}

void cmd_entry(struct cmd *c, uint64_t ms, uint64_t seq) {
  char text[2 * ID_TEXT_MAX];
  size_t n = id_format(ms, text);
  text[n++] = '-';
  n += id_format(seq, text + n);
  cmd_bytes(c, text, n);
}

bool cmd_end(struct cmd *c, const char **ret, size_t *ret_len) {
  char head[HEAD + 1];
  if (c->failed) return false;
  int n = snprintf(head, sizeof head, "*%zu\r\n", c->argc);
  memcpy(c->p + HEAD - n, head, (size_t)n);
  *ret = c->p + HEAD - n;
  *ret_len = c->n - HEAD + (size_t)n;
  return true;
}

void cmd_done(struct cmd *c) {
  free(c->p);
  c->p = NULL;
  c->n = c->cap = 0;
}
