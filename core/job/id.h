/* Job ids and trace ids.
 *
 * A job id is 64 bits: version 1 | milliseconds since 2018-08-06T10:09:22.685Z 39 | shard 10 |
 * sequence 14. The shard is this node's number in the storages' registries, so ids are unique over
 * nodes. The clock given to id_source_start() is later than the last id of earlier runs of this
 * node, so ids are unique over restarts.
 */
#ifndef PB_CORE_ID_H
#define PB_CORE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_EPOCH_MS   1533550162685u /* Unix ms of the id clock's zero */
#define ID_SHARDS     1024
#define ID_TEXT_MAX   21 /* decimal and NUL */
#define ID_DISQUE_LEN 40 /* "D-" 16 hex "-" 21 characters */
#define ID_TRACE_MAX  48 /* "<id>-<ipv4>-<port>" and NUL */

struct id_source {
  uint64_t ms; /* of the last id, since the epoch; never goes back */
  unsigned shard, sequence;
};

struct id_parts {
  uint64_t unix_ms;
  unsigned shard, sequence;
};

/* The gateway part of trace ids: this node's IPv4 address and producer port. */
struct gateway {
  uint32_t ipv4; /* host order: 127.0.0.1 is 2130706433 */
  uint16_t port;
};

/* Ids begin after wall clock `unix_ms` (the later of now and the last run's mark). */
void id_source_start(struct id_source *s, unsigned shard, uint64_t unix_ms);
/* A new id; later ones are greater. `unix_ms` is the wall clock now; where it went back, or a
 * millisecond is used up, the source's own clock runs ahead of it. */
uint64_t id_mint(struct id_source *s, uint64_t unix_ms);
void id_decode(uint64_t id, struct id_parts *ret);

size_t id_format(uint64_t id, char *ret);      /* decimal; returns the length; ID_TEXT_MAX */
void id_format_disque(uint64_t id, char *ret); /* ID_DISQUE_LEN characters and NUL */
size_t id_format_trace(uint64_t id, struct gateway g, char *ret); /* ID_TRACE_MAX */
/* Either form. False when it is neither. */
bool id_parse(const char *text, size_t len, uint64_t *ret);

#endif
