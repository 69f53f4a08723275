/* Memory that a storm took is given back to the system when it is over. */
#ifndef PB_CORE_MEMORY_H
#define PB_CORE_MEMORY_H

#include <stddef.h>

struct loop;
struct memory;

/* How the allocator is to work; first thing in main(). */
void memory_setup(void);
size_t memory_resident(void);                 /* bytes of this process; 0: not known */
struct memory *memory_new(struct loop *loop); /* NULL without memory: then it does not */
void memory_free(struct memory *m);           /* NULL is fine */

#endif
