/* Addresses as they stand in files: "127.0.0.1:6379", "[::1]:6379", "name:6379", "unix:/path". */
#ifndef PB_CORE_ADDRESS_H
#define PB_CORE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* 0, or -EINVAL and a sentence that says what would be right. Nothing is looked up. Port 0 (any
 * free one) is allowed for what we listen on. */
int address_check(const char *text, bool listening, char *ret_why, size_t why_size);

#endif
