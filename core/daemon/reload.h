/* A reload: the files are read on a thread, since that takes time and may wait for a disk, and what
 * has changed is applied a few ms a turn. One at a time; those that are asked for meanwhile are one
 * more, after it.
 */
#ifndef PB_CORE_RELOAD_H
#define PB_CORE_RELOAD_H

struct broker;
struct reload;

struct reload *reload_new(struct broker *b); /* NULL: no memory */
/* Reads the configuration again and applies the difference: fn(arg, 0 or -errno, text) when that is
 * done. `text` says what is wrong, or has warnings, a line each; on failure nothing has changed.
 * The first argument is the struct reload. */
typedef void (*reload_fn)(void *arg, int rc, const char *text);
void reload_ask(void *reload, reload_fn fn, void *arg);
/* Waits for the thread. NULL is fine. */
void reload_free(struct reload *r);

#endif
