/* Owns the layout of ids. Pure: the caller gives the time. No I/O. */
#include "job/id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERSION_BIT   (UINT64_C(1) << 63)
#define MS_BITS       39
#define SHARD_BITS    10
#define SEQUENCE_BITS 14
#define MS_MASK       ((UINT64_C(1) << MS_BITS) - 1)

/* Disque ids end in a field that told the time to live; ours is constant, so that both forms
 * of an id are always the same text. */
#define DISQUE_TAIL "00pepperbus0000000000"

void id_source_start(struct id_source *s, unsigned shard, uint64_t unix_ms) {
  s->shard = shard % ID_SHARDS;
  s->sequence = 0;
  s->ms = (unix_ms > ID_EPOCH_MS ? unix_ms - ID_EPOCH_MS : 0) + 1;
}

uint64_t id_mint(struct id_source *s, uint64_t unix_ms) {
  uint64_t ms = unix_ms > ID_EPOCH_MS ? unix_ms - ID_EPOCH_MS : 0;
  if (ms > s->ms) {
    s->ms = ms;
    s->sequence = 0;
  } else if (++s->sequence >> SEQUENCE_BITS) {
    s->ms++;
    s->sequence = 0;
  }
  return VERSION_BIT | (s->ms & MS_MASK) << (SHARD_BITS + SEQUENCE_BITS) |
         (uint64_t)s->shard << SEQUENCE_BITS | s->sequence;
}

void id_decode(uint64_t id, struct id_parts *ret) {
  ret->unix_ms = (id >> (SHARD_BITS + SEQUENCE_BITS) & MS_MASK) + ID_EPOCH_MS;
  ret->shard = (unsigned)(id >> SEQUENCE_BITS) & (ID_SHARDS - 1);
  ret->sequence = (unsigned)id & ((1u << SEQUENCE_BITS) - 1);
}

size_t id_format(uint64_t id, char *ret) {
  char tmp[ID_TEXT_MAX];
  size_t n = 0;
  do tmp[n++] = (char)('0' + id % 10);
  while (id /= 10);
  for (size_t i = 0; i < n; i++) ret[i] = tmp[n - 1 - i];
  ret[n] = 0;
  return n;
}

void id_format_disque(uint64_t id, char *ret) {
  snprintf(ret, ID_DISQUE_LEN + 1, "D-%016" PRIx64 "-" DISQUE_TAIL, id);
}

size_t id_format_trace(uint64_t id, struct gateway g, char *ret) {
  size_t n = id_format(id, ret);
  ret[n++] = '-';
  n += id_format(g.ipv4, ret + n);
  ret[n++] = '-';
  n += id_format(g.port, ret + n);
  return n;
}

bool id_parse(const char *text, size_t len, uint64_t *ret) {
  uint64_t id = 0;
  if (len == ID_DISQUE_LEN && !memcmp(text, "D-", 2) && text[18] == '-') {
    for (size_t i = 2; i < 18; i++) {
      char c = text[i];
      unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                       : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                       : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                              : 16;
      if (digit == 16) return false;
      id = id << 4 | digit;
    }
    *ret = id;
    return true;
  }
  if (!len || len > 20) return false;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9') return false;
    if (__builtin_mul_overflow(id, 10, &id) ||
        __builtin_add_overflow(id, (uint64_t)(text[i] - '0'), &id))
      return false;
  }
  *ret = id;
  return true;
}
