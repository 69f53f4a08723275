/* Owns what stands behind the question mark of a request. */
#include "admin/private.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <sys/queue.h>

#define QUERY_MAX 4096

static const char *query_text(const struct call *c) {
  return c->asked_here ? c->asked_here->query : c->req ? http_request_head(c->req)->query : NULL;
}

bool call_query(struct call *c, const char *name, char *ret, size_t size) {
  struct evkeyvalq q;
  const char *text = query_text(c);
  if (!text || strlen(text) > QUERY_MAX || evhttp_parse_query_str(text, &q) < 0) return false;
  const char *value = evhttp_find_header(&q, name);
  if (value) snprintf(ret, size, "%s", value);
  evhttp_clear_headers(&q);
  return value != NULL;
}

static bool is_known(const char *name, const char *const *names) {
  while (*names && strcmp(*names, name)) names++;
  return *names;
}

bool call_query_known(struct call *c, const char *const *names) {
  struct evkeyvalq q;
  const struct evkeyval *one;
  const char *text = query_text(c);
  bool good = true;
  if (!text || !*text) return true;
  if (strlen(text) > QUERY_MAX || evhttp_parse_query_str(text, &q) < 0) {
    call_error(c, 400, "what stands behind the question mark cannot be read, or is too long");
    return false;
  }
  TAILQ_FOREACH(one, &q, next) {
    if (is_known(one->key, names)) continue;
    call_error(c, 400, "parameter \"%.60s\" is not known here", one->key);
    good = false;
    break;
  }
  evhttp_clear_headers(&q);
  return good;
}
