/* Processes that other processes have left to us. When the broker is process 1 of a container, or a
 * "child subreaper", every process whose parent has ended becomes our child. It stays a zombie
 * until we wait for it.
 */
#ifndef PB_CORE_ORPHANS_H
#define PB_CORE_ORPHANS_H

struct loop;
struct orphans;

/* NULL where no orphans come to us, or without memory. */
struct orphans *orphans_new(struct loop *loop);
void orphans_free(struct orphans *o); /* NULL is fine */

#endif
