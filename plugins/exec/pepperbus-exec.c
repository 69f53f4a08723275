/* pepperbus-exec SETTING=VALUE... -- FILE ARGV0 [ARGUMENT...]
 *
 * What posix_spawn() cannot do, done between the broker and a worker: resource limits, user and
 * groups, niceness, umask, and the wish to end with the broker. Then it becomes FILE. The exec
 * transport starts it where a topic asks for such things; it is of no use to people, and needs no
 * rights of its own (it is not setuid).
 *
 * No secret is among its words: those are in the environment, which passes through. FILE's
 * variables stand there behind a '+', so that none of them is obeyed by this program's own loader
 * and C library while it is root. Exit code 127 (FILE is not there) or 126 (anything else), with
 * one line that begins with its name.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 256

/* Everything that is asked for, before anything is done: the order is ours. */
struct wishes {
  struct {
    int resource;
    rlim_t value;
  } limits[8];
  int limit_n;
  int nice, has_umask, has_uid, has_gid, has_groups;
  mode_t umask;
  uid_t uid;
  gid_t gid, groups[GROUPS_MAX];
  size_t group_n;
  pid_t parent;
};

static void die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
static void die(int status, const char *fmt, ...) {
  va_list ap;

  fputs("pepperbus-exec: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  exit(status);
}

static unsigned long long number(const char *name, const char *text, int base) {
  char *end;
  unsigned long long n;

  errno = 0;
  n = strtoull(text, &end, base);
  if (errno || end == text || *end || *text == '-') die(126, "%s=%s is no number", name, text);
  return n;
}

static int resource(const char *name) {
  static const struct {
    const char *name;
    int resource;
  } table[] = {
      {"cpu", RLIMIT_CPU},           {"memory", RLIMIT_AS},       {"file_size", RLIMIT_FSIZE},
      {"open_files", RLIMIT_NOFILE}, {"processes", RLIMIT_NPROC},
  };

  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(name, table[i].name) == 0) return table[i].resource;
  return -1;
}

static void take_groups(struct wishes *w, char *list) {
  char *one;

  w->has_groups = 1;
  while ((one = strsep(&list, ",")) != NULL) {
    if (!*one) continue;
    if (w->group_n == GROUPS_MAX) die(126, "more than %d groups", GROUPS_MAX);
    w->groups[w->group_n++] = (gid_t)number("groups", one, 10);
  }
}

static void take(struct wishes *w, char *word) {
  char *value = strchr(word, '=');

  if (!value) die(126, "%s is no SETTING=VALUE", word);
  *value++ = 0;
  if (resource(word) >= 0) {
    if (w->limit_n == 8) die(126, "too many limits");
    w->limits[w->limit_n].resource = resource(word);
    w->limits[w->limit_n++].value = (rlim_t)number(word, value, 10);
  } else if (strcmp(word, "nice") == 0) {
    w->nice = *value == '-' ? -(int)number(word, value + 1, 10) : (int)number(word, value, 10);
  } else if (strcmp(word, "umask") == 0) {
    w->has_umask = 1;
    w->umask = (mode_t)number(word, value, 8) & 0777;
  } else if (strcmp(word, "uid") == 0) {
    w->has_uid = 1;
    w->uid = (uid_t)number(word, value, 10);
  } else if (strcmp(word, "gid") == 0) {
    w->has_gid = 1;
    w->gid = (gid_t)number(word, value, 10);
  } else if (strcmp(word, "groups") == 0) {
    take_groups(w, value);
  } else if (strcmp(word, "parent") == 0) {
    w->parent = (pid_t)number(word, value, 10);
  } else {
    die(126, "unknown setting %s", word);
  }
}

static void set_limit(int what, rlim_t value) {
  struct rlimit limit = {value, value}, old;

  /* CPU time: a signal that can be handled at the limit, the end two seconds later. */
  if (what == RLIMIT_CPU) limit.rlim_max = value + 2;
  if (getrlimit(what, &old) == 0 && geteuid() != 0 && old.rlim_max != RLIM_INFINITY) {
    if (limit.rlim_cur > old.rlim_max) limit.rlim_cur = old.rlim_max;
    if (limit.rlim_max > old.rlim_max) limit.rlim_max = old.rlim_max;
  }
  if (setrlimit(what, &limit) < 0) die(126, "cannot set a resource limit: %s", strerror(errno));
}

int main(int argc, char **argv) {
  struct wishes w = {0};
  int at = 1;

  for (; at < argc && strcmp(argv[at], "--") != 0; at++) take(&w, argv[at]);
  if (at + 2 >= argc) {
    fputs("pepperbus-exec is the exec transport's helper; it is not for people.\n"
          "usage: pepperbus-exec SETTING=VALUE... -- FILE ARGV0 [ARGUMENT...]\n",
          stderr);
    return 126;
  }
  set_limit(RLIMIT_CORE, 0);
  for (int i = 0; i < w.limit_n; i++) set_limit(w.limits[i].resource, w.limits[i].value);
  if (w.nice && setpriority(PRIO_PROCESS, 0, w.nice) < 0)
    die(126, "cannot set nice = %d: %s", w.nice, strerror(errno));
  if (w.has_umask) umask(w.umask);
  if (w.has_groups && setgroups(w.group_n, w.groups) < 0)
    die(126, "cannot set groups: %s", strerror(errno));
  if (w.has_gid && setgid(w.gid) < 0)
    die(126, "cannot become group %u: %s", (unsigned)w.gid, strerror(errno));
  if (w.has_uid && setuid(w.uid) < 0)
    die(126, "cannot become user %u: %s", (unsigned)w.uid, strerror(errno));
  if (w.parent) {
    /* Behind setuid(), which forgets it. If the broker died before, nobody will tell. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0) die(126, "prctl: %s", strerror(errno));
    if (getppid() != w.parent) die(126, "the broker is gone");
  }
  for (char **e = environ; *e; e++)
    if (**e == '+') ++*e;
  execv(argv[at + 1], argv + at + 2);
  die(errno == ENOENT || errno == ENOTDIR ? 127 : 126, "cannot run %s: %s", argv[at + 1],
      strerror(errno));
}
