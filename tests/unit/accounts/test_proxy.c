/* Where a request comes from, and who may say so. */
#include "accounts/proxy.h"

#include "base/network.h"
#include "tap.h"

static const char *const networks[] = {"10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1", NULL};

static void client_is(struct proxy *p, const char *peer, const char *forwarded, const char *want) {
  char got[PROXY_CLIENT_MAX];
  proxy_client(p, peer, forwarded, got);
  is_str(got, want, "%s says %s", peer, forwarded ? forwarded : "nothing");
}

/* forwarded addresses count from trusted proxies alone, the rightmost untrusted one */
static void clients(void) {
  struct proxy *p = proxy_new(networks);
  client_is(p, "203.0.113.9:4711", NULL, "203.0.113.9");
  client_is(p, "203.0.113.9:4711", "198.51.100.1", "203.0.113.9");
  client_is(p, "10.1.2.3:80", "198.51.100.1", "198.51.100.1");
  client_is(p, "10.1.2.3:80", "1.1.1.1, 198.51.100.1", "198.51.100.1");
  client_is(p, "10.1.2.3:80", "1.1.1.1, 198.51.100.1 , 192.0.2.7,10.9.9.9", "198.51.100.1");
  client_is(p, "10.1.2.3:80", "10.0.0.5, 192.0.2.7", "10.0.0.5");
  client_is(p, "10.1.2.3:80", "", "10.1.2.3");
  client_is(p, "10.1.2.3:80", "1.1.1.1, ", "10.1.2.3");
  client_is(p, "10.1.2.3:80", "1.1.1.1, unknown", "10.1.2.3");
  client_is(p, "10.1.2.3:80", "1.1.1.1, <script>, 192.0.2.7", "192.0.2.7");
  client_is(p, "10.1.2.3:80", "198.51.100.1:5555", "198.51.100.1");
  client_is(p, "[fd00::1]:80", "[2001:db8::7]:443", "2001:db8::7");
  client_is(p, "[fd00::1]:80", "2001:db8::7", "2001:db8::7");
  client_is(p, "[::ffff:10.1.2.3]:80", "198.51.100.1", "198.51.100.1");
  client_is(p, "10.1.2.3:80", "::ffff:198.51.100.1", "198.51.100.1");
  client_is(p, "[fe80::1%eth0]:80", "198.51.100.1", "[fe80::1%eth0]:80");
  client_is(p, "this machine", "198.51.100.1", "this machine");
  proxy_free(p);
  p = proxy_new(&networks[4]);
  client_is(p, "127.0.0.1:80", "198.51.100.1", "127.0.0.1");
  ok(!proxy_trusts(p, "127.0.0.1:80"), "nobody is trusted by default");
  proxy_free(p);
}

static void schemes(void) {
  struct proxy *p = proxy_new(networks);
  ok(proxy_is_https(p, "10.0.0.1:1", "https"), "a trusted proxy says https");
  ok(proxy_is_https(p, "10.0.0.1:1", "http, HTTPS"), "the last word counts");
  ok(!proxy_is_https(p, "10.0.0.1:1", "https, http"), "not the first one");
  ok(!proxy_is_https(p, "10.0.0.1:1", "httpsx"), "only the whole word");
  ok(!proxy_is_https(p, "10.0.0.1:1", NULL), "nothing is said");
  ok(!proxy_is_https(p, "203.0.113.9:1", "https"), "nobody else is believed");
  proxy_free(p);
}

static void parsing(void) {
  static const char *const good[] = {"0.0.0.0/0",          "::/0",       "10.0.0.0/8",
                                     "10.1.0.0/16",        "1.2.3.4/32", "2001:db8::/32",
                                     "::ffff:10.0.0.0/104"};
  static const char *const bad[] = {"",           "/8",          "10.0.0.0/",   "10.0.0.0/33",
                                    "10.0.0.1/8", "10.0.0/8",    "::/129",      "fe80::1%eth0",
                                    "host",       "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/-1",
                                    "[::1]",      "10.0.0.0/8/8"};
  struct network n, a, b;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    ok(network_parse(good[i], &n), "\"%s\" is a network", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(!network_parse(bad[i], &n), "\"%s\" is none", bad[i]);
  ok(network_parse("172.16.0.0/12", &n) && network_address("172.31.255.255", 14, &a) &&
         network_address("172.32.0.0", 10, &b) && network_has(&n, &a) && !network_has(&n, &b),
     "a prefix ends within a byte");
  ok(network_parse("0.0.0.0/0", &n) && network_address("2001:db8::1", 11, &a) &&
         !network_has(&n, &a),
     "all of IPv4 is no IPv6");
}

int main(void) {
  clients();
  schemes();
  parsing();
  return done_testing();
}
