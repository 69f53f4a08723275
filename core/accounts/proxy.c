/* Owns which proxies are trusted, and what their header fields mean.
 *
 * Must never happen: an address counts that the client wrote itself.
 */
#include "accounts/proxy.h"

#include "base/network.h"
#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct proxy {
  size_t n;
  struct network networks[];
};

struct proxy *proxy_new(const char *const *networks) {
  size_t n = 0;
  while (networks[n]) n++;
  struct proxy *p = calloc(1, sizeof *p + n * sizeof *p->networks);
  if (!p) out_of_memory();
  for (size_t i = 0; i < n; i++)
    if (network_parse(networks[i], &p->networks[p->n])) p->n++;
  return p;
}

void proxy_free(struct proxy *p) {
  free(p);
}

static bool trusted(const struct proxy *p, const struct network *address) {
  for (size_t i = 0; i < p->n; i++)
    if (network_has(&p->networks[i], address)) return true;
  return false;
}

bool proxy_trusts(const struct proxy *p, const char *peer) {
  struct network address;
  return network_address(peer, strlen(peer), &address) && trusted(p, &address);
}

/* The last entry of a list that ends at `end`, without spaces. Returns where the entry before it
 * ends; NULL: it was the first one. */
static const char *entry_before(const char *list, const char *end, const char **ret,
                                size_t *ret_len) {
  const char *begin = end;
  while (begin > list && begin[-1] != ',') begin--;
  const char *before = begin > list ? begin - 1 : NULL;
  while (begin < end && (*begin == ' ' || *begin == '\t')) begin++;
  while (end > begin && (end[-1] == ' ' || end[-1] == '\t')) end--;
  *ret = begin;
  *ret_len = (size_t)(end - begin);
  return before;
}

void proxy_client(const struct proxy *p, const char *peer, const char *forwarded_for,
                  char ret[PROXY_CLIENT_MAX]) {
  struct network client, next;
  if (!network_address(peer, strlen(peer), &client)) {
    snprintf(ret, PROXY_CLIENT_MAX, "%s", peer);
    return;
  }
  const char *end = forwarded_for ? forwarded_for + strlen(forwarded_for) : NULL, *entry;
  size_t len;
  while (end && trusted(p, &client)) {
    end = entry_before(forwarded_for, end, &entry, &len);
    if (!network_address(entry, len, &next)) break;
    client = next;
  }
  char text[NETWORK_TEXT_MAX];
  network_print(&client, text);
  snprintf(ret, PROXY_CLIENT_MAX, "%s", text);
}

bool proxy_is_https(const struct proxy *p, const char *peer, const char *forwarded_proto) {
  const char *entry;
  size_t len;
  if (!forwarded_proto || !proxy_trusts(p, peer)) return false;
  (void)entry_before(forwarded_proto, forwarded_proto + strlen(forwarded_proto), &entry, &len);
  return len == 5 && strncasecmp(entry, "https", 5) == 0;
}
