/* The steps of one move: the jobs of a topic go from one storage or name to another. */
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
void act_move_free(struct act_move *m); /* no step may be on the way */
/* One step. It updates `a->done` and `a->of`. `cancelled`: no further job is moved, and each step
 * gives back jobs that the act holds, until the answer is ACT_MOVE_BACK. `fn` is called once, never
 * from within this call. */
void act_move_step(struct act_move *m, struct store *to, struct store_act *a, bool cancelled,
                   act_move_fn fn, void *arg);

#endif
