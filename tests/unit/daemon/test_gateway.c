/* Which address trace ids name, by what `listen` says. */
#include "daemon/gateway.h"

#include "config/settings.h"
#include "tap.h"

#include <netinet/in.h>

static struct gateway by(const char *const *listen) {
  struct server_settings s = {.listen = listen};
  return gateway_of(&s);
}

#define BY(...) by((const char *const[]){__VA_ARGS__, NULL})

int main(void) {
  struct gateway g = BY("10.1.2.3:12017");
  is_int(g.ipv4, 0x0a010203, "the address that is listened at");
  is_int(g.port, 12017, "and its port");
  g = BY("unix:/run/bus.sock", "192.0.2.1:7", "10.1.2.3:8");
  ok(g.ipv4 == 0xc0000201 && g.port == 7, "the first that is no unix socket");
  g = BY("localhost:12017");
  ok(g.ipv4 == INADDR_LOOPBACK && g.port == 12017, "localhost is 127.0.0.1");
  g = BY("unix:/run/bus.sock");
  ok(g.ipv4 == INADDR_LOOPBACK && !g.port, "unix sockets alone: none is named");
  struct gateway any = BY("0.0.0.0:12017"), six = BY("[::]:12018"), all = BY(":12019");
  ok(any.ipv4 && any.port == 12017, "listening everywhere: an address of this machine");
  ok(six.ipv4 == any.ipv4 && six.port == 12018, "so over IPv6");
  ok(all.ipv4 == any.ipv4 && all.port == 12019, "and without a host");
  return done_testing();
}
