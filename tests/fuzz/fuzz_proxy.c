/* X-Forwarded-For as anybody may send it: the answer is an address, and never one that a client
 * wrote while the peer is not trusted. */
#include "accounts/proxy.h"
#include "base/network.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const networks[] = {"10.0.0.0/8", "fd00::/8", NULL};
  struct network address;
  char client[PROXY_CLIENT_MAX];
  char *text = malloc(size + 1);
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = 0;
  struct proxy *p = proxy_new(networks);
  proxy_client(p, "10.0.0.1:80", text, client);
  if (!network_address(client, strlen(client), &address)) __builtin_trap();
  proxy_client(p, "192.0.2.1:80", text, client);
  if (strcmp(client, "192.0.2.1") != 0) __builtin_trap();
  (void)proxy_is_https(p, "10.0.0.1:80", text);
  if (network_parse(text, &address) && address.bits > 128) __builtin_trap();
  proxy_free(p);
  free(text);
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
