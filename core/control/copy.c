/* Owns the copy of the shared configuration in state_dir.
 *
 * Must never happen: half a copy, also after a crash of the machine; a copy that somebody else put
 * there.
 */
#include "control/copy.h"

#include "base/out_of_memory.h"
#include "control/revision.h"
#include "event/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "shared.conf"

struct copy {
  struct loop *loop;
  char *dir;
  void (*fn)(void *arg, int rc);
  void *arg;
  pthread_t thread;
  bool writing;
  int rc;
  char *data, *next; /* being written; to be written after it */
  size_t len, next_len;
};

/* --- reading --- */

static int refuse(struct pb_err *reterr, int rc, const char *path, const char *what) {
  snprintf(reterr->text, sizeof reterr->text, "%.300s: %s", path, what);
  return rc;
}

static int file_check(int fd, const char *path, size_t *ret_len, struct pb_err *reterr) {
  struct stat st;
  if (fstat(fd, &st)) return refuse(reterr, -errno, path, strerror(errno));
  if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022)
    return refuse(reterr, -EPERM, path,
                  "must be a plain file of the user that runs pepperbusd, writable by no other");
  if (st.st_size > (off_t)REVISION_MAX) return refuse(reterr, -EFBIG, path, "is too large");
  *ret_len = (size_t)st.st_size;
  return 0;
}

static int file_read(int fd, char *data, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = read(fd, data + at, len - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n ? -errno : -EIO;
    at += (size_t)n;
  }
  return 0;
}

int copy_read(const char *state_dir, char **ret, size_t *ret_len, struct pb_err *reterr) {
  char path[4096];
  size_t len = 0;
  *ret = NULL;
  *ret_len = 0;
  if (!*state_dir) return 0;
  snprintf(path, sizeof path, "%s/" FILE_NAME, state_dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno == ENOENT) return 0;
  if (fd < 0) return refuse(reterr, -errno, path, strerror(errno));
  int rc = file_check(fd, path, &len, reterr);
  char *data = rc ? NULL : malloc(len + 1);
  if (!rc && !data) rc = refuse(reterr, -ENOMEM, path, "out of memory");
  if (!rc && (rc = file_read(fd, data, len))) refuse(reterr, rc, path, strerror(-rc));
  close(fd);
  if (rc) {
    free(data);
    return rc;
  }
  data[len] = 0;
  *ret = data;
  *ret_len = len;
  return 0;
}

/* --- writing --- */

static int data_write(int fd, const char *data, size_t len) {
  for (size_t at = 0; at < len;) {
    ssize_t n = write(fd, data + at, len - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    at += (size_t)n;
  }
  return fsync(fd) ? -errno : 0;
}

static int copy_write(const char *dir, const char *data, size_t len) {
  char path[4096], temp[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/" FILE_NAME, dir) >= sizeof path ||
      (size_t)snprintf(temp, sizeof temp, "%s/" FILE_NAME ".new", dir) >= sizeof temp)
    return -ENAMETOOLONG;
  if (unlink(temp) && errno != ENOENT) return -errno; /* of a life that was killed */
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int rc = data_write(fd, data, len);
  close(fd);
  if (!rc && rename(temp, path)) rc = -errno;
  if (rc) {
    (void)unlink(temp);
    return rc;
  }
  fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  if (fd < 0) return -errno;
  rc = fsync(fd) ? -errno : 0;
  close(fd);
  return rc;
}

static void write_begin(struct copy *c);

static void on_written(void *arg) {
  struct copy *c = arg;
  pthread_join(c->thread, NULL);
  c->writing = false;
  free(c->data);
  c->data = NULL;
  c->fn(c->arg, c->rc);
  if (c->next && !c->writing) write_begin(c);
}

static void *write_run(void *arg) {
  struct copy *c = arg;
  c->rc = copy_write(c->dir, c->data, c->len);
  loop_post(c->loop, on_written, c);
  return NULL;
}

static void write_begin(struct copy *c) {
  sigset_t all, before;
  c->data = c->next;
  c->len = c->next_len;
  c->next = NULL;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  c->writing = !pthread_create(&c->thread, NULL, write_run, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (c->writing) return;
  int rc = copy_write(c->dir, c->data, c->len);
  free(c->data);
  c->data = NULL;
  c->fn(c->arg, rc);
}

struct copy *copy_new(struct loop *loop, const char *state_dir, void (*fn)(void *arg, int rc),
                      void *arg) {
  struct copy *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  *c = (struct copy){.loop = loop, .dir = strdup(state_dir), .fn = fn, .arg = arg};
  if (c->dir) return c;
  free(c);
  return NULL;
}

void copy_save(struct copy *c, const void *data, size_t len) {
  if (!*c->dir) return;
  free(c->next);
  c->next = malloc(len + 1);
  if (!c->next) out_of_memory();
  memcpy(c->next, data, len);
  c->next_len = len;
  if (!c->writing) write_begin(c);
}

void copy_free(struct copy *c) {
  if (!c) return;
  if (c->writing) pthread_join(c->thread, NULL);
  if (c->next) (void)copy_write(c->dir, c->next, c->next_len);
  free(c->data);
  free(c->next);
  free(c->dir);
  free(c);
}
