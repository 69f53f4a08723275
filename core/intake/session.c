/* Owns the life of a session: its name, rights, replies and transaction. */
#include "intake/session.h"

#include "event/loop.h"
#include "intake/holdback.h"
#include "intake/multi.h"

#include <stdlib.h>

void session_init(struct session *s, struct service *sv, struct reply_pool *pool) {
  *s = (struct session){
      .sv = sv, .version = 2, .id = ++sv->last_id, .since_ms = loop_now_ms(sv->loop)};
  replies_init(&s->replies, pool);
}

void session_drop_multi(struct session *s) {
  if (s->multi) s->sv->multi_bytes -= multi_bytes(s->multi);
  multi_free(s->multi);
  s->multi = NULL;
  s->exec = false;
}

void session_done(struct session *s) {
  session_drop_multi(s);
  replies_drop(&s->replies);
  if (s->held) holdback_drop(s->held);
  s->held = NULL;
  auth_drop(&s->auth);
  free(s->name);
  s->name = NULL;
}
