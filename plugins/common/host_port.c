/* Text only. */
#include "common/host_port.h"

#include <string.h>

const char *host_port_split(const char *text, char *host, size_t size, uint16_t *ret_port) {
  const char *colon = strrchr(text, ':'), *digit;
  unsigned long port = 0;
  size_t len;

  if (!colon || !colon[1] || strchr(colon, ']')) return "has no port";
  for (digit = colon + 1; *digit >= '0' && *digit <= '9' && port <= 65535; digit++)
    port = port * 10 + (unsigned long)(*digit - '0');
  if (*digit || !port || port > 65535) return "has a bad port";
  len = (size_t)(colon - text);
  if (!len || (host && len >= size)) return "has a bad host";
  if (host) {
    memcpy(host, text, len);
    host[len] = 0;
  }
  *ret_port = (uint16_t)port;
  return NULL;
}
