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

bool call_query(const struct call *c, const char *name, char *ret, size_t size) {
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

bool call_query_stranger(const struct call *c, const char *const *names, char *ret, size_t size) {
  struct evkeyvalq q;
  const struct evkeyval *one;
  const char *text = query_text(c);
  bool found = false;
  if (!text || !*text) return false;
  *ret = 0;
  if (strlen(text) > QUERY_MAX || evhttp_parse_query_str(text, &q) < 0) return true;
  TAILQ_FOREACH(one, &q, next) {
    if (found || is_known(one->key, names)) continue;
    snprintf(ret, size, "%s", one->key);
    found = true;
  }
  evhttp_clear_headers(&q);
  return found;
}
