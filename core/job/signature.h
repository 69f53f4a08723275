/* The signature of a failure: its code, and its message without what differs from job to job.
 *
 * Of a message the first SIGNATURE_LOOK bytes count. Runs of digits become "#", uuids "<uuid>", hex
 * numbers ("0x...", or words of 8 and more hex digits, of which one at least is 0 to 9, and one is
 * not) "<hex>". Quotes stay, and what stands in them is treated like the rest. White space and
 * control characters become one space, bytes that are no UTF-8 "?". The text is cut at
 * SIGNATURE_TEXT_MAX bytes, between two characters. Nobody else normalises.
 */
#ifndef PB_CORE_SIGNATURE_H
#define PB_CORE_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_LOOK     512
#define SIGNATURE_TEXT_MAX 160
#define SIGNATURE_ID_LEN   16 /* hex digits */

struct signature {
  uint64_t id; /* a hash of code and text; never 0 */
  int code;
  char text[SIGNATURE_TEXT_MAX + 1]; /* UTF-8 */
  size_t len;
};

void signature_of(int code, const char *message, size_t len, struct signature *ret);
void signature_format(uint64_t id, char ret[SIGNATURE_ID_LEN + 1]);
/* SIGNATURE_ID_LEN lower-case hex digits. */
bool signature_parse(const char *text, uint64_t *ret);

#endif
