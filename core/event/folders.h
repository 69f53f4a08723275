/* Makes folders. */
#ifndef PB_CORE_FOLDERS_H
#define PB_CORE_FOLDERS_H

#include <stddef.h>
#include <sys/types.h>

/* Makes `path` and each folder above it that is missing, with `mode`. A folder that exists stays as
 * it is. -errno: the first `*reterr_len` bytes of `path` name the folder that cannot be made. */
int folders_make(const char *path, mode_t mode, size_t *reterr_len);

#endif
