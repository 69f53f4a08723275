/* What a client has queued between MULTI and EXEC: commands as they came, one behind the other. */
#ifndef PB_CORE_MULTI_H
#define PB_CORE_MULTI_H

#include "intake/resp.h"

#include <stdbool.h>
#include <stddef.h>

struct multi;

struct multi *multi_new(void); /* NULL: no memory */
void multi_free(struct multi *m);
/* Copies one command. False: no memory. */
bool multi_add(struct multi *m, const struct resp_arg *args, size_t argc);
size_t multi_count(const struct multi *m);
size_t multi_bytes(const struct multi *m);
/* The bytes that one command will take in the queue. */
size_t multi_size(const struct resp_arg *args, size_t argc);
/* One was refused: EXEC is to run none. */
void multi_abort(struct multi *m);
bool multi_aborted(const struct multi *m);
/* Runs through them: the next one, whose arguments are valid until the next call. False: that was
 * the last. No command may be added any more. */
bool multi_next(struct multi *m, const struct resp_arg **ret_args, size_t *ret_argc);

#endif
