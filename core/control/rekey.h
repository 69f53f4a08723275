/* Another key for the cluster: rotate, where this node has the one that is used; reset, where
 * nobody has it any more. Asked for on the machine of a node, whose key file is replaced; the other
 * nodes are given the new file by whoever runs the cluster. */
#ifndef PB_CORE_CONTROL_REKEY_H
#define PB_CORE_CONTROL_REKEY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct control;

struct rekey_result {
  int status;      /* of HTTP: 200, 409, 503 */
  const char *why; /* lines; "" with 200 */
  uint64_t number; /* of the revision that is written with the new key; 0: there is none */
  const char *id;  /* of the new key */
  const char *key_file;
  json_t *lost; /* reset: ["[KIND NAME] KEY", ...] of the secrets that nobody can open; borrowed */
};
typedef void (*rekey_fn)(void *arg, const struct rekey_result *r);

/* One is under way: another one is not asked for. */
bool control_rekeys(const struct control *c);
/* `by`, `from`: who asks. Once, never from within the call. It can be said again after any failure,
 * and goes on where it was. */
void control_rekey(struct control *c, bool reset, const char *by, const char *from, rekey_fn fn,
                   void *arg);
/* The loop runs no more: each one that waits gets its answer. */
void rekey_end(struct control *c);

#endif
