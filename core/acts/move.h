/* The steps of one move: what a topic holds in one place, or under one name, goes to another.
 */
#ifndef PB_CORE_ACTS_MOVE_H
#define PB_CORE_ACTS_MOVE_H

#include "storage/store.h"

struct act_move;
struct loop;
struct registry;

enum act_move_state {
  ACT_MOVE_GOES_ON,
  ACT_MOVE_WAITS,
  ACT_MOVE_DONE,
  ACT_MOVE_FAILED,
  ACT_MOVE_BACK
};
typedef void (*act_move_fn)(void *arg, enum act_move_state state, const char *why);

struct act_move *act_move_new(struct loop *loop, struct registry *registry); /* never NULL */
void act_move_free(struct act_move *m); /* nothing of it is on the way */
/* One step; `a->done` and `a->of` are brought up to date. `cancelled`: nothing more is moved, and
 * what the act has in hand is given back, until the answer is ACT_MOVE_BACK. `fn` comes once, never
 * from within. */
void act_move_step(struct act_move *m, struct store *to, struct store_act *a, bool cancelled,
                   act_move_fn fn, void *arg);

#endif
