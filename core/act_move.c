/* Owns the steps of a move. */
#include "act_move.h"

#include "loop.h"

#include <stdlib.h>

struct act_move {
  struct loop *loop;
  struct registry *registry;
};

struct act_move *act_move_new(struct loop *loop, struct registry *registry) {
  struct act_move *m = calloc(1, sizeof *m);
  if (!m) abort();
  m->loop = loop;
  m->registry = registry;
  return m;
}

void act_move_free(struct act_move *m) {
  free(m);
}

void act_move_step(struct act_move *m, struct store *to, struct store_act *a, act_move_fn fn,
                   void *arg) {
  (void)m;
  (void)to;
  (void)a;
  fn(arg, ACT_MOVE_FAILED, "not possible");
}
