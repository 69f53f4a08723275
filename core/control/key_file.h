/* The file with the cluster's key: 32 bytes as hex, readable by the broker's user alone. The first
 * node makes it; whoever runs the cluster gives it to the other nodes. */
#ifndef PB_CORE_CONTROL_KEY_FILE_H
#define PB_CORE_CONTROL_KEY_FILE_H

#include "base/seal.h"

#include <pepperbus/abi.h>

/* 0 with *ret (seal_done() later); -ENOENT: there is no such file; -EPERM: others may read or
 * change it, or it is no plain file; -EINVAL: it holds no key; else -errno. `reterr` says what is
 * wrong and what to do. */
int key_file_read(const char *path, struct seal *ret, struct pb_err *reterr);
/* Makes the file with a new key, durably, and reads it. -EEXIST: there is one; nothing was changed.
 */
int key_file_make(const char *path, struct seal *ret, struct pb_err *reterr);

#endif
