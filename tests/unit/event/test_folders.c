/* core/event/folders.c: a folder is made with all that are above it. */
#include "tap.h"
#include "event/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path, mode_t mode) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == mode;
}

static void test_missing_ones_are_made(void) {
  size_t len;
  is_int(folders_make("a/b/c", 0700, &len), 0, "a folder below two that are missing");
  ok(is_folder("a", 0700) && is_folder("a/b", 0700) && is_folder("a/b/c", 0700), "all are made");
  is_int(folders_make("a/b", 0750, &len), 0, "a folder that exists");
  ok(is_folder("a/b", 0700), "stays as it is");
  is_int(folders_make("a//d/", 0750, &len), 0, "slashes too many do no harm");
  ok(is_folder("a/d", 0750), "it is made, with its own mode");
}

static void test_the_fault_names_the_folder(void) {
  char path[PATH_MAX + 1];
  size_t len = 0;
  close(open("a/file", O_WRONLY | O_CREAT, 0600));
  is_int(folders_make("a/file/x/y", 0700, &len), -ENOTDIR, "a folder below a file");
  is_int(len, strlen("a/file/x"), "is told as the one that cannot be made");
  memset(path, 'x', sizeof path);
  path[PATH_MAX] = 0;
  is_int(folders_make(path, 0700, &len), -ENAMETOOLONG, "a path that is too long");
  is_int(folders_make("", 0700, &len), -ENOENT, "no path");
}

int main(void) {
  char dir[] = "/tmp/test_folders.XXXXXX";
  umask(0);
  if (!mkdtemp(dir) || chdir(dir)) return 1;
  test_missing_ones_are_made();
  test_the_fault_names_the_folder();
  unlink("a/file");
  rmdir("a/b/c");
  rmdir("a/b");
  rmdir("a/d");
  rmdir("a");
  if (chdir("/") || rmdir(dir)) return 1;
  return done_testing();
}
