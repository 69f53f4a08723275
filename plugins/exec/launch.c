/* Owns the words and variables of a topic's command. Secrets go only into the environment. The
 * words are the operator's. %a is replaced only where the operator wrote it.
 */
#include "launch.h"

#include "child.h"
#include "command.h"
#include "common/fault.h"
#include "common/host_port.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PB_HELPER
#define PB_HELPER "/usr/libexec/pepperbus/pepperbus-exec"
#endif

#define ENV_FILE_MAX (64 * 1024)
#define GROUPS_MAX   256
#define HELPER_MARK  "pepperbus-exec: " /* before the helper's own messages */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A list of texts that grows; ends with NULL. */
struct texts {
  char **at;
  size_t n;
  bool failed;
};

struct launch {
  unsigned refs;
  const struct exec_conf *conf; /* the host's: while it is looked up only */
  char **words;                 /* of `entry` */
  char *file;                   /* absolute path of the program */
  char *helper;                 /* NULL: none is needed */
  struct texts argv; /* to spawn: the helper's words, then the program's, or only these */
  struct texts env;
  char *dir;    /* "": the broker's */
  bool exposed; /* everybody can read env_file */
};

static void texts_add(struct texts *t, const char *text) {
  char **at = realloc(t->at, (t->n + 2) * sizeof *at), *copy = strdup(text);

  if (at) t->at = at;
  if (!at || !copy) {
    free(copy);
    t->failed = true;
    return;
  }
  t->at[t->n++] = copy;
  t->at[t->n] = NULL;
}

/* The text, which the caller frees. NULL without memory: the list has failed. */
static PB_PRINTF(2, 0) char *texts_print(struct texts *t, const char *fmt, va_list ap) {
  char *text;

  if (vasprintf(&text, fmt, ap) >= 0) return text;
  t->failed = true;
  return NULL;
}

static PB_PRINTF(2, 3) void texts_addf(struct texts *t, const char *fmt, ...) {
  char *text;
  va_list ap;

  va_start(ap, fmt);
  text = texts_print(t, fmt, ap);
  va_end(ap);
  if (text) texts_add(t, text);
  free(text);
}

/* "NAME=value": replaces an earlier value of that name. */
static void texts_set(struct texts *t, const char *pair) {
  size_t name = strcspn(pair, "=") + 1;

  for (size_t i = 0; i < t->n; i++) {
    if (strncmp(t->at[i], pair, name) != 0) continue;
    char *copy = strdup(pair);

    if (!copy) {
      t->failed = true;
      return;
    }
    free(t->at[i]);
    t->at[i] = copy;
    return;
  }
  texts_add(t, pair);
}

static PB_PRINTF(2, 3) void texts_setf(struct texts *t, const char *fmt, ...) {
  char *text;
  va_list ap;

  va_start(ap, fmt);
  text = texts_print(t, fmt, ap);
  va_end(ap);
  if (text) texts_set(t, text);
  free(text);
}

static void text_free(char *text) {
  explicit_bzero(text, strlen(text)); /* it may be a secret */
  free(text);
}

static void texts_done(struct texts *t) {
  for (size_t i = 0; i < t->n; i++) text_free(t->at[i]);
  free(t->at);
}

/* --- configuration --- */

/* getpwnam() or getgrnam() found nothing and left `code`. Is the name unknown, or could the name
 * not be looked up? */
static bool name_unknown(int code) {
  return code == 0 || code == ENOENT || code == ESRCH || code == EBADF || code == EPERM;
}

/* -ENOENT: what `key` names is not there. */
static int missing(struct pb_err *err, const char *key, const char *what, const char *name) {
  fault(err, key, "there is no %s %.200s on this machine", what, name);
  return -ENOENT;
}

static bool name_ok(const char *pair, size_t n) {
  if (!n || isdigit((unsigned char)pair[0])) return false;
  for (size_t i = 0; i < n; i++)
    if (!isalnum((unsigned char)pair[i]) && pair[i] != '_') return false;
  return true;
}

static bool name_ours(const char *pair) {
  return strncmp(pair, "PEPPERBUS_", 10) == 0 || strncmp(pair, "TRACEPARENT=", 12) == 0;
}

static int umask_value(const char *text) {
  int n = 0;

  for (const char *p = text; *p; p++) {
    if (*p < '0' || *p > '7' || n > 0777) return -1;
    n = n << 3 | (*p - '0');
  }
  return *text && n <= 0777 ? n : -1;
}

