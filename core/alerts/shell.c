/* Owns the processes of alerts. See shell.h. */
#include "alerts/shell.h"

#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERROR_MAX 160
#define OWN_ENV   3

extern char **environ;

struct shell {
  struct loop *loop;
  struct timer limit;
  pid_t pid;
  bool late;
  shell_fn fn;
  void *arg;
};

static void shell_free(struct shell *c) {
  timer_done(&c->limit);
  loop_free_later(c->loop, c);
}

static void on_end(pid_t pid, int status, void *arg) {
  struct shell *c = arg;
  char error[ERROR_MAX] = "";
  (void)pid;
  if (c->late)
    snprintf(error, sizeof error, "the command took too long and was killed");
  else if (WIFSIGNALED(status))
    snprintf(error, sizeof error, "the command was ended by signal %d", WTERMSIG(status));
  else if (WEXITSTATUS(status))
    snprintf(error, sizeof error, "the command ended with exit status %d", WEXITSTATUS(status));
  c->fn(c->arg, *error ? error : NULL);
  shell_free(c);
}

static void on_late(void *arg) {
  struct shell *c = arg;
  c->late = true;
  kill(-c->pid, SIGKILL);
}

/* The broker's, without what its service manager gave to it alone, and the alert's. */
static char **environment_make(const struct shell_request *r) {
  const char *const names[OWN_ENV] = {"PEPPERBUS_ALERT", "PEPPERBUS_INCIDENT", "PEPPERBUS_STATE"};
  const char *const values[OWN_ENV] = {r->alert, r->incident, r->state};
  size_t n = 0, kept = 0;
  while (environ[n]) n++;
  char **env = calloc(n + OWN_ENV + 1, sizeof *env);
  if (!env) out_of_memory();
  for (size_t i = 0; i < OWN_ENV; i++)
    if (asprintf(&env[kept++], "%s=%s", names[i], values[i]) < 0) out_of_memory();
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0) env[kept++] = environ[i];
  return env;
}

static void environment_free(char **env) {
  for (size_t i = 0; i < OWN_ENV; i++) free(env[i]);
  free(env);
}

static int spawn(const struct shell_request *r, int in, pid_t *ret) {
  char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)r->line, NULL};
  char **env = environment_make(r);
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t attr;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_adddup2(&fa, in, 0);
  posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&fa, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&fa, 3);
  posix_spawnattr_init(&attr);
  posix_spawnattr_setflags(&attr,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attr, 0);
  posix_spawnattr_setsigmask(&attr, &none);
  posix_spawnattr_setsigdefault(&attr, &all);
  int rc = posix_spawn(ret, argv[0], &fa, &attr, argv, env);
  posix_spawnattr_destroy(&attr);
  posix_spawn_file_actions_destroy(&fa);
  environment_free(env);
  return -rc;
}

int shell_run(struct loop *loop, const struct shell_request *r, shell_fn fn, void *arg,
              struct shell **ret) {
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC)) return -errno;
  fcntl(pipes[1], F_SETFL, O_NONBLOCK);
  ssize_t n = write(pipes[1], r->body, r->len);
  int rc = n == (ssize_t)r->len ? 0 : n < 0 ? -errno : -EMSGSIZE;
  struct shell *c = calloc(1, sizeof *c);
  if (!c) out_of_memory();
  *c = (struct shell){.loop = loop, .fn = fn, .arg = arg};
  if (!rc) rc = spawn(r, pipes[0], &c->pid);
  close(pipes[0]);
  close(pipes[1]);
  if (rc) {
    free(c);
    return rc;
  }
  timer_init(&c->limit, loop, on_late, c);
  timer_start(&c->limit, r->timeout_ms);
  loop_on_child(loop, c->pid, on_end, c);
  *ret = c;
  return 0;
}

void shell_cancel(struct shell *c) {
  kill(-c->pid, SIGKILL);
  loop_forget_child(c->loop, c->pid);
  shell_free(c);
}
