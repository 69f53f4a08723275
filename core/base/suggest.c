/* Optimal string alignment: insert, delete, replace and swap of neighbours count one each. */
#include "base/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define NEAREST_LEN_MAX 64 /* longer words are cut: the head tells enough */

static unsigned least(unsigned a, unsigned b) {
  return a < b ? a : b;
}

static unsigned distance(const char *a, size_t n, const char *b, size_t m) {
  unsigned rows[3][NEAREST_LEN_MAX + 1];
  unsigned *before = rows[0], *last = rows[1], *now = rows[2];

  for (size_t j = 0; j <= m; j++) last[j] = (unsigned)j;
  memset(before, 0, sizeof rows[0]);
  for (size_t i = 1; i <= n; i++) {
    now[0] = (unsigned)i;
    for (size_t j = 1; j <= m; j++) {
      int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
      unsigned d = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + (x != y));
      if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
          tolower((unsigned char)a[i - 2]) == y)
        d = least(d, before[j - 2] + 1);
      now[j] = d;
    }
    unsigned *spare = before;
    before = last;
    last = now;
    now = spare;
  }
  return last[m];
}

/* Is `want` the beginning of `word`, such as "warn" of "warning"? Any length may be missing. */
static bool is_short_for(const char *want, size_t n, const char *word) {
  return n >= 3 && strncasecmp(want, word, n) == 0;
}

void suggest_offer(struct suggest *n, const char *word) {
  size_t a = strnlen(n->want, NEAREST_LEN_MAX), b = strnlen(word, NEAREST_LEN_MAX);
  unsigned limit = (unsigned)((a > b ? a : b) / 3);
  if (limit < 1) limit = 1;
  if (!a || !b) return;
  unsigned d = limit;
  if (!is_short_for(n->want, a, word)) {
    if ((a > b ? a - b : b - a) > limit) return;
    d = distance(n->want, a, word, b);
    if (d > limit || d >= (a < b ? b : a)) return;
  }
  if (n->best && d >= n->distance) return;
  n->best = word;
  n->distance = d;
}
