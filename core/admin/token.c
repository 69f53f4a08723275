/* Owns the token of the admin port: how it is kept in state_dir, and how it is made.
 *
 * Must never happen: the token in a log line or in an answer, or in a file that others can read.
 */
#include "admin/private.h"

#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool token_is_sound(const char *token, size_t len) {
  return len == 2 * ADMIN_TOKEN_BYTES && strspn(token, "0123456789abcdef") >= len;
}

/* Keeps the token of an earlier run, so that scripts that have it go on working. */
static int token_read(struct admin *a, const char *path) {
  char text[2 * ADMIN_TOKEN_BYTES + 8] = "";
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return -errno;
  int rc = -EINVAL;
  if (fstat(fd, &st) < 0) {
    rc = -errno;
  } else if (S_ISREG(st.st_mode) && !(st.st_mode & 077) && st.st_uid == geteuid()) {
    ssize_t n = read(fd, text, sizeof text - 1);
    size_t len = n > 0 ? strcspn(text, "\r\n") : 0;
    if (token_is_sound(text, len)) {
      memcpy(a->token, text, len);
      a->token[len] = 0;
      rc = 0;
    }
  } else {
    log_warning(a->view->log, "admin",
                "%s can be read or written by others; it is replaced by a new token", path);
  }
  close(fd);
  explicit_bzero(text, sizeof text);
  return rc;
}

static int token_write(struct admin *a, const char *path, const char *temp) {
  int rc = secret_token(ADMIN_TOKEN_BYTES, a->token);
  if (rc < 0) return rc;
  unlink(temp);
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  size_t len = strlen(a->token);
  a->token[len] = '\n';
  ssize_t n = write(fd, a->token, len + 1);
  a->token[len] = 0;
  if (n != (ssize_t)len + 1) rc = n < 0 ? -errno : -ENOSPC;
  if (!rc && fsync(fd) < 0) rc = -errno;
  if (close(fd) < 0 && !rc) rc = -errno;
  if (!rc && rename(temp, path) < 0) rc = -errno;
  if (rc) unlink(temp);
  return rc;
}

int admin_token_get(struct admin *a, struct pb_err *err) {
  const char *dir = a->view->settings->server.state_dir;
  char *path = NULL, *temp = NULL;
  int rc = -ENOMEM;
  if (asprintf(&path, "%s/admin.token", dir) < 0) path = NULL;
  if (asprintf(&temp, "%s/admin.token.new", dir) < 0) temp = NULL;
  if (path && temp) {
    rc = token_read(a, path);
    if (rc < 0) rc = token_write(a, path, temp);
  }
  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "state_dir");
    snprintf(err->text, sizeof err->text, "cannot keep the admin token in %s/admin.token: %s", dir,
             strerror(-rc));
  }
  free(path);
  free(temp);
  return rc;
}

bool call_has_node_token(struct call *c) {
  static const char scheme[] = "Bearer ";
  const char *h = http_head_field(http_request_head(c->req), "Authorization");
  if (!h || strncasecmp(h, scheme, sizeof scheme - 1) != 0) return false;
  h += sizeof scheme - 1;
  h += strspn(h, " ");
  return secret_matches(c->admin->token, h, strlen(h));
}
