/* Owns one redis-server process and its folder. Calls loop and log only.
 *
 * The server has a session of its own, so that Ctrl-C on the terminal reaches only the broker. It
 * has no parent-death signal: when the broker is killed, the server lives on with all acknowledged
 * jobs. The next broker of this folder finds the server on its socket and adopts it.
 */
#include "storage/redis/managed_server.h"

#include "base/backoff.h"
#include "base/log.h"
#include "event/folders.h"
#include "event/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FD        3 /* of the redis-server */
#define SERVER         "redis-server"
#define SERVER_TOO     "valkey-server" /* where there is no redis-server */
#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 10000
#define HEALTHY_MS     10000 /* a server that lived this long may be started again at once */
#define STARTING_MS    10000 /* that it takes to listen, on a slow machine */
#define STOP_WAIT_MS   20000

extern char **environ;

struct managed_server {
  struct loop *loop;
  const char *subject;
  char *binary, *dir, *log_path, *address;
  const char *socket; /* inside address */
  pid_t pid;          /* 0: not running, as far as known */
  bool adopted;
  uint64_t started_ms, backoff_ms;
  char why[320]; /* "" or why the last start failed */
  struct timer again;
};

const char *managed_server_address(const struct managed_server *server) {
  return server->address;
}

/* The pid of the process that listens on the socket, or 0. */
static pid_t server_listening(const struct managed_server *server) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  struct ucred peer;
  socklen_t len = sizeof peer;
  pid_t pid = 0;
  if (strlen(server->socket) >= sizeof sun.sun_path) return 0;
  strcpy(sun.sun_path, server->socket);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return 0;
  if ((!connect(fd, (struct sockaddr *)&sun, sizeof sun) || errno == EAGAIN) &&
      !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
    pid = peer.pid;
  close(fd);
  return pid;
}

static void server_start(void *arg);

static void server_restart(struct managed_server *server) {
  uint64_t wait = server->backoff_ms;
  server->backoff_ms = backoff_next(wait, RESTART_MAX_MS);
  if (!timer_pending(&server->again)) timer_start(&server->again, loop_jitter(server->loop, wait));
}

static void server_ended(pid_t pid, int status, void *arg) {
  struct managed_server *server = arg;
  char how[40];
  if (pid != server->pid) return;
  if (WIFSIGNALED(status))
    snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(status));
  else
    snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
  server->pid = 0;
  if (loop_now_ms(server->loop) - server->started_ms > HEALTHY_MS)
    server->backoff_ms = RESTART_MIN_MS;
  log_error(loop_log(server->loop), server->subject,
            "its redis-server has ended (%s); starting it again; see %s", how, server->log_path);
  server_restart(server);
}

/* Two servers on one folder would ruin it. The lock belongs to the redis-server that inherits it,
 * not to the broker, which may die before the server listens. */
static int server_lock(const struct managed_server *server) {
  char path[4096];
  snprintf(path, sizeof path, "%s/redis.lock", server->dir);
  struct stat st;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd < 0) return -errno;
  if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
    close(fd);
    return -EINVAL;
  }
  /* Above the place it gets in the child, or dup2() would leave it close-on-exec there. */
  int high = fcntl(fd, F_DUPFD_CLOEXEC, LOCK_FD + 1);
  int rc = high < 0 ? -errno : 0;
  close(fd);
  if (rc) return rc;
  if (flock(high, LOCK_EX | LOCK_NB)) {
    rc = -errno;
    close(high);
    return rc;
  }
  return high;
}

static int server_spawn(struct managed_server *server, int lock_fd) {
  /* clang-format off */
  char *argv[] = {server->binary,
                  "--port", "0", "--unixsocket", (char *)server->socket, "--unixsocketperm", "700",
                  "--dir", server->dir, "--appendonly", "yes", "--appendfsync", "everysec",
                  "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no",
                  "--pidfile", "", "--logfile", "", NULL};
  /* clang-format on */
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t attr;
  sigset_t none, all;
  pid_t pid;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&fa, 1, server->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&fa, 1, 2);
  posix_spawn_file_actions_adddup2(&fa, lock_fd, LOCK_FD); /* held for as long as it lives */
  posix_spawn_file_actions_addclosefrom_np(&fa, LOCK_FD + 1);
  posix_spawnattr_init(&attr);
  short flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  if (sched_getscheduler(0) == SCHED_BATCH) { /* by sched_batch.c, and for this thread alone */
    flags |= POSIX_SPAWN_SETSCHEDULER;
    posix_spawnattr_setschedpolicy(&attr, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attr, &(struct sched_param){0});
  }
  posix_spawnattr_setflags(&attr, flags);
  posix_spawnattr_setsigdefault(&attr, &all);
  posix_spawnattr_setsigmask(&attr, &none);
  /* It is opened between fork and exec. There a pipe that nobody reads would block us too. */
  struct stat st;
  int rc = !stat(server->log_path, &st) && !S_ISREG(st.st_mode)
               ? EINVAL
               : posix_spawnp(&pid, argv[0], &fa, &attr, argv, environ);
  if (rc == ENOENT && !strcmp(server->binary, SERVER)) {
    argv[0] = SERVER_TOO;
    rc = posix_spawnp(&pid, argv[0], &fa, &attr, argv, environ);
  }
  posix_spawnattr_destroy(&attr);
  posix_spawn_file_actions_destroy(&fa);
  if (rc) return -rc;
  server->pid = pid;
  server->adopted = false;
  server->started_ms = loop_now_ms(server->loop);
  return loop_on_child(server->loop, pid, server_ended, server);
}

