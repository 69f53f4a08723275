/* HOST:PORT, as addresses are written in the configuration. */
#ifndef PB_COMMON_HOST_PORT_H
#define PB_COMMON_HOST_PORT_H

#include <stddef.h>
#include <stdint.h>

/* Puts the host of `text` into `host` (`size` bytes; the brackets of an IPv6 address stay), and its
 * port into `*ret_port`. The caller checks the host. `host` may be NULL: then a host of any length
 * is fine. NULL, or the fault, which is to stand behind the address in a sentence. */
const char *host_port_split(const char *text, char *host, size_t size, uint16_t *ret_port);

#endif
