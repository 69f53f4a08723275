/* Owns the form of addresses. Calls nothing of the core. */
#include "base/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define HOST_LEN_MAX 253

static int refuse(char *why, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(char *why, size_t size, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  if (size) vsnprintf(why, size, fmt, ap);
  va_end(ap);
  return -EINVAL;
}

static int unix_check(const char *path, char *why, size_t size) {
  const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
  if (*path != '/') return refuse(why, size, "a socket's path is absolute; write unix:/path");
  if (strlen(path) > most)
    return refuse(why, size, "the path of a socket has at most %zu bytes, this one has %zu", most,
                  strlen(path));
  return 0;
}

/* Letters, digits, '-' and '.'; and when it looks like an IPv4 address it must be one. */
static bool host_is_sound(const char *host) {
  unsigned char ip[sizeof(struct in6_addr)];
  size_t len = strlen(host);
  if (!len || len > HOST_LEN_MAX || !isalnum((unsigned char)host[0])) return false;
  if (!host[strspn(host, "0123456789.")]) return inet_pton(AF_INET, host, ip) == 1;
  for (const char *p = host; *p; p++)
    if (!isalnum((unsigned char)*p) && !strchr("-._", *p)) return false;
  return true;
}

static int port_check(const char *port, bool listening, char *why, size_t size) {
  size_t len = strlen(port);
  long n = len && len <= 5 && strspn(port, "0123456789") == len ? strtol(port, NULL, 10) : -1;
  if (n >= (listening ? 0 : 1) && n <= 65535) return 0;
  return refuse(why, size, "the port '%.20s' is not one of 1 to 65535", port);
}

bool address_split(const char *text, char *ret_host, size_t size, const char **ret_port) {
  const char *colon = strrchr(text, ':');
  if (!colon) return false;
  size_t len = (size_t)(colon - text);
  if (len > 2 && *text == '[' && text[len - 1] == ']') text++, len -= 2;
  if (len >= size) return false;
  memcpy(ret_host, text, len);
  ret_host[len] = 0;
  *ret_port = colon + 1;
  return true;
}

int address_check(const char *text, bool listening, char *ret_why, size_t why_size) {
  unsigned char ip[sizeof(struct in6_addr)];
  char host[HOST_LEN_MAX + 1];

  if (strncmp(text, "unix:", 5) == 0) return unix_check(text + 5, ret_why, why_size);
  if (*text == '/') return refuse(ret_why, why_size, "for a socket write unix:%.100s", text);
  const char *colon = strrchr(text, ':');
  if (!colon || colon == text || !colon[1])
    return refuse(ret_why, why_size, "write %s",
                  listening ? "HOST:PORT (0.0.0.0 is every address), "
                              "[IPV6]:PORT or unix:/path"
                            : "HOST:PORT, [IPV6]:PORT or unix:/path");
  const char *port;
  if (!address_split(text, host, sizeof host, &port))
    return refuse(ret_why, why_size, "the host name is too long");
  if (*text == '[' && colon[-1] == ']' && colon > text + 2) {
    if (inet_pton(AF_INET6, host, ip) != 1)
      return refuse(ret_why, why_size, "'%.60s' is no IPv6 address", host);
  } else if (strchr(host, ':')) {
    return refuse(ret_why, why_size, "an IPv6 address stands in brackets; write [%.60s]:%.20s",
                  host, port);
  } else if (!host_is_sound(host)) {
    return refuse(ret_why, why_size, "'%.60s' is neither an IP address nor a host name", host);
  }
  return port_check(port, listening, ret_why, why_size);
}
