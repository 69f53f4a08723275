/* "Did you mean ...?": of many words the one that a mistyped word most likely was. */
#ifndef PB_CORE_SUGGEST_H
#define PB_CORE_SUGGEST_H

struct nearest {
  const char *want;
  const char *best; /* NULL: none is near */
  unsigned distance;
};

/* struct nearest n = {.want = typed}; nearest_offer(&n, word) for each; then n.best. */
void nearest_offer(struct nearest *n, const char *word);

#endif
