/* Builds one command in the protocol's form in a buffer that is used again and again. */
#ifndef PB_CORE_STORAGE_REDIS_CMD_H
#define PB_CORE_STORAGE_REDIS_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cmd {
  char *p;
  size_t n, cap;
  size_t argc;
  bool failed; /* no memory: cmd_end() says so */
};

void cmd_begin(struct cmd *c);
void cmd_bytes(struct cmd *c, const void *p, size_t n); /* one argument */
void cmd_text(struct cmd *c, const char *text);
void cmd_u64(struct cmd *c, uint64_t v);
void cmd_entry(struct cmd *c, uint64_t ms, uint64_t seq); /* "ms-seq" */
/* The finished command; valid until the next cmd_begin(). false: no memory. */
bool cmd_end(struct cmd *c, const char **ret, size_t *ret_len);
void cmd_done(struct cmd *c);

#endif
