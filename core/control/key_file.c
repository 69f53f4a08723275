/* Owns how the cluster's key stands in a file.
 *
 * Must never happen: a key that somebody else could have read or written is used; a file that is
 * there is overwritten; half a key is left after a crash.
 */
#include "control/key_file.h"

#include "base/hex.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_LEN (2 * SEAL_KEY_LEN)

static int refuse(struct pb_err *reterr, int rc, const char *path, const char *what) {
  snprintf(reterr->text, sizeof reterr->text, "%.300s %s", path, what);
  return rc;
}

/* Whose file is it, and who else can read it? */
static int file_check(int fd, const char *path, struct pb_err *reterr) {
  struct stat st;
  if (fstat(fd, &st)) return refuse(reterr, -errno, path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return refuse(reterr, -EPERM, path, "is not a plain file");
  if (st.st_uid != geteuid())
    return refuse(reterr, -EPERM, path,
                  "belongs to another user; it must belong to the user that runs pepperbusd");
  if (st.st_mode & 077)
    return refuse(reterr, -EPERM, path,
                  "can be read or written by other users; run `chmod 600` on it, and make a new "
                  "key if somebody may have read it");
  return 0;
}

/* Exactly the digits, and at most one line end behind them. */
static int key_parse(const char *text, size_t len, unsigned char ret[SEAL_KEY_LEN]) {
  if (len == HEX_LEN + 1 && text[HEX_LEN] == '\n') len--;
  if (len != HEX_LEN) return -EINVAL;
  for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
    int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return -EINVAL;
    ret[i] = (unsigned char)(high << 4 | low);
  }
  return 0;
}

int key_file_read(const char *path, struct seal *ret, struct pb_err *reterr) {
  char text[HEX_LEN + 3];
  unsigned char key[SEAL_KEY_LEN];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno == ELOOP)
    return refuse(reterr, -EPERM, path, "is a symbolic link; put the file itself there");
  if (fd < 0)
    return refuse(reterr, -errno, path, errno == ENOENT ? "does not exist" : strerror(errno));
  int rc = file_check(fd, path, reterr);
  ssize_t n = rc ? 0 : read(fd, text, sizeof text);
  close(fd);
  if (!rc && (n < 0 || key_parse(text, (size_t)n, key)))
    rc = refuse(reterr, -EINVAL, path, "does not hold a key: 64 hexadecimal digits in one line");
  if (!rc && seal_init(ret, key)) rc = refuse(reterr, -EIO, path, "no key can be made of it");
  explicit_bzero(text, sizeof text);
  explicit_bzero(key, sizeof key);
  return rc;
}

/* The directory knows the name after a crash, too. */
static void dir_sync(const char *path) {
  char dir[4096];
  const char *slash = strrchr(path, '/');
  if (!slash || (size_t)(slash - path) >= sizeof dir) return;
  snprintf(dir, sizeof dir, "%.*s", (int)(slash == path ? 1 : slash - path), path);
  int fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

static int text_write(const char *path, const char *text, size_t len) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int rc = fchmod(fd, 0600) ? -errno : 0;
  ssize_t n = rc ? 0 : write(fd, text, len);
  if (!rc && n != (ssize_t)len) rc = n < 0 ? -errno : -ENOSPC;
  if (!rc && fsync(fd)) rc = -errno;
  close(fd);
  return rc;
}

int key_file_make(const char *path, struct seal *ret, struct pb_err *reterr) {
  char temp[4096], token[2 * 8 + 1], text[HEX_LEN + 2];
  if (secret_token(8, token) || secret_token(SEAL_KEY_LEN, text))
    return refuse(reterr, -EIO, path, "cannot be made: there are no random bytes");
  if ((size_t)snprintf(temp, sizeof temp, "%s.%s", path, token) >= sizeof temp)
    return refuse(reterr, -ENAMETOOLONG, path, "has too long a name");
  text[HEX_LEN] = '\n';
  int rc = text_write(temp, text, HEX_LEN + 1);
  explicit_bzero(text, sizeof text);
  if (!rc && link(temp, path)) rc = -errno; /* unlike rename(), it leaves what is there alone */
  (void)unlink(temp);
  if (rc == -EEXIST) return refuse(reterr, rc, path, "is there already");
  if (rc) {
    snprintf(reterr->text, sizeof reterr->text, "%.300s cannot be made: %s", path, strerror(-rc));
    return rc;
  }
  dir_sync(path);
  return key_file_read(path, ret, reterr);
}
