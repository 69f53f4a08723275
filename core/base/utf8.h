/* UTF-8: what is well-formed, and which characters must not be shown. */
#ifndef PB_CORE_UTF8_H
#define PB_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed UTF-8 sequence at p (at most n > 0 bytes left), or 0. */
size_t utf8_sequence(const unsigned char *p, size_t n);
bool utf8_valid(const char *text, size_t n);
/* Length of the character at p when it must reach neither a terminal nor a log as it is, else 0:
 * controls (C0, DEL, C1), what breaks lines (U+2028, U+2029), turns or hides text (bidi marks,
 * U+FEFF, tags and the like), and bytes that are no UTF-8. *ret_code: its number, or that of the
 * byte plus UTF8_BYTE. */
#define UTF8_BYTE 0x1000000u
size_t utf8_unshown(const unsigned char *p, size_t n, uint32_t *ret_code);

#endif
