/* What several plugins do alike: addresses taken apart, the wait for a connection. */
#include "plugins/common/host_port.c"

#include "plugins/common/patience.h"
#include "tap.h"

static void test_host_port(void) {
  static const struct {
    const char *text, *host;
    unsigned port;
  } good[] = {
      {"127.0.0.1:9000", "127.0.0.1", 9000}, {"h:1", "h", 1},
      {"[::1]:65535", "[::1]", 65535},       {"a:b:0080", "a:b", 80}, /* the last colon counts */
      {"1234567:1", "1234567", 1},
  };
  static const struct {
    const char *text, *why;
  } bad[] = {
      {"", "has no port"},
      {"host", "has no port"},
      {"host:", "has no port"},
      {"[::1]", "has no port"},
      {"host:0", "has a bad port"},
      {"host:65536", "has a bad port"},
      {"host:18446744073709551617", "has a bad port"},
      {"host:80x", "has a bad port"},
      {"host:+80", "has a bad port"},
      {":80", "has a bad host"},
  };
  char host[10];
  uint16_t port;

  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    size_t size = strlen(good[i].host) + 1;
    char tight[16];

    port = 0;
    is_str(host_port_split(good[i].text, tight, size, &port), NULL, "\"%s\" is one", good[i].text);
    is_str(tight, good[i].host, "its host");
    is_int(port, good[i].port, "its port");
    is_str(host_port_split(good[i].text, tight, size - 1, &port), "has a bad host",
           "its host is too long where a byte less is there");
    is_str(host_port_split(good[i].text, NULL, 0, &port), NULL, "its host is not wanted");
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    is_str(host_port_split(bad[i].text, host, sizeof host, &port), bad[i].why, "\"%s\" is none",
           bad[i].text);
    is_str(host_port_split(bad[i].text, NULL, 0, &port), bad[i].why, "nor without its host");
  }
}

static void test_patience(void) {
  is_int(patience_ms(1000, 5000, 1000), 1000, "the timeout, with time enough");
  is_int(patience_ms(1000, 2000, 1000), 500, "half of what is left, with less");
  is_int(patience_ms(1000, 1003, 1000), 1, "half of 3 ms");
  is_int(patience_ms(1000, 1002, 1000), 1, "never nothing");
  is_int(patience_ms(1000, 900, 1000), 1, "nor where the deadline is over");
}

int main(void) {
  test_host_port();
  test_patience();
  return done_testing();
}
