/* Owns which Host of a request means this broker. Else a page of somebody else's may be asking, by
 * a name that it has made to lead here.
 */
#include "admin/private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

/* Is `host`, of which the first len bytes count, that name? A dot at its end says nothing. */
static bool host_is(const char *host, size_t len, const char *name) {
  size_t want = strlen(name);
  if (want && name[want - 1] == '.') want--;
  return len && len == want && !strncasecmp(host, name, len);
}

/* The length of the name in "name:port". */
static size_t host_length(const char *address) {
  const char *colon = strrchr(address, ':');
  return colon && !strchr(colon, ']') ? (size_t)(colon - address) : strlen(address);
}

static bool is_literal(const char *host, size_t len) {
  char text[INET6_ADDRSTRLEN + 2];
  struct in6_addr ip;
  bool six = len >= 2 && host[0] == '[' && host[len - 1] == ']';
  if (six) {
    host++;
    len -= 2;
  }
  if (!len || len >= sizeof text) return false;
  memcpy(text, host, len);
  text[len] = 0;
  return inet_pton(six ? AF_INET6 : AF_INET, text, &ip) == 1;
}

bool admin_host_is_named(struct admin *a, const char *host) {
  const struct server_settings *set = &a->view->settings->server;
  size_t len = host_length(host);
  for (size_t i = 0; set->hosts[i]; i++)
    if (host_is(host, len, set->hosts[i])) return true;
  return false;
}

bool admin_host_fits(struct admin *a, const char *host) {
  const struct server_settings *set = &a->view->settings->server;
  size_t len = host_length(host);
  if (is_literal(host, len)) return true;
  if (len && host[len - 1] == '.') len--;
  if (host_is(host, len, "localhost") || host_is(host, len, a->host_name) ||
      host_is(host, len, set->node))
    return true;
  if (len && len == host_length(set->admin) && !strncasecmp(host, set->admin, len)) return true;
  return admin_host_is_named(a, host);
}
