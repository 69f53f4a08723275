/* The end of a process' output: its last bytes, however much it prints. */
#ifndef PB_EXEC_TAIL_H
#define PB_EXEC_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tail {
  char *buf; /* owned */
  size_t len, cap, max;
  bool cut; /* something before the end is gone */
};

void tail_init(struct tail *t, size_t max);
void tail_done(struct tail *t);
void tail_clear(struct tail *t); /* keeps a small buffer */
void tail_add(struct tail *t, const char *data, size_t len);
/* The kept text, without blanks around it, beginning with a whole character. */
const char *tail_text(const struct tail *t, size_t *ret_len);
/* The same for its last line alone. */
const char *tail_line(const struct tail *t, size_t *ret_len);

#endif
