/* Owns what stands behind the question mark of a request. */
#include "admin/private.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <string.h>

#define QUERY_MAX 4096

bool call_query(struct call *c, const char *name, char *ret, size_t size) {
  struct evkeyvalq q;
  const char *text = c->asked_here ? c->asked_here->query
                     : c->req      ? http_request_head(c->req)->query
                                   : NULL;
  if (!text || strlen(text) > QUERY_MAX || evhttp_parse_query_str(text, &q) < 0) return false;
  const char *value = evhttp_find_header(&q, name);
  if (value) snprintf(ret, size, "%s", value);
  evhttp_clear_headers(&q);
  return value != NULL;
}
