/* Owns which broker is asked, and with which token.
 *
 * Must never happen: a token on a command line or in a message, or sent to another URL than the one
 * that it belongs to.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"
#include "config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PB_SYSCONF_DIR
#define PB_SYSCONF_DIR "/etc"
#endif

const char *config_file(const struct ctl *x) {
  return x->args.config ? x->args.config : PB_SYSCONF_DIR "/pepperbus/pepperbus.ini";
}

void target_done(struct target *t) {
  explicit_bzero(t->token, sizeof t->token);
  free(t->url);
  free(t->sock);
  free(t->ca_file);
  free(t->people);
  *t = (struct target){.url = NULL};
}

static char *copy_of(const char *text) {
  char *copy = strdup(text);
  if (!copy) out_of_memory();
  return copy;
}

/* The variable, or NULL where it is empty. */
static const char *env(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

/* --- the token --- */

static int token_refused(const char *path, int rc) {
  ctl_error("cannot read the token from %s: %s%s", path, strerror(rc),
            rc == EACCES || rc == EPERM ? "; run this as the user of pepperbusd, or with sudo"
            : rc == ENOENT              ? "; has pepperbusd run with this state_dir yet?"
                                        : "");
  return rc == ENOENT ? CTL_UNREACHABLE : CTL_AUTH;
}

int token_from_file(const char *path, bool own, char ret[TOKEN_MAX]) {
  struct stat st;
  const char *why = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
  if (!f && own && errno == ENOENT) {
    ctl_error("there is no token in %s; pepperbusctl login gets one", path);
    return CTL_AUTH;
  }
  if (!f) return token_refused(path, errno);
  if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
    why = "is not a regular file; the token must be in a regular file";
  else if (own && st.st_uid != geteuid())
    why = "belongs to another user; its token is not used";
  else if (own && (st.st_mode & 077))
    why = "can be read or written by others, so its token is not used; run chmod 600 on it, and "
          "pepperbusctl login again if somebody may have read it";
  char *got = why ? NULL : fgets(ret, TOKEN_MAX, f);
  fclose(f);
  if (got) ret[strcspn(ret, "\r\n")] = 0;
  if (got && *ret) return CTL_OK;
  ctl_error("%s %s", path, why ? why : "is empty; it must contain the token");
  return CTL_AUTH;
}

/* From --token-file, the environment, or the state_dir of the configuration. */
static int token_find(struct ctl *x, const struct settings *s, struct target *to) {
  /* A token of the environment belongs to the URL of the environment, where there is one. */
  const char *given = env("PEPPERBUS_URL") ? NULL : env("PEPPERBUS_TOKEN");
  char *path;
  if (x->args.token_file) return token_from_file(x->args.token_file, false, to->token);
  if (given) {
    snprintf(to->token, sizeof to->token, "%s", given);
    return CTL_OK;
  }
  if (!s) {
    ctl_error(
        "-H needs a token: --token-file FILE, or PEPPERBUS_TOKEN in the environment (it is in "
        "admin.token under the broker's state_dir)");
    return CTL_AUTH;
  }
  if (asprintf(&path, "%s/admin.token", s->server.state_dir) < 0) out_of_memory();
  int code = token_from_file(path, false, to->token);
  free(path);
  return code;
}

/* --- where --- */

/* An address that listens on all interfaces is reached on this machine. */
static const char *reached_as(const char *address, const char **ret_rest) {
  static const struct {
    const char *prefix, *use;
  } any[] = {
      {"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}, {":", "127.0.0.1:"}, {"*:", "127.0.0.1:"}};
  for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
    size_t len = strlen(any[i].prefix);
    if (strncmp(address, any[i].prefix, len) != 0) continue;
    *ret_rest = address + len;
    return any[i].use;
  }
  *ret_rest = address;
  return "";
}

static void target_unix(struct target *t, const char *path) {
  free(t->sock);
  free(t->people);
  t->sock = copy_of(path);
  if (asprintf(&t->people, "unix:%s", path) < 0) out_of_memory();
}

/* http://HOST[:PORT][/BASE] without anything that could hide a password or a question. */
static int target_url(const char *url, struct target *t) {
  const char *host = strstr(url, "://") + 3;
  size_t scheme = (size_t)(host - 3 - url), len = strlen(url), authority = strcspn(host, "/");
  const char *why = NULL;
  if ((scheme != 4 || strncmp(url, "http", 4) != 0) && (scheme != 5 || strncmp(url, "https", 5)))
    why = "begins with http:// or https://";
  else if (memchr(host, '@', authority))
    why = "holds no user and no password";
  else if (!authority || strpbrk(host, "?#\"\\ ") || strlen(host) != strcspn(host, "\r\n\t"))
    why = "is http://HOST[:PORT][/BASE] or https://...";
  if (why) {
    /* What may be a password is not repeated. */
    ctl_error("the URL of a broker %s", why);
    return CTL_USAGE;
  }
  while (len && url[len - 1] == '/') len--;
  if (asprintf(&t->url, "%.*s", (int)len, url) < 0) out_of_memory();
  t->people = copy_of(t->url);
  return CTL_OK;
}

int target_of(struct ctl *x, const char *address, struct target *ret) {
  const char *rest;
  *ret = (struct target){.url = NULL};
  if (x->args.ca_file) ret->ca_file = copy_of(x->args.ca_file);
  if (strncmp(address, "unix:", 5) == 0) {
    target_unix(ret, address + 5);
    ret->url = copy_of("http://localhost");
    return CTL_OK;
  }
  if (strstr(address, "://")) return target_url(address, ret);
  const char *host = reached_as(address, &rest);
  if (asprintf(&ret->people, "%s%s", host, rest) < 0 ||
      asprintf(&ret->url, "http://%s", ret->people) < 0)
    out_of_memory();
  return CTL_OK;
}

static int peek(struct ctl *x, struct settings **ret) {
  const char *file = config_file(x);
  if (access(file, R_OK) < 0) {
    ctl_error("cannot read %s: %s; say -c FILE, or -H HOST:PORT with --token-file", file,
              strerror(errno));
    return CTL_USAGE;
  }
  return settings_peek(file, stderr, ret) ? CTL_USAGE : CTL_OK;
}

/* The broker of the configuration: its socket where it can be used, else its port. */
static int target_local(struct ctl *x, const struct settings *s, struct target *ret) {
  char *sock;
  if (!*s->server.admin) {
    ctl_error("%s has no admin port ([server] admin is empty)", config_file(x));
    return CTL_USAGE;
  }
  int code = target_of(x, s->server.admin, ret);
  ret->local = true;
  if (code || ret->sock) return code;
  if (asprintf(&sock, "%s/admin.sock", s->server.state_dir) < 0) out_of_memory();
  if (access(sock, R_OK | W_OK) == 0) {
    target_unix(ret, sock);
    ret->or_port = true;
  }
  free(sock);
  return CTL_OK;
}

/* -H, -c or the default: with -H the token of the configuration is only used when -c names that
 * configuration. */
static int by_options(struct ctl *x, struct target *ret) {
  struct settings *s = NULL;
  int code = CTL_OK;
  if (!x->args.host || x->args.config) code = peek(x, &s);
  if (code) return code;
  code = x->args.host ? target_of(x, x->args.host, ret) : target_local(x, s, ret);
  if (!code) code = token_find(x, s, ret);
  settings_unref(s);
  return code;
}

static int by_context(struct ctl *x, const char *name, struct target *ret) {
  struct context c;
  int code = context_find(name, &c);
  if (code) return code;
  code = target_of(x, c.url, ret);
  ret->named = true;
  if (!code && !ret->ca_file && c.ca_file) ret->ca_file = copy_of(c.ca_file);
  if (!code)
    code = token_from_file(x->args.token_file ? x->args.token_file : c.token_file,
                           !x->args.token_file, ret->token);
  context_done(&c);
  return code;
}

static int by_environment(struct ctl *x, const char *url, struct target *ret) {
  const char *token = env("PEPPERBUS_TOKEN");
  int code = target_of(x, url, ret);
  if (code) return code;
  if (x->args.token_file) return token_from_file(x->args.token_file, false, ret->token);
  if (token) snprintf(ret->token, sizeof ret->token, "%s", token);
  if (token) return CTL_OK;
  ctl_error("PEPPERBUS_URL needs a token: PEPPERBUS_TOKEN, or --token-file FILE");
  return CTL_AUTH;
}

int target_find(struct ctl *x, struct target *ret) {
  const struct ctl_args *a = &x->args;
  bool options = a->host || a->config;
  const char *context = options ? NULL : a->context ? a->context : env("PEPPERBUS_CONTEXT");
  const char *url = options || context ? NULL : env("PEPPERBUS_URL");
  *ret = (struct target){.url = NULL};
  int code = context ? by_context(x, context, ret)
             : url   ? by_environment(x, url, ret)
                     : by_options(x, ret);
  if (!code && strpbrk(ret->token, "\r\n")) {
    ctl_error("the token holds a line break");
    code = CTL_USAGE;
  }
  if (code) target_done(ret);
  return code;
}
