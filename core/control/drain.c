/* Owns whether this node is drained: an operator said so, until it is taken back. This is a state
 * in the storage and no revision. A marker in state_dir keeps it over a start with Redis away.
 *
 * Must never happen: a drained node that takes jobs because the storage cannot be reached.
 */
#include "base/log.h"
#include "base/out_of_memory.h"
#include "config/settings.h"
#include "control/private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *marker_path(const char *state_dir) {
  char *path = NULL;
  if (asprintf(&path, "%s/drained", state_dir) < 0) out_of_memory();
  return path;
}

bool control_drain_is_marked(const char *state_dir) {
  char *path = marker_path(state_dir);
  bool there = !access(path, F_OK);
  free(path);
  return there;
}

static void marker_set(struct control *c, bool on) {
  char *path = marker_path(c->settings->server.state_dir);
  int fd = on ? open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
  bool good = on ? fd >= 0 : !unlink(path) || errno == ENOENT;
  if (!good)
    log_error(c->log, "cluster", "%s: %s; after a start with Redis away this node %s", path,
              strerror(errno), on ? "would run topics" : "would run no topics");
  if (fd >= 0) close(fd);
  free(path);
}

static void on_state(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct control *c = arg;
  bool on = d != NULL;
  (void)why;
  c->drain.asking = false;
  if (!rc && on != c->drain.on && !c->stopped) {
    c->drain.on = on;
    marker_set(c, on);
    log_info(c->log, "cluster",
             on ? "this node is drained: it runs no topic from now on"
                : "this node is not drained any more");
    if (c->ev.drained) c->ev.drained(c->ev.arg);
  }
  if (c->drain.again) drain_look(c);
}

void drain_look(struct control *c) {
  struct store *s = control_store(c);
  c->drain.again = c->drain.asking;
  if (!s || c->drain.asking) return;
  c->drain.asking = true;
  store_doc_get(s, STORE_DOC_DRAIN, c->settings->server.node, on_state, c);
}

bool control_is_drained(const struct control *c) {
  return c->drain.on;
}
