/* What /metrics answers: a text that is made once a second at most, piece by piece in many turns of
 * the loop, and shared by all who ask.
 */
#ifndef PB_CORE_ADMIN_EXPOSITION_H
#define PB_CORE_ADMIN_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

struct admin;
struct admin_view;
struct buf;
struct exposition;

struct exposition *exposition_new(struct admin *a); /* NULL: no memory */
/* After the port's connections are closed. NULL is fine. */
void exposition_free(struct exposition *x);

/* --- exposition_parts.c: pieces of the text --- */

/* topics: a line for each topic and its own pool, else sums. */
void exposition_pools(const struct admin_view *v, bool topics, struct buf *out);
void exposition_port(const struct admin *a, struct buf *out);
void exposition_cluster(const struct admin_view *v, struct buf *out);
void exposition_alerts(const struct admin_view *v, struct buf *out);
void exposition_history(const struct admin_view *v, struct buf *out);
/* Where the plugins' figures stand; zeroed at first. */
struct exposition_cursor {
  size_t plugin, metric, at;
  double sum;
  bool headed;
};
/* True: that was the last piece. */
bool exposition_plugins(const struct admin_view *v, bool topics, struct exposition_cursor *at,
                        struct buf *out);

#endif
