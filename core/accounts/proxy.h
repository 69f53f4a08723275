/* Whom to believe about where a request comes from. */
#ifndef PB_CORE_PROXY_H
#define PB_CORE_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#define PROXY_CLIENT_MAX 64

struct proxy; /* the proxies that are trusted */

/* `networks` ends with NULL; what is no network is left out. */
struct proxy *proxy_new(const char *const *networks);
void proxy_free(struct proxy *p);
/* Does the connection come from a proxy that is trusted? `peer` is "address:port". */
bool proxy_trusts(const struct proxy *p, const char *peer);
/* The address of the client: the peer's, or, where that is trusted, the rightmost address of
 * X-Forwarded-For that is not trusted. All fields of that name are given as one, with commas. NULL:
 * there is none. Where an entry cannot be read, the proxy that wrote the entry counts as the
 * client. Without an address (a unix socket) `peer` itself is the answer. */
void proxy_client(const struct proxy *p, const char *peer, const char *forwarded_for,
                  char ret[PROXY_CLIENT_MAX]);
/* Did the browser use TLS? X-Forwarded-Proto counts where the peer is trusted, and of that the last
 * word: our proxy wrote it. */
bool proxy_is_https(const struct proxy *p, const char *peer, const char *forwarded_proto);

#endif
