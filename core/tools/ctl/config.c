/* Verbs about the configuration: check, show, reload; and passwords for it.
 *
 * Must never happen: a password on the terminal, on a command line or in a message.
 */
#include "tools/ctl/ctl.h"

#include "base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#ifndef PB_SBIN_DIR
#define PB_SBIN_DIR "/usr/sbin"
#endif

#define PASSWORD_MAX 512
enum { KEY_CANCEL = 3, KEY_END = 4, KEY_BACK = 8, KEY_CLEAR = 21, KEY_DELETE = 127 };

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

/* A line from the terminal, key by key: with the echo off and Ctrl-C killing us, the terminal
 * would stay silent. False: cancelled. */
static bool prompt(const char *text, char *ret, size_t *ret_len) {
  struct termios before, quiet;
  bool done = false, good = true;
  size_t len = 0;
  if (tcgetattr(STDIN_FILENO, &before) < 0) return false;
  quiet = before;
  quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
  fputs(text, stderr);
  if (tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) < 0) return false;
  while (!done) {
    unsigned char c = KEY_CANCEL;
    ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || c == KEY_CANCEL || (c == KEY_END && !len)) {
      good = false;
      done = true;
    } else if (c == '\n' || c == '\r' || c == KEY_END) {
      done = true;
    } else if (c == KEY_BACK || c == KEY_DELETE) {
      do {
        if (len) len--;
      } while (len && ((unsigned char)ret[len] & 0xc0) == 0x80); /* a whole character */
    } else if (c == KEY_CLEAR) {
      len = 0;
    } else if (len < PASSWORD_MAX) {
      ret[len++] = (char)c;
    }
  }
  tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
  fputc('\n', stderr);
  *ret_len = len;
  return good;
}

static bool password_read(char *ret, size_t *ret_len) {
  char again[PASSWORD_MAX];
  size_t again_len = 0;
  if (!isatty(STDIN_FILENO)) { /* a line; its end is not part of it */
    size_t len = fread(ret, 1, PASSWORD_MAX, stdin);
    char *end = memchr(ret, '\n', len);
    *ret_len = end ? (size_t)(end - ret) : len;
    if (*ret_len && ret[*ret_len - 1] == '\r') --*ret_len;
    return true;
  }
  bool good = prompt("password: ", ret, ret_len) && prompt("again: ", again, &again_len);
  if (!good)
    ctl_error("cancelled");
  else if (again_len != *ret_len || memcmp(again, ret, again_len) != 0)
    ctl_error("the two passwords are not the same"), good = false;
  explicit_bzero(again, sizeof again);
  return good;
}

#define GENERATED_LEN 24 /* of 32 letters and digits: 120 bits */

/* Nothing that a shell, an INI file, a URL or a tired eye could take for something else. */
static bool password_generate(char *ret, size_t *ret_len) {
  static const char letters[33] = "abcdefghijkmnpqrstuvwxyz23456789";
  unsigned char random[GENERATED_LEN];
  if (secret_random(random, sizeof random)) {
    ctl_error("the system has no random numbers");
    return false;
  }
  for (size_t i = 0; i < sizeof random; i++) ret[i] = letters[random[i] % 32];
  *ret_len = sizeof random;
  return true;
}

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
  bool good = x->args.generate ? password_generate(password, &len) : password_read(password, &len);
  if (good && !len) {
    ctl_error("the password is empty");
    good = false;
  }
  int rc = 0;
  if (good)
    rc = x->args.user ? secret_hash_user(password, len, hash, sizeof hash)
                      : secret_hash(password, len, hash, sizeof hash);
  password[len] = 0;
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
