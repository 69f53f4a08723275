/* A reload. A thread reads the files, because that takes time and may wait for a disk. The loop
 * applies the changes, a few ms per turn. One reload runs at a time. All reloads that are asked for
 * meanwhile become one, which runs afterwards.
 */
#ifndef PB_CORE_RELOAD_H
#define PB_CORE_RELOAD_H

struct broker;
struct control_text;
struct reload;

struct reload *reload_new(struct broker *b); /* NULL: no memory */
/* Reads the configuration again and applies the changes. Then it calls fn(arg, 0 or -errno, text).
 * `text` holds the faults or warnings, one per line. On failure nothing has changed. The first
 * argument is the struct reload. */
typedef void (*reload_fn)(void *arg, int rc, const char *text);
void reload_ask(void *reload, reload_fn fn, void *arg);
/* The same with this text as the shared configuration; a reference is kept until fn was called. */
void reload_run(struct reload *r, struct control_text *text, reload_fn fn, void *arg);
/* Only looks whether that could be done. */
void reload_check(struct reload *r, struct control_text *text, reload_fn fn, void *arg);
/* Waits for the thread. NULL is fine. */
void reload_free(struct reload *r);

#endif
