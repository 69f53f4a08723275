/* A reload: the files are read on a thread, since that takes time and may wait for a disk, and what
 * has changed is applied a few ms a turn. One at a time; those that are asked for meanwhile are one
 * more, after it.
 */
#ifndef PB_CORE_RELOAD_H
#define PB_CORE_RELOAD_H

struct broker;
struct reload;

struct reload *reload_new(struct broker *b); /* NULL: no memory */
/* Waits for the thread. NULL is fine. */
void reload_free(struct reload *r);

#endif
