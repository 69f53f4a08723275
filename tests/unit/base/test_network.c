/* core/base/network.h: which addresses are of a network, and which are link-local. */
#include "base/network.h"

#include "tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool link_local(const char *text) {
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
  bool is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
  const void *address = is_v4 ? (const void *)&v4 : (const void *)&v6;
  struct network n;
  if (!is_v4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) fail("%s is no address", text);
  if (!network_of(address, &n)) fail("%s is not taken", text);
  return network_is_link_local(&n);
}

static void test_link_local(void) {
  static const char *const yes[] = {"169.254.0.0", "169.254.169.254", "fe80::1", "febf:ffff::1",
                                    "::ffff:169.254.1.1"};
  static const char *const no[] = {"169.253.255.255", "169.255.0.0", "127.0.0.1", "10.0.0.1",
                                   "fec0::1",         "fe7f::1",     "::1",       "a9fe::1"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) ok(link_local(yes[i]), "%s is", yes[i]);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) ok(!link_local(no[i]), "%s is not", no[i]);
}

static void test_other_families(void) {
  struct sockaddr other = {.sa_family = AF_UNIX};
  struct network n;
  ok(!network_of(&other, &n), "the address of a unix socket is in no network");
}

static void test_networks(void) {
  struct network n, in, out;
  ok(network_parse("10.1.0.0/16", &n), "a network");
  ok(network_address("10.1.2.3:80", 11, &in) && network_has(&n, &in), "has an address of it");
  ok(network_address("10.2.0.1", 8, &out) && !network_has(&n, &out), "and no other one");
  ok(!network_parse("10.1.2.0/16", &n), "bits behind the prefix are a fault");
}

int main(void) {
  test_link_local();
  test_other_families();
  test_networks();
  return done_testing();
}
