/* Owns the choice of the address in trace ids. */
#include "daemon/gateway.h"

#include "base/address.h"
#include "config/settings.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static uint32_t own_ipv4(void) {
  struct ifaddrs *all, *i;
  uint32_t found = INADDR_LOOPBACK;
  if (getifaddrs(&all)) return found;
  for (i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
    struct sockaddr_in sin;
    memcpy(&sin, i->ifa_addr, sizeof sin);
    uint32_t ip = ntohl(sin.sin_addr.s_addr);
    if (ip >> 24 == 127) continue;
    found = ip;
    break;
  }
  freeifaddrs(all);
  return found;
}

struct gateway gateway_of(const struct server_settings *s) {
  struct gateway g = {.ipv4 = INADDR_LOOPBACK};
  for (size_t i = 0; s->listen[i]; i++) {
    char host[256];
    const char *port;
    struct in_addr ip;
    if (!strncmp(s->listen[i], "unix:", 5) ||
        !address_split(s->listen[i], host, sizeof host, &port))
      continue;
    g.port = (uint16_t)atoi(port);
    g.ipv4 = inet_pton(AF_INET, host, &ip) == 1 && ip.s_addr ? ntohl(ip.s_addr) : own_ipv4();
    if (!strcmp(host, "localhost")) g.ipv4 = INADDR_LOOPBACK;
    break;
  }
  return g;
}
