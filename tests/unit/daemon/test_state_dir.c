/* Who may have a state_dir: it is made, and nobody has it twice. */
#include "daemon/state_dir.h"

#include "base/log.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[4096]; /* by the log */
static int words[2];

static int take(struct log *log, const char *dir, int *ret_fd) {
  int rc = state_dir_take(dir, log, ret_fd);
  ssize_t n = read(words[0], said, sizeof said - 1);
  said[n > 0 ? n : 0] = 0;
  return rc;
}

static void test_one_has_it(struct log *log, const char *dir) {
  char path[200], text[40] = "", want[40];
  int first = -1, second = -1;
  struct stat st;
  is_int(take(log, dir, &first), 0, "a folder that is not there");
  ok(stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && !(st.st_mode & 07), "is made, for no strangers");
  snprintf(path, sizeof path, "%s/pepperbusd.lock", dir);
  FILE *f = fopen(path, "r");
  ok(f && fgets(text, sizeof text, f), "the lock says who has it");
  if (f) fclose(f);
  snprintf(want, sizeof want, "%d\n", (int)getpid());
  is_str(text, want, "by its pid");
  ok(take(log, dir, &second) < 0, "a second broker does not get it");
  like(said, "another pepperbusd (pid ", "the log says why");
  ok(second < 0, "and nothing is open");
  close(first);
  is_int(take(log, dir, &second), 0, "when the first has ended, it does");
  close(second);
}

static void test_others_are_refused(struct log *log, const char *dir) {
  char path[200];
  int fd = -1;
  is_int(take(log, "", &fd), 0, "no state_dir: nothing is taken");
  snprintf(path, sizeof path, "%s/pepperbusd.lock", dir);
  unlink(path);
  mkfifo(path, 0600);
  ok(take(log, dir, &fd) < 0, "a lock that is a pipe");
  like(said, "is not a regular file; remove it", "the log says what to do");
  unlink(path);
  snprintf(path, sizeof path, "%s/file", dir);
  close(open(path, O_WRONLY | O_CREAT, 0600));
  snprintf(path, sizeof path, "%s/file/state", dir);
  ok(take(log, path, &fd) < 0, "a folder below a file");
  like(said, "cannot be made: Not a directory", "the log says why");
  is_int(fd, -1, "nothing is open");
}

int main(void) {
  char top[] = "/tmp/test_state_dir.XXXXXX", dir[100], command[100];
  if (!mkdtemp(top) || pipe(words)) bail_out("%s: %s", top, strerror(errno));
  fcntl(words[0], F_SETFL, O_NONBLOCK);
  struct log *log = log_new(words[1]);
  snprintf(dir, sizeof dir, "%s/a/b", top);
  test_one_has_it(log, dir);
  test_others_are_refused(log, dir);
  log_free(log);
  snprintf(command, sizeof command, "rm -rf %s", top);
  if (system(command)) diag("%s is left behind", top);
  return done_testing();
}
