/* Owns the objects that timers, descriptors and children belong to: the plugin, its pools, its
 * topics. */
#include "tools/plugin_check/host_private.h"

#include <stdio.h>

struct pb_owner *host_owner_new(struct host *h, int kind, const char *name) {
  struct pb_owner *o = host_must(calloc(1, sizeof *o));

  o->h = h;
  o->kind = kind;
  snprintf(o->name, sizeof o->name, "%s", name);
  h->owners = host_must(realloc(h->owners, (h->owner_n + 1) * sizeof *h->owners));
  h->owners[h->owner_n++] = o;
  return o;
}

/* An object is gone: the rest of it is taken away, so that no callback can reach it. */
void host_owner_gone(struct pb_owner *o, const char *call) {
  struct host *h = o->h;

  o->gone = true;
  for (struct pb_timer *t = h->timers; t; t = t->next)
    if (t->owner == o && t->on) {
      host_fault(h, "leaves a timer running after %s", call);
      t->on = false;
    }
  for (int fd = 0; fd < HOST_FD_MAX; fd++)
    if (h->fds[fd].events && h->fds[fd].o == o) {
      host_fault(h, "leaves a descriptor watched after %s", call);
      host_unwatch(o, fd);
    }
  for (struct child *c = h->children; c; c = c->next)
    if (c->owner == o && c->cb) {
      host_fault(h, "leaves a child watched after %s: child_unwatch() takes it back", call);
      c->cb = NULL;
    }
}
