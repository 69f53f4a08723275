/* Workers that misbehave: a process that listens on a unix socket and a TCP port of 127.0.0.1 for
 * each kind of misbehaviour. It speaks no protocol, so that it fits every plugin.
 */
#ifndef PB_CHECK_PEER_H
#define PB_CHECK_PEER_H

#include <stdbool.h>

enum peer_kind {
  PEER_REFUSES, /* nobody listens at the address */
  PEER_CLOSES,  /* reads the first bytes of a request and closes */
  PEER_HANGS,   /* accepts, reads a little, and then nothing more */
  PEER_FLOODS,  /* answers a request with random bytes without end (FLOOD_MAX) */
  PEER_KINDS
};

struct peers;

/* NULL: errno. Before threads are started. */
struct peers *peers_start(void);
void peers_stop(struct peers *p); /* NULL is fine */
/* The workers that hang close their connections. Returns when they have closed them. */
void peers_release(struct peers *p);

bool peers_named(const char *value); /* has it {peer}, {peer:path} or {peer:tcp} in it? */
/* `value` with the addresses of that kind: {peer} is unix:/path, {peer:path} only the path,
 * {peer:tcp} 127.0.0.1:PORT. The caller frees it. */
char *peers_put(const struct peers *p, enum peer_kind kind, const char *value);
const char *peers_words(enum peer_kind kind); /* "the worker hangs" */

#endif
