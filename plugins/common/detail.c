/* Details of results. No I/O. */
#include "common/detail.h"

#include <pepperbus/text.h>
#include <stdio.h>

void detail_quote(char ret[DETAIL_QUOTE_MAX + 1], const char *text, size_t len) {
  size_t n = pb_excerpt(ret, DETAIL_QUOTE_MAX + 1, text, len);

  for (size_t i = 0; i < n; i++)
    if ((unsigned char)ret[i] < ' ') ret[i] = ' ';
}

int detail_late(char *ret, size_t size, const char *peer, const char *why) {
  if (!why) return snprintf(ret, size, "%s answered after the deadline", peer);
  return snprintf(ret, size, "%s: %s", peer, why);
}

int detail_unanswered(char *ret, size_t size, int outcome, const char *kind, const char *peer,
                      const char *why) {
  switch (outcome) {
  case PB_UNREACHABLE:
    return snprintf(ret, size, "cannot reach %s%s: %s", kind, peer, why);
  case PB_BUSY:
    return snprintf(ret, size, "%s%s takes no request: %s", kind, peer, why);
  case PB_GARBLED:
    return snprintf(ret, size, "the answer of %s cannot be used: %s", peer, why);
  default:
    return snprintf(ret, size, "%s: %s", peer, why);
  }
}

void detail_set(struct pb_result *r, const char *text, size_t size, int n) {
  if (n <= 0) return;
  r->detail = text;
  r->detail_len = (size_t)n < size ? (size_t)n : size - 1;
}
