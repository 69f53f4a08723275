/* Owns the commands of transactions. multi.c owns the queued commands; client.c runs them. */
#include "intake/command.h"

#include "intake/multi.h"
#include "intake/resp.h"

void command_multi(struct command_call *c) {
  struct session *s = c->s;
  if (s->multi)
    command_error(c, "ERR MULTI calls can not be nested");
  else if (!(s->multi = multi_new()))
    command_error(c, COMMAND_MEMORY);
  else
    command_status(c, "OK");
}

/* Sends the head of the array. Its elements are the answers of the commands, which follow as those
 * of any pipeline, each when it is known. client.c runs the commands. */
void command_exec(struct command_call *c) {
  struct session *s = c->s;
  if (!s->multi) {
    command_error(c, "ERR EXEC without MULTI");
  } else if (multi_aborted(s->multi)) {
    session_drop_multi(s);
    command_error(c, "EXECABORT Transaction discarded because of previous errors.");
  } else {
    resp_array(&c->reply->out, multi_count(s->multi));
    s->exec = true;
    reply_done(c->reply);
  }
}

void command_discard(struct command_call *c) {
  if (!c->s->multi) {
    command_error(c, "ERR DISCARD without MULTI");
    return;
  }
  session_drop_multi(c->s);
  command_status(c, "OK");
}

void command_watch(struct command_call *c) {
  if (c->s->multi)
    command_error(c, "ERR WATCH inside MULTI is not allowed");
  else
    command_status(c, "OK");
}

void command_unwatch(struct command_call *c) {
  command_status(c, "OK");
}
