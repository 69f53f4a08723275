/* Owns the list of zombies that the last look found. A zombie that no part of the broker knows at
 * two looks in a row is an orphan. At one look it may be a child that a transport's thread started
 * a moment ago and has not reported yet.
 */
#include "daemon/orphans.h"

#include "event/loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 2000
#define SEEN    1024

struct orphans {
  struct loop *loop;
  struct timer timer;
  pid_t seen[SEEN];
  size_t n;
};

/* Is it a zombie, and ours? */
static bool is_zombie(const char *pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char *name_end = strrchr(text, ')'); /* a name may have anything in it */
  char state;
  int parent;
  return name_end && sscanf(name_end + 1, " %c %d", &state, &parent) == 2 && state == 'Z' &&
         parent == getpid();
}

static bool was_seen(const struct orphans *o, pid_t pid) {
  for (size_t i = 0; i < o->n; i++)
    if (o->seen[i] == pid) return true;
  return false;
}

static void look(struct orphans *o) {
  pid_t now[SEEN];
  size_t n = 0;
  struct dirent *e;
  DIR *dir = opendir("/proc");
  if (!dir) return;
  while ((e = readdir(dir)) && n < SEEN) {
    pid_t pid = atoi(e->d_name);
    if (pid <= 0 || !is_zombie(e->d_name) || loop_knows_child(o->loop, pid)) continue;
    if (!was_seen(o, pid) || waitpid(pid, NULL, WNOHANG) <= 0) now[n++] = pid;
  }
  closedir(dir);
  memcpy(o->seen, now, n * sizeof *now);
  o->n = n;
}

static void on_timer(void *arg) {
  struct orphans *o = arg;
  siginfo_t info = {0};
  if (o->n || (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)) look(o);
  timer_start(&o->timer, LOOK_MS);
}

struct orphans *orphans_new(struct loop *loop) {
  int subreaper = 0;
  if (getpid() != 1 && (prctl(PR_GET_CHILD_SUBREAPER, &subreaper) || !subreaper)) return NULL;
  struct orphans *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  o->loop = loop;
  timer_init(&o->timer, loop, on_timer, o);
  timer_start(&o->timer, LOOK_MS);
  return o;
}

void orphans_free(struct orphans *o) {
  if (!o) return;
  timer_done(&o->timer);
  free(o);
}
