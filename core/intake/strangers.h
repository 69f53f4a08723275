/* Who knocks at the producers' port and is not let in, for the log: a line at once, then one a
 * minute for each address with their number. */
#ifndef PB_CORE_STRANGERS_H
#define PB_CORE_STRANGERS_H

struct loop;
struct peer;
struct strangers;

enum stranger_kind {
  STRANGER_PASSWORD, /* wrong, or no such name */
  STRANGER_HTTP      /* speaks another protocol than ours */
};

struct strangers *strangers_new(struct loop *loop); /* NULL: no memory */
/* Logs the counts that have not been logged. NULL is fine. */
void strangers_free(struct strangers *s);
void strangers_note(struct strangers *s, enum stranger_kind kind, const struct peer *peer);

#endif
