/* Memory that is freed all at once, for a configuration.
 *
 * Without memory the process aborts. A configuration is some hundred KB. It is read at start and on
 * reload, from files of bounded size. A process that cannot get that much memory cannot do anything
 * else either.
 */
#ifndef PB_CORE_ARENA_H
#define PB_CORE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);    /* never NULL */
void arena_free(struct arena *a); /* NULL is fine */
/* Zeroed and aligned for any type. Size 0 gives a unique pointer too. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_text(struct arena *a, const char *text, size_t len); /* copied, NUL added */
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

#endif
