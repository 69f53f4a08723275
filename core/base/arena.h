/* Memory that is freed all at once: what a configuration is made of.
 *
 * Aborts without memory. A configuration is some hundred KB, read at start and on reload
 * from files of bounded size; a process that cannot have that much can do nothing else either.
 */
#ifndef PB_CORE_ARENA_H
#define PB_CORE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);    /* never NULL */
void arena_free(struct arena *a); /* NULL is fine */
/* Zeroed and aligned for any type; also for size 0 a pointer of its own. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_text(struct arena *a, const char *text, size_t len); /* copied, NUL added */
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

#endif
