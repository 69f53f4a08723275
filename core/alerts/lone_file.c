/* Owns <state_dir>/alerts.json. See lone_file.h. The file has some 500 bytes an alert and is not
 * synced: what a power failure takes of it is told again. */
#include "alerts/lone_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_NAME "alerts.json"
#define PATH_SIZE 4096

static int path_print(const char *dir, const char *name, char ret[PATH_SIZE]) {
  int n = snprintf(ret, PATH_SIZE, "%s/%s", dir, name);
  return !*dir || n < 0 || n >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

json_t *lone_file_read(const char *state_dir) {
  char path[PATH_SIZE];
  if (path_print(state_dir, FILE_NAME, path)) return NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return NULL;
  json_t *o = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
  close(fd);
  if (json_is_object(o)) return o;
  json_decref(o);
  return NULL;
}

int lone_file_write(const char *state_dir, const json_t *courses) {
  char path[PATH_SIZE], temp[PATH_SIZE];
  int rc = path_print(state_dir, FILE_NAME, path);
  if (rc || (rc = path_print(state_dir, FILE_NAME ".new", temp))) return rc;
  if (!json_object_size(courses)) return unlink(path) && errno != ENOENT ? -errno : 0;
  if (unlink(temp) && errno != ENOENT) return -errno; /* of a life that was killed */
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  errno = EIO;
  if (json_dumpfd(courses, fd, JSON_COMPACT)) rc = -errno;
  close(fd);
  if (!rc && rename(temp, path)) rc = -errno;
  if (rc) (void)unlink(temp);
  return rc;
}
