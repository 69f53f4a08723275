/* The admin port: a JSON API under /api/v1/, /metrics, /healthz, /readyz. Requests come by
 * http_server.h.
 *
 * Everything but /healthz, /readyz, /metrics and the login wants a session, an API token, or the
 * token of this node, which is made at start and kept in <state_dir>/admin.token (mode 0600), where
 * pepperbusctl finds it. The unix socket is as good as that token.
 */
#ifndef PB_CORE_ADMIN_H
#define PB_CORE_ADMIN_H

#include <jansson.h>
#include <pepperbus/abi.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct accounts;
struct acts;
struct admin;
struct alerts;
struct accounts;
struct control;
struct dispatcher;
struct history;
struct intake;
struct listener;
struct log;
struct loop;
struct plugins;
struct registry;
struct settings;
struct metrics;

/* The part of the broker that the admin port sees. daemon/ owns the view and everything that it
 * points to. daemon/ changes the members of the second part between two turns of the loop. */
struct admin_view {
  struct loop *loop;
  struct log *log;
  const char *config_file; /* absolute */
  struct plugins *plugins;
  struct registry *registry;
  struct dispatcher *dispatcher;
  struct acts *acts;
  struct intake *intake;
  struct listener *listener; /* NULL: the broker starts or ends */
  struct metrics *metrics;
  struct history *history;
  struct control *control;
  struct accounts *accounts;
  struct alerts *alerts;
  uint64_t started_ms; /* Unix */
  /* Reads the configuration again: fn(fn_arg, 0 or -errno, text) when that is done. */
  void (*reload)(void *arg, void (*fn)(void *fn_arg, int rc, const char *text), void *fn_arg);
  void *reload_arg;

  struct settings *settings; /* the snapshot that runs */
  char *changes;             /* the changes of the last reload, one per line; NULL: no reload yet */
  bool stopping;
  size_t strangers, friends; /* connections that the port may have: without the token, with it */
};

/* Listens on view->settings->server.admin; also on the unix socket <state_dir>/admin.sock when
 * that works. 0 with *ret, or -errno with err. With admin = "" *ret is NULL. */
int admin_new(const struct admin_view *view, struct admin **ret, struct pb_err *err);
/* The snapshot changed: listen elsewhere if the address did. */
void admin_apply(struct admin *a);
struct letter;
/* What another node asks: carried out with the rights of who asked there, which are looked at again
 * here. NULL: answered later by control_reply(). `a` NULL: this node has no port. */
json_t *admin_letter(struct admin *a, const struct letter *l);
/* Compact figures of this node, for its report. */
json_t *admin_figures(const struct admin_view *v);
/* Held requests are answered (503) first. */
void admin_free(struct admin *a);

#endif
