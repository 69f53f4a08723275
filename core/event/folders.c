#include "event/folders.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int folders_make(const char *path, mode_t mode, size_t *reterr_len) {
  char part[PATH_MAX];
  size_t len = strlen(path);

  *reterr_len = len;
  if (!len) return -ENOENT;
  if (len >= sizeof part) return -ENAMETOOLONG;
  memcpy(part, path, len + 1);
  for (size_t i = 1; i <= len; i++) {
    if (i < len && part[i] != '/') continue;
    part[i] = 0;
    if (mkdir(part, mode) && errno != EEXIST) {
      *reterr_len = i;
      return -errno;
    }
    part[i] = path[i];
  }
  return 0;
}