int launch_check(const struct exec_conf *conf, struct pb_err *err) {
  uint16_t port;
  char **words;
  int rc = command_split(conf->entry, &words, err);

  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "entry");
    return rc;
  }
  bool relative = strchr(words[0], '/') && words[0][0] != '/';
  command_free(words);
  if (relative)
    return fault(err, "entry",
                 "\"%.200s\" begins with a relative path; give an absolute one, or a "
                 "name alone to look for it in PATH",
                 conf->entry);
  if (*conf->directory && *conf->directory != '/')
    return fault(err, "directory", "\"%.200s\" is a relative path; give an absolute one",
                 conf->directory);
  if (*conf->env_file && *conf->env_file != '/')
    return fault(err, "env_file", "\"%.200s\" is a relative path; give an absolute one",
                 conf->env_file);
  for (const char *const *e = conf->env; e && *e; e++) {
    const char *eq = strchr(*e, '=');

    if (!eq || !name_ok(*e, (size_t)(eq - *e)))
      return fault(err, "env", "\"%.*s\" is no NAME=value; names have letters, digits and _",
                   (int)strcspn(*e, "="), *e);
    if (name_ours(*e))
      return fault(err, "env", "%.*s is set by the broker; choose another name", (int)(eq - *e),
                   *e);
  }
  if (conf->connect && *conf->connect && strncmp(conf->connect, "unix:", 5) != 0 &&
      host_port_split(conf->connect, NULL, 0, &port))
    return fault(err, "connect",
                 "\"%.200s\" is no HOST:PORT; write one of the server's `listen`, such as "
                 "127.0.0.1:12017",
                 conf->connect);
  if (*conf->umask && umask_value(conf->umask) < 0)
    return fault(err, "umask", "\"%.20s\" is no octal number from 000 to 777", conf->umask);
  return 0;
}

