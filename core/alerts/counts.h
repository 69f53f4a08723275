/* How many jobs the watched topics have, as the storages tell. Asked for again and again while
 * somebody wants it; a scrape or a page of the console asks for its own. */
#ifndef PB_CORE_ALERTS_COUNTS_H
#define PB_CORE_ALERTS_COUNTS_H

#include <stdint.h>

struct counts;
struct loop;
struct registry;
struct topic;

struct count {
  uint64_t ready, running, dead;
  uint64_t oldest_ms; /* Unix ms, of the storage's clock; 0: there is no job */
};

struct counts *counts_new(struct loop *loop, struct registry *reg);
/* After the stores are freed. NULL is fine. */
void counts_free(struct counts *c);
/* As it was told last; NULL: it is not known. The topic is asked for with the next round. */
const struct count *counts_of(struct counts *c, const struct topic *t);
/* Asks for all that was wanted since the last round, unless that is too soon. */
void counts_round(struct counts *c);

#endif
