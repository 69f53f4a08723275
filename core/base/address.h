/* Addresses as they stand in files: "127.0.0.1:6379", "[::1]:6379", "name:6379", "unix:/path". */
#ifndef PB_CORE_ADDRESS_H
#define PB_CORE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* 0, or -EINVAL and a sentence that says what would be right. Nothing is looked up. Port 0 (any
 * free one) is allowed for what we listen on. */
int address_check(const char *text, bool listening, char *ret_why, size_t why_size);

/* The host of "HOST:PORT" or "[IPV6]:PORT", without brackets, and where the port begins; the host
 * may be empty. False: no colon, or a host that is longer than `size` allows. */
bool address_split(const char *text, char *ret_host, size_t size, const char **ret_port);

#endif