static void server_start(void *arg) {
  struct managed_server *server = arg;
  struct log *log = loop_log(server->loop);
  pid_t pid = server_listening(server);
  server->why[0] = 0;
  if (pid) {
    if (pid != server->pid)
      log_info(log, server->subject, "adopted the redis-server that runs already (pid %d)", pid);
    server->pid = pid;
    server->adopted = true;
    return;
  }
  int lock_fd = server_lock(server);
  if (lock_fd == -EWOULDBLOCK) { /* started by an earlier broker, and not yet listening */
    timer_start(&server->again, RESTART_MIN_MS);
    return;
  }
  int rc = lock_fd < 0 ? lock_fd : server_spawn(server, lock_fd);
  if (lock_fd >= 0) close(lock_fd);
  if (rc) {
    if (lock_fd < 0)
      snprintf(server->why, sizeof server->why, "cannot lock %.200s: %s", server->dir,
               strerror(-rc));
    else
      snprintf(server->why, sizeof server->why, "cannot start %.200s: %s%s", server->binary,
               strerror(-rc),
               rc == -ENOENT ? " (install Redis, or name its program: server_binary)" : "");
    log_error(log, server->subject, "%s; trying again", server->why);
    server_restart(server);
    return;
  }
  log_info(log, server->subject, "started its redis-server (pid %d), data in %s", server->pid,
           server->dir);
}

const char *managed_server_why(const struct managed_server *server) {
  return server->why;
}

bool managed_server_is_starting(const struct managed_server *server) {
  return server->pid && !server->adopted &&
         loop_now_ms(server->loop) - server->started_ms < STARTING_MS;
}

void managed_server_check(struct managed_server *server) {
  if (server->pid && !server->adopted) return; /* its end is reported */
  if (timer_pending(&server->again) || server_listening(server)) return;
  server->pid = 0;
  timer_start(&server->again, 0);
}

struct managed_server *managed_server_new(struct loop *loop, const char *subject,
                                          const char *binary, const char *state_dir,
                                          const char *name) {
  struct managed_server *server = calloc(1, sizeof *server);
  char *base = realpath(state_dir, NULL);
  if (!base) base = strdup(state_dir);
  if (!server || !base) {
    free(server);
    free(base);
    return NULL;
  }
  server->loop = loop;
  server->subject = subject;
  server->backoff_ms = RESTART_MIN_MS;
  server->binary = strdup(binary && *binary ? binary : SERVER);
  if (asprintf(&server->dir, "%s/%s", base, name) < 0) server->dir = NULL;
  free(base);
  if (server->dir && asprintf(&server->log_path, "%s/redis.log", server->dir) < 0)
    server->log_path = NULL;
  if (server->dir && asprintf(&server->address, "unix:%s/redis.sock", server->dir) < 0)
    server->address = NULL;
  timer_init(&server->again, loop, server_start, server);
  if (!server->binary || !server->dir || !server->log_path || !server->address) {
    managed_server_free(server);
    errno = ENOMEM;
    return NULL;
  }
  server->socket = server->address + strlen("unix:");
  size_t failed;
  int rc = folders_make(server->dir, 0700, &failed);
  if (rc)
    log_error(loop_log(loop), subject, "cannot make %s: %s", server->dir, strerror(-rc));
  else if (strlen(server->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
    log_error(loop_log(loop), subject,
              "the path of its socket, %s, is longer than 107 bytes; choose a shorter state_dir",
              server->socket);
  else
    server_start(server);
  return server;
}

/* By pidfd: it may not be our child. */
static void server_stop(struct managed_server *server) {
  struct log *log = loop_log(server->loop);
  int fd = (int)syscall(SYS_pidfd_open, server->pid, 0);
  if (fd < 0) return; /* gone */
  /* An adopted server's pid was looked up. Since then another process may have got this pid. */
  if (server->adopted && server_listening(server) != server->pid) {
    close(fd);
    return;
  }
  struct pollfd p = {.fd = fd, .events = POLLIN};
  kill(server->pid, SIGTERM);
  uint64_t until = loop_clock_ms() + STOP_WAIT_MS;
  int rc;
  do {
    uint64_t now = loop_clock_ms();
    rc = poll(&p, 1, until > now ? (int)(until - now) : 0);
  } while (rc < 0 && errno == EINTR);
  if (rc == 0)
    log_warning(log, server->subject, "its redis-server (pid %d) has not ended in %d s; left alone",
                server->pid, STOP_WAIT_MS / 1000);
  else if (!server->adopted)
    waitpid(server->pid, NULL, 0);
  close(fd);
}

void managed_server_free(struct managed_server *server) {
  if (!server) return;
  timer_done(&server->again);
  if (server->pid) {
    if (!server->adopted) loop_forget_child(server->loop, server->pid);
    server_stop(server);
  }
  free(server->binary);
  free(server->dir);
  free(server->log_path);
  free(server->address);
  free(server);
}
