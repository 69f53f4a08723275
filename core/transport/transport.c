/* Owns the transports: all instances, pools, plugins and tickets of a broker.
 */
#include "transport/transport.h"

#include "transport/private.h"

#include <stdlib.h>

struct transports *transports_new(struct loop *loop) {
  struct transports *tr = calloc(1, sizeof *tr);
  if (!tr) return NULL;
  tr->loop = loop;
  tr->done_end = &tr->done;
  host_init(&tr->host);
  return tr;
}

void transports_free(struct transports *tr) {
  if (!tr) return;
  tr->on_ended = NULL;
  while (tr->closing) instance_destroy(tr->closing);
  deferred_cancel(tr->loop, &tr->deliver);
  plugins_unload(tr);
  host_done(tr);
  tickets_free(tr);
  free(tr);
}

bool transports_ending(const struct transports *tr) {
  for (const struct instance *in = tr->closing; in; in = in->next_closing)
    if (!in->tickets) return true;
  return false;
}

void transports_on_ended(struct transports *tr, void (*fn)(void *arg), void *arg) {
  tr->on_ended = fn;
  tr->on_ended_arg = arg;
}

void transports_on_load(struct transports *tr, transports_load_fn fn, void *arg) {
  tr->on_load = fn;
  tr->on_load_arg = arg;
}
