/* What `top` shows: the columns, order, filter and page of a list of topics. It knows no keys and
 * no terminal but the size of its screen.
 */
#ifndef PB_CTL_TOP_H
#define PB_CTL_TOP_H

#include "tools/ctl/ctl.h"

#define TOP_FILTER_MAX 64

struct top {
  const struct ctl *x;
  size_t width, height; /* of the screen; 0: no limit */
  int sort;             /* a column; TOP_BUSIEST */
  bool reverse;
  char filter[TOP_FILTER_MAX];
  bool typing;  /* the filter is being typed */
  size_t first; /* the topic at the top of the page */
  size_t skip;  /* figures that were moved out on the left side */
  /* Set by top_draw(): topics on the page, topics that match the filter. */
  size_t shown, matching;
};

#define TOP_BUSIEST (-1)
#define TOP_LAST    SIZE_MAX /* `first`: the last page */

/* The column of this title, in any case. False: there is none; ret_titles then lists them, the
 * caller frees it. */
bool top_column(const char *title, int *ret, char **ret_titles);
/* The next column to sort by, or the one before (`step` -1). */
void top_sort_step(struct top *v, int step);
/* Moves the page: `by` topics down, or up where negative. */
void top_move(struct top *v, long by);
/* How many columns may be moved out. */
size_t top_figures(void);
/* Draws the answers of /status and /topics. */
void top_draw(struct top *v, json_t *status, json_t *topics, FILE *out);

#endif
