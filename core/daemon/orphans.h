/* Processes that others have left to us. As process 1 of a container, or as a "child subreaper",
 * each process whose parent has ended becomes our child, and stays a zombie until it is waited for.
 */
#ifndef PB_CORE_ORPHANS_H
#define PB_CORE_ORPHANS_H

struct loop;
struct orphans;

/* NULL where no orphans come to us, or without memory. */
struct orphans *orphans_new(struct loop *loop);
void orphans_free(struct orphans *o); /* NULL is fine */

#endif
