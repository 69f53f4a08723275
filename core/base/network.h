/* Addresses and networks of IPv4 and IPv6: "10.0.0.0/8", "192.0.2.7", "fd00::/8". */
#ifndef PB_CORE_NETWORK_H
#define PB_CORE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

#define NETWORK_TEXT_MAX 46 /* of an address, with the NUL */

/* An IPv4 address is kept as the IPv6 address ::ffff:a.b.c.d, so that both forms are the same. */
struct network {
  unsigned char bytes[16];
  unsigned bits; /* how many of them count */
};

/* False: the text is neither an address nor a network. Bits behind the prefix must be 0. */
bool network_parse(const char *text, struct network *ret);
/* The address in "a.b.c.d", "a.b.c.d:port", "v6", "[v6]", "[v6]:port"; no names, no zones. */
bool network_address(const char *text, size_t len, struct network *ret);
/* False: the address is neither IPv4 nor IPv6. */
bool network_of(const struct sockaddr *address, struct network *ret);
/* 169.254.0.0/16 and fe80::/10, where machines keep what is theirs alone. */
bool network_is_link_local(const struct network *address);
bool network_has(const struct network *n, const struct network *address);
/* The address alone. */
void network_print(const struct network *address, char ret[NETWORK_TEXT_MAX]);

#endif
