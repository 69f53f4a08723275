/* A hash for tables: FNV-1a, 64 bits. Not for keys that a stranger chooses freely: see
 * intake/auth.c. */
#ifndef PB_CORE_HASH_H
#define PB_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN UINT64_C(14695981039346656037)

/* `h`: HASH_BEGIN, or the hash of the data before. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t len) {
  const unsigned char *p = data;
  for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
  return h;
}

#endif
