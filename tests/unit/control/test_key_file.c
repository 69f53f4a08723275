/* core/control/key_file.c: whose key is used, and when one is made. */
#include "tap.h"
#include "control/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/pb-key-XXXXXX";
static char path[64], other[64];

static void put(const char *file, const char *text, mode_t mode) {
  FILE *f = fopen(file, "w");
  if (!f) bail_out("%s", file);
  fputs(text, f);
  fclose(f);
  if (chmod(file, mode)) bail_out("chmod");
}

static void test_made(void) {
  struct seal a, b;
  struct pb_err err = {.text = ""};
  struct stat st;
  is_int(key_file_read(path, &a, &err), -ENOENT, "there is none");
  like(err.text, path, "and the file is named");
  is_int(key_file_make(path, &a, &err), 0, "made");
  is_int(stat(path, &st), 0, "it is there");
  is_int(st.st_mode & 0777, 0600, "for its owner alone");
  is_int(st.st_size, 65, "64 digits and a line end");
  is_int(key_file_read(path, &b, &err), 0, "read");
  is_mem(&a, sizeof a, &b, sizeof b, "the same key");
  is_int(key_file_make(path, &a, &err), -EEXIST, "never made over another one");
  is_int(key_file_read(path, &a, &err), 0, "which is still there");
  is_mem(&a, sizeof a, &b, sizeof b, "and the same");
  is_int(key_file_make(other, &a, &err), 0, "a second one");
  ok(strcmp(a.id, b.id), "is another one");
}

static void test_unsafe(void) {
  struct seal s;
  struct pb_err err = {.text = ""};
  static const mode_t modes[] = {0640, 0604, 0660, 0644, 0610};
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    chmod(path, modes[i]);
    is_int(key_file_read(path, &s, &err), -EPERM, "mode %o is refused", (unsigned)modes[i]);
  }
  like(err.text, "chmod 600", "and what to do");
  chmod(path, 0400);
  is_int(key_file_read(path, &s, &err), 0, "read-only is fine");
  unlink(other);
  if (symlink(path, other)) bail_out("symlink");
  is_int(key_file_read(other, &s, &err), -EPERM, "a symbolic link is refused");
  unlink(other);
  if (mkfifo(other, 0600)) bail_out("mkfifo");
  is_int(key_file_read(other, &s, &err), -EPERM, "so is a pipe, without waiting for it");
  unlink(other);
  is_int(key_file_read(dir, &s, &err), -EPERM, "and a directory");
}

static void test_content(void) {
  struct seal s;
  struct pb_err err = {.text = ""};
  char good[70], text[140];
  memset(good, 'a', 64);
  good[64] = 0;
  put(other, good, 0600);
  is_int(key_file_read(other, &s, &err), 0, "without a line end");
  snprintf(text, sizeof text, "%s\n\n", good);
  put(other, text, 0600);
  is_int(key_file_read(other, &s, &err), -EINVAL, "two line ends");
  snprintf(text, sizeof text, "%.63sg\n", good);
  put(other, text, 0600);
  is_int(key_file_read(other, &s, &err), -EINVAL, "a letter that is no digit");
  snprintf(text, sizeof text, "%.62s\n", good);
  put(other, text, 0600);
  is_int(key_file_read(other, &s, &err), -EINVAL, "too short");
  put(other, "", 0600);
  is_int(key_file_read(other, &s, &err), -EINVAL, "empty");
  like(err.text, "64 hexadecimal digits", "and what it should hold");
}

int main(void) {
  if (!mkdtemp(dir)) bail_out("mkdtemp");
  snprintf(path, sizeof path, "%s/cluster.key", dir);
  snprintf(other, sizeof other, "%s/other.key", dir);
  test_made();
  test_unsafe();
  test_content();
  unlink(path);
  unlink(other);
  ok(!rmdir(dir), "nothing else is left there");
  return done_testing();
}
