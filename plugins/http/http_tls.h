/* The files of TLS: the certificates that servers are checked against, and our own certificate with
 * its key. They are read once and kept. libcurl would read and parse them for each new connection:
 * for a system's bundle that takes 20 ms and more, and meanwhile nothing else of the broker runs.
 *
 * A file that changed is read again within HTTP_TLS_LOOK_MS. Then connections and sessions that
 * were made with the old file get no further requests.
 */
#ifndef PB_HTTP_HTTP_TLS_H
#define PB_HTTP_HTTP_TLS_H

#include "http_target.h"

#define HTTP_TLS_LOOK_MS 1000

struct http_trusts; /* of the plugin: certificates to check against, one for each ca_file */
struct http_tls;    /* of one topic */

/* NULL: no memory. */
struct http_trusts *http_trusts_new(const struct pb_host *h, struct pb_owner *o);
void http_trusts_free(struct http_trusts *s); /* nothing of it is used any more; NULL is fine */

/* A file that cannot be used is no error here: connections fail and say why. 0 or -ENOMEM. */
int http_tls_new(struct http_trusts *s, const struct http_topic_conf *conf, struct http_tls **ret);
void http_tls_free(struct http_tls *t); /* NULL is fine */

/* The settings of a handle; zeros at first. */
struct http_tls_state {
  unsigned generation;
  uint64_t epoch;
};
/* Sets the handle up, if it is not. Connections of another `epoch` are not used. */
CURLcode http_tls_apply(struct http_tls *t, CURL *e, uint64_t epoch, struct http_tls_state *state);
/* Why a file cannot be used, in place of libcurl's words; "" : they can. */
const char *http_tls_why(const struct http_tls *t);

#endif
