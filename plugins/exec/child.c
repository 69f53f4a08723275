/* Owns no state: functions on processes and descriptors. The one place that spawns.
 *
 * posix_spawn() returns when the child has become the program, after some tenths of a millisecond.
 * The broker's size does not matter: its memory is shared until then, not copied. So the spawner's
 * thread calls it.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int child_spawn(const char *file, char *const argv[], char *const envp[], const char *dir,
                const int fds[3], pid_t *ret_pid) {
  const struct sched_param none = {0};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  sigset_t set;
  short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  int rc;

  posix_spawnattr_init(&attr);
  if (sched_getscheduler(0) == SCHED_BATCH) { /* the broker's, while it is busy; not for workers */
    posix_spawnattr_setschedpolicy(&attr, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attr, &none);
    flags |= POSIX_SPAWN_SETSCHEDULER;
  }
  posix_spawnattr_setflags(&attr, flags);
  posix_spawnattr_setpgroup(&attr, 0);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attr, &set);
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attr, &set);
  rc = posix_spawn_file_actions_init(&actions);
  if (rc == 0) {
    /* The three are above 2 (the broker's own), so that none is overwritten before its turn. */
    for (int i = 0; i < 3 && rc == 0; i++)
      rc = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    if (rc == 0) rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (rc == 0 && *dir) rc = posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (rc == 0) rc = posix_spawn(ret_pid, file, &actions, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
  }
  posix_spawnattr_destroy(&attr);
  return -rc;
}

void child_kill(pid_t pid, int signo) {
  if (pid > 1) kill(-pid, signo);
}

int child_pipe(int fds[2], int ours) {
  if (pipe2(fds, O_CLOEXEC) < 0) return -errno;
  if (fcntl(fds[ours], F_SETFL, O_NONBLOCK) == 0) return 0;
  int error = errno;

  close(fds[0]);
  close(fds[1]);
  return -error;
}

int child_input(const void *data, size_t len) {
  int fd = memfd_create("pepperbus-jobs", MFD_CLOEXEC), error;
  const char *p = data;
  size_t at = 0;

  if (fd < 0) return -errno;
  while (at < len) {
    ssize_t n = pwrite(fd, p + at, len - at, (off_t)at);

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      error = n < 0 ? errno : ENOSPC;
      close(fd);
      return -error;
    }
    at += (size_t)n;
  }
  return fd;
}

void child_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

ssize_t child_read(int fd, char *buf, size_t size) {
  ssize_t n;

  do n = read(fd, buf, size);
  while (n < 0 && errno == EINTR);
  if (n > 0) return n;
  return n < 0 && errno == EAGAIN ? 0 : -1;
}

void child_describe(int wait_status, char *ret, size_t size) {
  int sig = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  const char *name = sig ? sigdescr_np(sig) : NULL;

  if (sig)
    snprintf(ret, size, "was killed by signal %d (%s)", sig, name ? name : "?");
  else
    snprintf(ret, size, "ended with exit code %d", WEXITSTATUS(wait_status));
}
