/* Owns how addresses and networks are read and compared. */
#include "base/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

/* *ret_v4: the text is an IPv4 address. */
static bool bytes_parse(const char *text, unsigned char ret[16], bool *ret_v4) {
  *ret_v4 = inet_pton(AF_INET, text, ret + sizeof mapped) == 1;
  if (*ret_v4) {
    memcpy(ret, mapped, sizeof mapped);
    return true;
  }
  return inet_pton(AF_INET6, text, ret) == 1;
}

static bool port_fits(const char *text, size_t len) {
  if (len < 2 || len > 6 || *text != ':') return false;
  for (size_t i = 1; i < len; i++)
    if (text[i] < '0' || text[i] > '9') return false;
  return true;
}

/* Where the address within `text` begins and how long it is. */
static bool address_within(const char *text, size_t len, const char **ret, size_t *ret_len) {
  *ret = text;
  *ret_len = len;
  if (len && *text == '[') {
    const char *end = memchr(text, ']', len);
    if (!end) return false;
    size_t rest = len - (size_t)(end + 1 - text);
    *ret = text + 1;
    *ret_len = (size_t)(end - text) - 1;
    return (!rest || port_fits(end + 1, rest)) && memchr(*ret, ':', *ret_len);
  }
  const char *colon = len ? memchr(text, ':', len) : NULL;
  size_t host = colon ? (size_t)(colon - text) : len;
  if (!colon || memchr(colon + 1, ':', len - host - 1)) return true; /* none, or IPv6 */
  *ret_len = host;
  return port_fits(colon, len - host);
}

bool network_address(const char *text, size_t len, struct network *ret) {
  char copy[NETWORK_TEXT_MAX];
  const char *at;
  size_t n;
  bool v4;
  if (!address_within(text, len, &at, &n) || !n || n >= sizeof copy || memchr(at, 0, n))
    return false;
  memcpy(copy, at, n);
  copy[n] = 0;
  ret->bits = 128;
  return bytes_parse(copy, ret->bytes, &v4);
}

static bool rest_is_zero(const struct network *n) {
  for (unsigned bit = n->bits; bit < 128; bit++)
    if (n->bytes[bit / 8] >> (7 - bit % 8) & 1) return false;
  return true;
}

bool network_parse(const char *text, struct network *ret) {
  char copy[NETWORK_TEXT_MAX];
  size_t len = strcspn(text, "/");
  bool v4;
  if (len >= sizeof copy) return false;
  memcpy(copy, text, len);
  copy[len] = 0;
  if (!bytes_parse(copy, ret->bytes, &v4)) return false;
  ret->bits = 128;
  if (!text[len]) return true;
  const char *digits = text + len + 1;
  size_t n = strspn(digits, "0123456789");
  if (!n || n > 3 || digits[n] || (n > 1 && *digits == '0')) return false;
  unsigned bits = 0;
  for (; *digits; digits++) bits = bits * 10 + (unsigned)(*digits - '0');
  if (bits > (v4 ? 32 : 128)) return false;
  ret->bits = bits + (v4 ? 96 : 0);
  return rest_is_zero(ret);
}

bool network_of(const struct sockaddr *address, struct network *ret) {
  const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
  *ret = (struct network){.bits = 128};
  memcpy(ret->bytes, mapped, sizeof mapped);
  if (address->sa_family == AF_INET)
    memcpy(ret->bytes + sizeof mapped, &v4->sin_addr, 4);
  else if (address->sa_family == AF_INET6)
    memcpy(ret->bytes, &v6->sin6_addr, 16);
  else
    return false;
  return true;
}

bool network_is_link_local(const struct network *n) {
  const unsigned char *b = n->bytes;
  if (!memcmp(b, mapped, sizeof mapped)) return b[12] == 169 && b[13] == 254;
  return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

bool network_has(const struct network *n, const struct network *address) {
  unsigned whole = n->bits / 8, rest = n->bits % 8;
  if (memcmp(n->bytes, address->bytes, whole) != 0) return false;
  return !rest || !((n->bytes[whole] ^ address->bytes[whole]) >> (8 - rest));
}

void network_print(const struct network *address, char ret[NETWORK_TEXT_MAX]) {
  bool v4 = memcmp(address->bytes, mapped, sizeof mapped) == 0;
  if (!inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? sizeof mapped : 0), ret,
                 NETWORK_TEXT_MAX))
    *ret = 0;
}
