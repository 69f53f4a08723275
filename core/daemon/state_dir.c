/* Owns state_dir and its lock.
 *
 * Must never happen: two brokers in one state_dir.
 */
#include "daemon/state_dir.h"

#include "base/log.h"
#include "event/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int state_dir_make(const char *dir, struct log *log) {
  size_t len;
  int rc = folders_make(dir, 0750, &len);
  if (rc) {
    log_error(log, NULL, "state_dir %.*s cannot be made: %s", (int)len, dir, strerror(-rc));
    return rc;
  }
  if (access(dir, W_OK | X_OK)) {
    rc = -errno;
    log_error(log, NULL, "state_dir %s: %s; this user must be able to write there", dir,
              strerror(-rc));
  }
  return rc;
}

/* A broker that was killed a moment ago may still hold the lock: try a few times, 50 ms apart. */
enum { STATE_LOCK_TRIES = 40 };

/* Two brokers in one state_dir would share its redis-server, and the first to stop would end it.
 * The kernel releases the lock however the broker ends. */
static int state_dir_lock(const char *dir, struct log *log, int *ret_fd) {
  char path[4096], pid[24] = "";
  snprintf(path, sizeof path, "%s/pepperbusd.lock", dir);
  struct stat st;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
    log_error(log, NULL, "cannot start: %s is not a regular file; remove it", path);
    close(fd);
    return -EINVAL;
  }
  if (fd < 0) {
    log_error(log, NULL, "cannot open %s: %s; this user must be able to write there", path,
              strerror(errno));
    return -errno;
  }
  int rc = flock(fd, LOCK_EX | LOCK_NB);
  for (int i = 0; rc && errno == EWOULDBLOCK && i < STATE_LOCK_TRIES; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    rc = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (!rc) {
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
      log_warning(log, NULL, "cannot write our pid into %s: %s; going on", path, strerror(errno));
    *ret_fd = fd;
    return 0;
  }
  if (errno != EWOULDBLOCK) { /* a file system without locks */
    log_warning(
        log, NULL,
        "cannot lock %s: %s; going on: make sure that no other pepperbusd uses this state_dir",
        path, strerror(errno));
    *ret_fd = fd;
    return 0;
  }
  if (pread(fd, pid, sizeof pid - 1, 0) < 0) pid[0] = 0;
  pid[strcspn(pid, "\n")] = 0;
  close(fd);
  log_error(log, NULL,
            "cannot start: another pepperbusd (pid %s) runs in state_dir %s; stop it, or give this "
            "one another state_dir, node, listen and admin",
            *pid ? pid : "unknown", dir);
  return -EWOULDBLOCK;
}

int state_dir_take(const char *dir, struct log *log, int *ret_fd) {
  if (!*dir) return 0;
  int rc = state_dir_make(dir, log);
  return rc ? rc : state_dir_lock(dir, log, ret_fd);
}
