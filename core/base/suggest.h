/* "Did you mean ...?": finds the word that a mistyped word most likely should be. */
#ifndef PB_CORE_SUGGEST_H
#define PB_CORE_SUGGEST_H

struct suggest {
  const char *want;
  const char *best; /* NULL: none is near */
  unsigned distance;
};

/* struct suggest n = {.want = typed}; suggest_offer(&n, word) for each; then n.best. */
void suggest_offer(struct suggest *n, const char *word);

#endif
