/* The audit log: who did what, from where, with which result. Rows are in the shared storage.
 *
 * A node that cannot reach the storage keeps AUDIT_WAITING rows and adds them later. So that nobody
 * can push old rows out by what is refused, AUDIT_REFUSED_MAX refusals of strangers and
 * AUDIT_REFUSED_KNOWN of users a minute have rows of their own, and one row counts the rest.
 */
#ifndef PB_CORE_ACCOUNTS_AUDIT_H
#define PB_CORE_ACCOUNTS_AUDIT_H

#include "accounts/vault.h"
#include "config/settings.h"

#define AUDIT_WAITING       256
#define AUDIT_REFUSED_MAX   20
#define AUDIT_REFUSED_KNOWN 200
#define AUDIT_TEXT_MAX      1024 /* of each text; the rest is cut off */
#define AUDIT_VALUE_MAX     4096 /* of `before` and `after` each, as JSON */

/* Texts may be NULL: not known. None of them may hold a secret. */
struct audit_row {
  const char *user, *how; /* how: identity_how_name() */
  const char *client, *agent;
  const char *what;       /* "login", "topic.pause", "config.apply" */
  const char *object;     /* "topic msg/reply" */
  const char *result;     /* "done", or why not */
  bool refused;           /* a try that was not allowed */
  bool known;             /* `user` has shown who it is */
  json_t *before, *after; /* masked; NULL: none; borrowed */
};

struct audit;

/* `settings`: the snapshot that runs; names the node. */
struct audit *audit_new(struct vault *v, struct settings *const *settings);
void audit_stop(struct audit *a); /* asks the storage for nothing any more */
void audit_free(struct audit *a); /* after the stores are freed */
void audit_add(struct audit *a, const struct audit_row *row);

/* `o`: a JSON array, the newest row first: id, at_ms, node and the members of audit_row; `user`
 * NULL and times 0: all. *cursor of the callback: for the next page; "": this was the last one. */
struct audit_query {
  const char *before; /* a cursor; "": from the newest */
  size_t limit;       /* 1 to 1,000 */
  const char *user;
  uint64_t since_ms, until_ms;
};
typedef void (*audit_fn)(void *arg, int rc, json_t *rows, const char *cursor, const char *why);
void audit_list(struct audit *a, const struct audit_query *q, audit_fn fn, void *arg);

#endif
