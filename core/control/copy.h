/* state_dir/shared.conf: the newest revision that this node ran, as stored. With it the node starts
 * and runs while Redis is away, and notices a storage that lost revisions. */
#ifndef PB_CORE_CONTROL_COPY_H
#define PB_CORE_CONTROL_COPY_H

#include <pepperbus/abi.h>
#include <stddef.h>

struct copy;
struct loop;

/* 0 with *ret (to be freed), also without a copy: then *ret is NULL. -errno with `reterr`: there is
 * one that cannot or must not be read. */
int copy_read(const char *state_dir, char **ret, size_t *ret_len, struct pb_err *reterr);

/* Writes on a thread, durably, one after the other. Of several asked for at once only the last one
 * is written. `fn` hears how each write ended (0 or -errno). NULL: no memory. */
struct copy *copy_new(struct loop *loop, const char *state_dir, void (*fn)(void *arg, int rc),
                      void *arg);
void copy_save(struct copy *c, const void *data, size_t len);
/* After the loop's last turn. Waits for what is being written, and writes what waits. NULL is fine.
 */
void copy_free(struct copy *c);

#endif