/* Of whom may not look, another may: the broker itself tells when it opens the topic. */
int launch_check_names(const struct exec_conf *conf, struct pb_err *err) {
  struct stat st;

  errno = 0;
  if (*conf->user && !getpwnam(conf->user) && name_unknown(errno))
    return missing(err, "user", "user", conf->user);
  errno = 0;
  if (*conf->group && !getgrnam(conf->group) && name_unknown(errno))
    return missing(err, "group", "group", conf->group);
  if (*conf->env_file && stat(conf->env_file, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
    return missing(err, "env_file", "file", conf->env_file);
  if (*conf->env_file && stat(conf->env_file, &st) == 0 && !S_ISREG(st.st_mode))
    return fault(err, "env_file", "cannot read %.200s: it is no plain file", conf->env_file);
  if (*conf->env_file && stat(conf->env_file, &st) < 0 && errno == ELOOP)
    return fault(err, "env_file", "cannot read %.200s: %s", conf->env_file, strerror(errno));
  return 0;
}

/* --- environment --- */

static int add_line(struct launch *l, char *line, unsigned number, struct pb_err *err) {
  const char *file = l->conf->env_file;
  char *eq;

  line += strspn(line, " \t");
  line[strcspn(line, "\r")] = 0;
  if (!*line || *line == '#' || *line == ';') return 0;
  eq = strchr(line, '=');
  if (!eq || !name_ok(line, (size_t)(eq - line))) /* its text may be a secret: not shown */
    return fault(err, "env_file", "%.200s:%u is no NAME=value", file, number);
  if (name_ours(line) && strncmp(line, "PEPPERBUS_PASSWORD=", 19) != 0)
    return fault(err, "env_file", "%.200s:%u: %.*s is set by the broker; choose another name", file,
                 number, (int)(eq - line), line);
  texts_set(&l->env, line);
  return 0;
}

/* NAME=value lines as they stand, without quotes; # and ; begin a comment line. */
static int read_env_file(struct launch *l, struct pb_err *err) {
  const char *file = l->conf->env_file;
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;
  char *text = fd < 0 ? NULL : malloc(ENV_FILE_MAX + 1), *rest, *line;
  struct stat st;
  ssize_t n = -1;

  if (text && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) n = read(fd, text, ENV_FILE_MAX + 1);
  if (n < 0)
    rc = fault(err, "env_file", "cannot read %.200s: %s", file,
               fd >= 0 && text && !S_ISREG(st.st_mode) ? "it is no plain file" : strerror(errno));
  else if (n > ENV_FILE_MAX)
    rc = fault(err, "env_file", "%.200s is larger than %d bytes", file, ENV_FILE_MAX);
  else if (memchr(text, 0, (size_t)n))
    rc = fault(err, "env_file", "%.200s has a NUL in it", file);
  if (rc == 0) {
    unsigned number = 0;

    l->exposed = st.st_mode & S_IROTH;
    text[n] = 0;
    rest = text;
    while (rc == 0 && (line = strsep(&rest, "\n")) != NULL) rc = add_line(l, line, ++number, err);
  }
  if (text) explicit_bzero(text, ENV_FILE_MAX + 1);
  free(text);
  if (fd >= 0) close(fd);
  return rc;
}

static const char *own(const char *name, const char *otherwise) {
  const char *value = getenv(name);

  return value && *value ? value : otherwise;
}

static void add_connection(struct launch *l, const struct pb_topic_info *t, const char *host,
                           const char *port) {
  const char *password = l->conf->pull_password;

  texts_setf(&l->env, "PEPPERBUS_HOST=%s", host);
  texts_setf(&l->env, "PEPPERBUS_PORT=%s", port);
  for (size_t i = 0; i < l->env.n; i++) /* env_file may have it */
    if (!*password && strncmp(l->env.at[i], "PEPPERBUS_PASSWORD=", 19) == 0)
      password = l->env.at[i] + 19;
  if (!*password) return;
  texts_setf(&l->env, "PEPPERBUS_PASSWORD=%s", password);
  texts_setf(&l->env, "REDISCLI_AUTH=%s/%s:%s", t->queue, t->topic, password);
}

static int make_env(struct launch *l, const struct pb_topic_info *t, const struct passwd *pw,
                    struct pb_err *err) {
  texts_setf(&l->env, "PATH=%s", own("PATH", DEFAULT_PATH));
  texts_setf(&l->env, "HOME=%s", pw ? pw->pw_dir : own("HOME", "/"));
  texts_setf(&l->env, "LANG=%s", own("LANG", "C.UTF-8"));
  if (pw) {
    texts_setf(&l->env, "USER=%s", pw->pw_name);
    texts_setf(&l->env, "LOGNAME=%s", pw->pw_name);
  }
  for (const char *const *e = l->conf->env; e && *e; e++) texts_set(&l->env, *e);
  if (*l->conf->env_file) {
    int rc = read_env_file(l, err);

    if (rc < 0) return rc;
  }
  texts_setf(&l->env, "PEPPERBUS_QUEUE=%s", t->queue);
  texts_setf(&l->env, "PEPPERBUS_TOPIC=%s", t->topic);
  texts_setf(&l->env, "PEPPERBUS_TIMEOUT=%" PRIu64, t->timeout_ms); /* workers plan by it */
  return 0;
}

/* --- the program --- */

static const char *env_get(const struct launch *l, const char *name) {
  size_t n = strlen(name);

  for (size_t i = 0; i < l->env.n; i++)
    if (strncmp(l->env.at[i], name, n) == 0 && l->env.at[i][n] == '=') return l->env.at[i] + n + 1;
  return "";
}

static int find_program(struct launch *l, struct pb_err *err) {
  const char *name = l->words[0];

  if (*name == '/') {
    l->file = strdup(name);
    return l->file ? 0 : -ENOMEM;
  }
  for (const char *p = env_get(l, "PATH"); *p;) {
    size_t n = strcspn(p, ":");
    char *file = NULL;
    struct stat st;

    if (n && *p == '/' && asprintf(&file, "%.*s/%s", (int)n, p, name) < 0) return -ENOMEM;
    if (file && stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0) {
      l->file = file;
      return 0;
    }
    free(file);
    p += n + (p[n] == ':');
  }
  return fault(err, "entry", "there is no program %.100s in PATH (%.200s); give its absolute path",
               name, env_get(l, "PATH"));
}

/* The helper runs with the broker's rights. Does it belong to us or to root, and can no one else
 * write to it? */
static bool trusted(const char *file) {
  struct stat st;

  return stat(file, &st) == 0 && S_ISREG(st.st_mode) &&
         (st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & S_IWOTH) &&
         access(file, X_OK) == 0;
}

/* Installed beside nothing, or in the build tree two levels above the plugin. */
static char *find_helper(void) {
  static const char beside[] = "/../../pepperbus-exec";
  Dl_info info;
  char *file;

  if (dladdr((const void *)(uintptr_t)launch_check, &info) && info.dli_fname &&
      strchr(info.dli_fname, '/')) {
    int dir = (int)(strrchr(info.dli_fname, '/') - info.dli_fname);

    if (asprintf(&file, "%.*s%s", dir, info.dli_fname, beside) < 0) return NULL;
    if (trusted(file)) return file;
    free(file);
  }
  return strdup(PB_HELPER);
}

/* --- limits and user --- */

static int find_user(const struct exec_conf *conf, struct passwd **ret_pw, gid_t *ret_gid,
                     struct pb_err *err) {
  struct group *gr;

  *ret_pw = NULL;
  if (*conf->user) {
    *ret_pw = getpwnam(conf->user);
    if (!*ret_pw) return missing(err, "user", "user", conf->user);
    *ret_gid = (*ret_pw)->pw_gid;
  }
  if (*conf->group) {
    gr = getgrnam(conf->group);
    if (!gr) return missing(err, "group", "group", conf->group);
    *ret_gid = gr->gr_gid;
  }
  if ((*conf->user || *conf->group) && geteuid() != 0)
    return fault(err, *conf->user ? "user" : "group",
                 "only a broker that runs as root may change its workers' user and group; leave it "
                 "out, and they run as user %u",
                 (unsigned)geteuid());
  return 0;
}

static void add_user(struct launch *l, const struct passwd *pw, gid_t gid) {
  const struct exec_conf *conf = l->conf;
  gid_t groups[GROUPS_MAX];
  int n = GROUPS_MAX;

  if (!*conf->user && !*conf->group) return;
  texts_addf(&l->argv, "gid=%u", (unsigned)gid);
  if (!pw) {
    texts_add(&l->argv, "groups=");
    return;
  }
  if (getgrouplist(pw->pw_name, gid, groups, &n) < 0) n = GROUPS_MAX;
  char list[GROUPS_MAX * 11 + 1] = "";
  size_t len = 0;
  for (int i = 0; i < n; i++)
    len +=
        (size_t)snprintf(list + len, sizeof list - len, "%s%u", i ? "," : "", (unsigned)groups[i]);
  texts_addf(&l->argv, "groups=%s", list);
  texts_addf(&l->argv, "uid=%u", (unsigned)pw->pw_uid);
}

/* The helper's own words. None: the program is spawned as it is. */
static void add_limits(struct launch *l, const struct passwd *pw, gid_t gid, unsigned flags) {
  const struct exec_conf *c = l->conf;

  if (c->limit_cpu_ms)
    texts_addf(&l->argv, "cpu=%llu", (unsigned long long)(c->limit_cpu_ms + 999) / 1000);
  if (c->limit_memory) texts_addf(&l->argv, "memory=%llu", (unsigned long long)c->limit_memory);
  if (c->limit_file_size)
    texts_addf(&l->argv, "file_size=%llu", (unsigned long long)c->limit_file_size);
  if (c->limit_open_files) texts_addf(&l->argv, "open_files=%lld", (long long)c->limit_open_files);
  if (c->limit_processes) texts_addf(&l->argv, "processes=%lld", (long long)c->limit_processes);
  if (c->nice) texts_addf(&l->argv, "nice=%lld", (long long)c->nice);
  if (*c->umask) texts_addf(&l->argv, "umask=%s", c->umask);
  add_user(l, pw, gid);
  if (flags & LAUNCH_PULL) texts_addf(&l->argv, "parent=%ld", (long)getpid());
}

/* The helper may run as root, and root must not obey all variables of the worker: LD_PRELOAD and
 * others would run code of the worker's user in it. A '+' in front hides these variables. The
 * helper takes the '+' away. */
static void hide_env(struct texts *env) {
  for (size_t i = 0; i < env->n; i++) {
    char *hidden;

    if (asprintf(&hidden, "+%s", env->at[i]) < 0) {
      env->failed = true;
      return;
    }
    text_free(env->at[i]);
    env->at[i] = hidden;
  }
}

static int make_argv(struct launch *l, const struct passwd *pw, gid_t gid, unsigned flags,
                     struct pb_err *err) {
  texts_add(&l->argv, "pepperbus-exec");
  add_limits(l, pw, gid, flags);
  if (l->argv.n > 1) {
    l->helper = find_helper();
    if (!l->helper) return -ENOMEM;
    if (access(l->helper, X_OK) < 0) {
      snprintf(err->text, sizeof err->text,
               "the helper program that sets limits and users is not to be run: %.200s: %s; is the "
               "installation whole?",
               l->helper, strerror(errno));
      return -ENOENT;
    }
    hide_env(&l->env);
    texts_add(&l->argv, "--");
    texts_add(&l->argv, l->file);
  } else {
    free(l->argv.at[--l->argv.n]);
  }
  for (char **w = l->words; *w; w++) texts_add(&l->argv, *w);
  return l->argv.failed ? -ENOMEM : 0;
}

/* --- life --- */

/* Where pull workers find the broker: `connect`, else the first of the server's addresses with a
 * port that is known; of every address (0.0.0.0, [::]) this machine's own. NULL: there is none. */
static char *broker_address(const struct exec_conf *conf, const struct pb_topic_info *topic) {
  char *own = NULL;

  if (!conf->connect) return strdup("");
  if (*conf->connect) return strdup(conf->connect);
  for (const char *const *a = topic->listen; a && *a; a++) {
    const char *colon = strrchr(*a, ':');

    if (strncmp(*a, "unix:", 5) == 0 || !colon || strcmp(colon, ":0") == 0) continue;
    if (strncmp(*a, "0.0.0.0:", 8) == 0)
      return asprintf(&own, "127.0.0.1%s", colon) < 0 ? NULL : own;
    if (strncmp(*a, "[::]:", 5) == 0) return asprintf(&own, "[::1]%s", colon) < 0 ? NULL : own;
    return strdup(*a);
  }
  return NULL;
}

bool launch_listened(const struct exec_conf *conf, const struct pb_topic_info *topic) {
  const char *port = strrchr(conf->connect, ':');

  if (!port || strncmp(conf->connect, "unix:", 5) == 0) return true;
  for (const char *const *a = topic->listen; a && *a; a++) {
    const char *colon = strncmp(*a, "unix:", 5) == 0 ? NULL : strrchr(*a, ':');

    if (colon && (strcmp(colon, port) == 0 || strcmp(colon, ":0") == 0)) return true;
  }
  return false;
}

int launch_check_address(const struct exec_conf *conf, const struct pb_topic_info *topic,
                         struct pb_err *err) {
  char *address = broker_address(conf, topic);

  if (!address)
    return fault(err, "",
                 "connect is missing: none of the server's `listen` is a HOST:PORT with a "
                 "fixed port; write where the workers find the broker");
  free(address);
  return 0;
}

/* "HOST:PORT" to its parts, within `copy`. */
static void split_address(char *copy, const char **ret_host, const char **ret_port) {
  char *colon = strrchr(copy, ':');

  *ret_port = "12017";
  if (colon && strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
    *colon = 0;
    *ret_port = colon + 1;
  }
  if (*copy == '[') {
    copy++;
    copy[strcspn(copy, "]")] = 0;
  }
  *ret_host = copy;
}

int launch_new(const struct pb_topic_info *topic, const struct exec_conf *conf, unsigned flags,
               struct launch **ret, struct pb_err *err) {
  struct launch *l = calloc(1, sizeof *l);
  char *address = broker_address(conf, topic);
  const char *host = "", *port = "";
  struct passwd *pw = NULL;
  gid_t gid = 0;
  int rc = -ENOMEM;

  if (l) l->refs = 1;
  if (l && !address) rc = launch_check_address(conf, topic, err);
  if (!l || !address) goto out;
  l->conf = conf;
  l->dir = strdup(conf->directory);
  if (!l->dir) goto out;
  rc = launch_check(conf, err);
  if (rc == 0) rc = command_split(conf->entry, &l->words, err);
  if (rc == 0) rc = find_user(conf, &pw, &gid, err);
  if (rc == 0) rc = make_env(l, topic, pw, err);
  if (rc == 0 && flags & LAUNCH_PULL) {
    split_address(address, &host, &port);
    add_connection(l, topic, host, port);
    rc = command_fill(l->words,
                      &(struct command_values){.queue = topic->queue,
                                               .topic = topic->topic,
                                               .host = host,
                                               .port = port,
                                               .password = env_get(l, "PEPPERBUS_PASSWORD")},
                      err);
  }
  if (rc == 0) rc = find_program(l, err);
  if (rc == 0) rc = make_argv(l, pw, gid, flags, err);
  if (rc == 0 && l->env.failed) rc = -ENOMEM;
out:
  free(address);
  if (rc < 0) {
    if (!*err->text) fault_memory(err);
    launch_unref(l);
    return rc;
  }
  *ret = l;
  return 0;
}

struct launch *launch_ref(struct launch *l) {
  l->refs++;
  return l;
}

void launch_unref(struct launch *l) {
  if (!l || --l->refs) return;
  command_free(l->words);
  texts_done(&l->argv);
  texts_done(&l->env);
  free(l->file);
  free(l->helper);
  free(l->dir);
  free(l);
}

char **launch_env(const struct launch *l, const char *const extra[]) {
  size_t n = 0, bytes = 0, head;
  char **env, *text;

  for (; extra[n]; n++) bytes += strlen(extra[n]) + 1;
  head = (l->env.n + n + 1) * sizeof *env;
  env = malloc(head + bytes);
  if (!env) return NULL;
  memcpy(env, l->env.at, l->env.n * sizeof *env);
  text = (char *)env + head;
  for (size_t i = 0; i < n; i++) {
    env[l->env.n + i] = text;
    text = stpcpy(text, extra[i]) + 1;
  }
  env[l->env.n + n] = NULL;
  return env;
}

int launch_run(const struct launch *l, char *const env[], const int fds[3], pid_t *ret_pid) {
  return child_spawn(l->helper ? l->helper : l->file, l->argv.at, env, l->dir, fds, ret_pid);
}

/* Would the kernel run this file, which exists and is executable? Without this check, a look would
 * find the file good each time after a start has just failed. A file that cannot be read, and a
 * file that is neither script nor text (ELF, formats of binfmt_misc), is left to the start. */
static int look_inside(const char *file, char *ret_why, size_t size) {
  char head[256];
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head - 1);

  if (fd >= 0) close(fd);
  if (n < 0) return 0;
  head[n] = 0;
  if (n < 2 || head[0] != '#' || head[1] != '!') {
    for (ssize_t i = 0; i < n; i++)
      if ((unsigned char)head[i] < ' ' && !strchr("\t\r\n", head[i])) return 0;
    snprintf(ret_why, size,
             "%.250s: its first line is not #! with an interpreter, such as #!/bin/sh", file);
    return -ENOEXEC;
  }
  char *name = head + 2 + strspn(head + 2, " \t");
  name[strcspn(name, " \t\n")] = 0;
  if (*name != '/' || access(name, X_OK) == 0) return 0;
  int err = errno;
  size_t len = strlen(name);
  bool dos = name[len - 1] == '\r';
  if (dos) name[len - 1] = 0;
  snprintf(ret_why, size, "%.250s: its interpreter %.100s: %s", file, name,
           dos ? "the line ends with a carriage return (saved on Windows?)" : strerror(err));
  return -ENOEXEC;
}

int launch_look(const struct launch *l, char *ret_why, size_t size) {
  const char *dir = l->dir, *what = l->file;
  struct stat st;
  int rc = 0;

  if (stat(l->file, &st) < 0)
    rc = -errno;
  else if (S_ISDIR(st.st_mode))
    rc = -EISDIR;
  else if (!S_ISREG(st.st_mode))
    rc = -EACCES;
  else if (access(l->file, X_OK) < 0)
    rc = -errno;
  else if ((rc = look_inside(l->file, ret_why, size)) < 0)
    return rc;
  if (rc == 0 && *dir && access(dir, X_OK) < 0) {
    rc = -errno;
    what = dir;
  }
  snprintf(ret_why, size, "%.250s: %s", what, strerror(-rc));
  return rc;
}

bool launch_exposed(const struct launch *l) {
  return l->exposed;
}

const char *launch_file(const struct launch *l) {
  return l->file;
}

bool launch_failed(const struct launch *l, int wait_status, const char *err, size_t len) {
  int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
  size_t mark = strlen(HELPER_MARK);

  return l->helper && (code == 126 || code == 127) && len >= mark &&
         memcmp(err, HELPER_MARK, mark) == 0;
}
