/* INFO: the counters in Redis' form. */
#ifndef PB_CORE_INFO_H
#define PB_CORE_INFO_H

#include <stddef.h>

struct buf;
struct metrics;

/* `section` NULL or "": all (server, clients, memory, stats, storages, keyspace-like topics). */
void info_write(struct metrics *m, const char *section, size_t section_len, struct buf *out);

#endif
