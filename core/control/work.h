/* Work that takes longer than a turn of the loop may: on a thread of its own, one after the other.
 */
#ifndef PB_CORE_CONTROL_WORK_H
#define PB_CORE_CONTROL_WORK_H

#include <stdbool.h>
#include <stddef.h>

struct control;
struct work;

struct works { /* asked for, in order; the first one is under way */
  struct work *first, **end;
  size_t n;
};

void works_init(struct control *c);
void works_free(struct control *c); /* after the loop's last turn: ends those that are there */

#endif
