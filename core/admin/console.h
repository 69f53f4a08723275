/* The console's files, as scripts/build-console made them: found at the start, mapped when they are
 * asked for first, sent in pieces. Only names that were there at the start are known; no path of a
 * request reaches the file system.
 */
#ifndef PB_CORE_ADMIN_CONSOLE_H
#define PB_CORE_ADMIN_CONSOLE_H

#include <stdbool.h>

struct console;
struct log;

/* Reads the names in `dir`. Without index.html there, or without memory, it knows no file. */
struct console *console_new(const char *dir, struct log *log);
void console_free(struct console *c); /* NULL is fine */
/* NULL knows no file. Is `path` ("/", "/assets/index-1a2b.js") a file of the console? Not decoded,
 * no query. */
bool console_has(const struct console *c, const char *path);
bool console_built(const struct console *c);

#endif
