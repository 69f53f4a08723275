/* core/control/copy.c: whole, the newest, and nobody else's. */
#include "tap.h"
#include "base/log.h"
#include "control/copy.h"
#include "event/loop.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/pb-copy-XXXXXX";
static char path[64];
static struct log *logs;
static struct loop *loop;
static int written, last_rc;

static void on_written(void *arg, int rc) {
  (void)arg;
  written++;
  last_rc = rc;
}

static void wait_for(int n) {
  uint64_t end = loop_clock_ms() + 60000;
  while (written < n && loop_clock_ms() < end) loop_turn(loop, 50);
}

static void is_copy(const char *want, const char *name) {
  char *data = NULL;
  size_t len = 0;
  struct pb_err err = {.text = ""};
  is_int(copy_read(dir, &data, &len, &err), 0, "%s: read", name);
  is_str(data, want, "%s", name);
  free(data);
}

static void test_saved(void) {
  struct stat st;
  loop = loop_new(logs);
  struct copy *c = copy_new(loop, dir, on_written, NULL);
  is_copy(NULL, "no copy yet");
  copy_save(c, "one", 3);
  wait_for(1);
  is_int(last_rc, 0, "written");
  is_copy("one", "the first");
  is_int(stat(path, &st), 0, "the file");
  is_int(st.st_mode & 0777, 0600, "is for its owner alone");
  copy_save(c, "two", 3);
  copy_save(c, "three", 5);
  copy_save(c, "four", 4);
  wait_for(3);
  is_int(written, 3, "of those that wait the last one alone is written");
  is_copy("four", "the newest");
  copy_save(c, "five", 4);
  copy_save(c, "six", 3);
  copy_free(c);
  loop_free(loop);
  is_copy("six", "what waits at the end is written, too");
}

static void test_refused(void) {
  char *data = NULL;
  size_t len = 0;
  struct pb_err err = {.text = ""};
  chmod(path, 0620);
  is_int(copy_read(dir, &data, &len, &err), -EPERM, "writable by the group: refused");
  like(err.text, path, "the file is named");
  chmod(path, 0600);
  char moved[80];
  snprintf(moved, sizeof moved, "%s.moved", path);
  if (rename(path, moved) || symlink(moved, path)) bail_out("symlink");
  is_int(copy_read(dir, &data, &len, &err), -ELOOP, "a symbolic link: refused");
  ok(!data, "and nothing is given");
  unlink(path);
  unlink(moved);
  is_int(copy_read("", &data, &len, &err), 0, "without a state_dir there is none");
}

static void test_failed(void) {
  int was = written;
  loop = loop_new(logs);
  struct copy *c = copy_new(loop, "/nowhere/at/all", on_written, NULL);
  copy_save(c, "x", 1);
  wait_for(was + 1);
  is_int(last_rc, -ENOENT, "a write that fails is told");
  copy_free(c);
  loop_free(loop);
}

int main(void) {
  logs = log_new(2);
  if (!mkdtemp(dir)) bail_out("mkdtemp");
  snprintf(path, sizeof path, "%s/shared.conf", dir);
  test_saved();
  test_refused();
  test_failed();
  ok(!rmdir(dir), "nothing else is left there");
  log_free(logs);
  return done_testing();
}
