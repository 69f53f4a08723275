/* Who is at the other end of a connection. */
#ifndef PB_CORE_PEER_H
#define PB_CORE_PEER_H

#include <stdint.h>

struct auth_peer;

enum peer_kind { PEER_UNIX, PEER_IPV4, PEER_IPV6 };
struct peer {
  unsigned char address[16]; /* unix: the user id in the first four */
  uint16_t port;
  uint8_t kind;
};
#define PEER_TEXT_MAX 64
/* "127.0.0.1:4711", "[::1]:4711", "unix:uid=33". */
void peer_format(const struct peer *p, char *ret);
/* As far as it counts for wrong passwords. */
struct auth_peer peer_key(const struct peer *p);

#endif
