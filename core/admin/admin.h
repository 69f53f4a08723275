/* The admin port: a JSON API under /api/v1/, /metrics, /healthz, /readyz. Requests come by
 * http_server.h.
 *
 * Everything but /healthz, /readyz and /metrics wants `Authorization: Bearer TOKEN`. The token of
 * this instance is made at start and kept in <state_dir>/admin.token (mode 0600), where
 * pepperbusctl finds it.
 */
#ifndef PB_CORE_ADMIN_H
#define PB_CORE_ADMIN_H

#include <pepperbus/abi.h>

struct admin;
struct broker;

/* Listens on broker->settings->server.admin; also on the unix socket <state_dir>/admin.sock when
 * that works. 0 with *ret, or -errno with err. With admin = "" *ret is NULL. */
int admin_new(struct broker *b, struct admin **ret, struct pb_err *err);
/* The snapshot changed: listen elsewhere if the address did. */
void admin_apply(struct admin *a);
/* Held requests are answered (503) first. */
void admin_free(struct admin *a);

#endif
