/* One POST to a webhook, on a thread of its own: libcurl resolves and connects there.
 *
 * Redirects are never followed. For an alert of the shared configuration a link-local address is
 * refused after the name was resolved.
 */
#ifndef PB_CORE_ALERTS_WEBHOOK_H
#define PB_CORE_ALERTS_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct webhook;

struct webhook_request {
  const char *url;
  const char *signature; /* of the header Pepperbus-Signature; "": none */
  const void *body;      /* JSON */
  size_t len;
  bool shared;
  uint64_t timeout_ms;
};

/* fn(arg, error) on the loop, once; `error` NULL: an answer 2xx. The error names no more of the URL
 * than its host. What `r` points to is copied. NULL: no thread. */
typedef void (*webhook_fn)(void *arg, const char *error);
struct webhook *webhook_send(struct loop *loop, const struct webhook_request *r, webhook_fn fn,
                             void *arg);
/* fn does not come any more. After the loop's last turn; the thread ends at once. */
void webhook_cancel(struct webhook *w);

#endif
