/* Owns the address of a client, and its form for people. */
#include "intake/peer.h"

#include "intake/auth.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void peer_format(const struct peer *p, char *ret) {
  char host[INET6_ADDRSTRLEN];
  uint32_t uid;
  switch ((enum peer_kind)p->kind) {
  case PEER_UNIX:
    memcpy(&uid, p->address, sizeof uid);
    snprintf(ret, PEER_TEXT_MAX, "unix:uid=%" PRIu32, uid);
    break;
  case PEER_IPV4:
    inet_ntop(AF_INET, p->address, host, sizeof host);
    snprintf(ret, PEER_TEXT_MAX, "%s:%u", host, p->port);
    break;
  case PEER_IPV6:
    inet_ntop(AF_INET6, p->address, host, sizeof host);
    snprintf(ret, PEER_TEXT_MAX, "[%s]:%u", host, p->port);
    break;
  }
}

struct auth_peer peer_key(const struct peer *p) {
  return auth_peer_of(p->kind == PEER_IPV4   ? AF_INET
                      : p->kind == PEER_IPV6 ? AF_INET6
                                             : AF_UNIX,
                      p->address);
}
