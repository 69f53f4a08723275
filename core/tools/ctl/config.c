/* Verbs about the configuration of the node: check, show, reload; and passwords for it. */
#include "tools/ctl/ctl.h"

#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PB_SBIN_DIR
#define PB_SBIN_DIR "/usr/sbin"
#endif

/* --- check --- */

/* pepperbusd of the same installation or build as this program; the path is tried last. */
static void broker_exec(const char *file) {
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 32);
  if (n > 0) {
    static const char *const near[] = {"/pepperbusd", "/../sbin/pepperbusd", "/../pepperbusd"};
    self[n] = 0;
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof near / sizeof *near; i++) {
      strcpy(slash, near[i]);
      execl(self, "pepperbusd", "-t", "-c", file, (char *)NULL);
    }
  }
  execl(PB_SBIN_DIR "/pepperbusd", "pepperbusd", "-t", "-c", file, (char *)NULL);
  execlp("pepperbusd", "pepperbusd", "-t", "-c", file, (char *)NULL);
  _exit(127);
}

/* Runs pepperbusd's check. *ret_text: its standard output and error together. -1: it could not be
 * run. */
static int broker_check(const char *file, char **ret_text) {
  int fds[2], status = 0;
  size_t len;
  char block[4096];
  *ret_text = NULL;
  FILE *out = open_memstream(ret_text, &len);
  if (!out || pipe(fds) < 0) abort();
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) abort();
  if (pid == 0) {
    dup2(fds[1], STDOUT_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[0]);
    close(fds[1]);
    broker_exec(file);
  }
  close(fds[1]);
  for (ssize_t n; (n = read(fds[0], block, sizeof block)) > 0 || (n < 0 && errno == EINTR);)
    if (n > 0) fwrite(block, 1, (size_t)n, out);
  close(fds[0]);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  fclose(out);
  return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

int verb_config_check(struct ctl *x) {
  char *text;
  if (x->args.n_rest) return shared_check(x);
  const char *file = config_file(x);
  int rc = broker_check(file, &text);
  int code = rc == 0 ? CTL_OK : CTL_USAGE;
  if (rc < 0) {
    ctl_error("pepperbusd, which does the checking, was not found beside pepperbusctl or in PATH");
  } else if (x->args.json) {
    json_t *o = json_object();
    json_object_set_new(o, "config_file", json_string(file));
    json_object_set_new(o, "sound", json_boolean(rc == 0));
    json_object_set_new(o, "output", json_string(text));
    print_json(o, code);
  } else {
    text_print(text, rc ? stderr : stdout);
  }
  free(text);
  return code;
}

/* --- show, reload --- */

int verb_config_show(struct ctl *x) {
  json_t *o;
  if (x->args.n_rest) return shared_show(x, x->args.rest[0]);
  int code = api_get(x, "/api/v1/config", &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  fputs(get_text(o, "config"), stdout);
  json_decref(o);
  return CTL_OK;
}

int verb_config_reload(struct ctl *x) {
  json_t *o;
  int code = api_post(x, "/api/v1/reload", NULL, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  char *warnings = text_plain(get_text(o, "warnings"), true);
  fputs(warnings, stderr);
  printf("reloaded from %s\n", get_text(o, "config_file"));
  char *changes = text_plain(get_text(o, "changes"), true);
  fputs(changes, stdout);
  free(changes);
  free(warnings);
  json_decref(o);
  return CTL_OK;
}

/* --- passwd --- */

static int passwd_print(struct ctl *x, const char *hash, const char *generated) {
  if (x->args.json && generated)
    return print_json(json_pack("{s:s, s:s}", "password", hash, "generated", generated), CTL_OK);
  if (x->args.json) return print_json(json_pack("{s:s}", "password", hash), CTL_OK);
  if (generated) puts(generated);
  puts(hash);
  return CTL_OK;
}

int verb_passwd(struct ctl *x) {
  char password[PASSWORD_MAX + 1], hash[512];
  size_t len = 0;
  bool good =
      x->args.generate ? password_generate(password, &len) : password_ask_new(password, &len);
  int rc = 0;
  if (good)
    rc = x->args.user ? secret_hash_user(password, len, hash, sizeof hash)
                      : secret_hash(password, len, hash, sizeof hash);
  if (!good) {
    rc = CTL_USAGE;
  } else if (rc < 0) {
    ctl_error("cannot hash the password: %s", strerror(-rc));
    rc = CTL_NO;
  } else {
    rc = passwd_print(x, hash, x->args.generate ? password : NULL);
  }
  explicit_bzero(password, sizeof password);
  return rc;
}
