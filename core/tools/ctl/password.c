/* Owns what a person is asked for: passwords, a name, yes or no. From a pipe, the next line of
 * standard input is the answer.
 *
 * Must never happen: a password on the terminal, on a command line or in a message; a terminal that
 * stays silent.
 */
#include "tools/ctl/ctl.h"

#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { KEY_CANCEL = 3, KEY_END = 4, KEY_BACK = 8, KEY_CLEAR = 21, KEY_DELETE = 127 };

/* A line of standard input, without its end. Byte by byte: what follows is for the next question,
 * and no buffer keeps a password. False: it is longer, or standard input has ended. */
static bool line_read(char *ret, size_t max, size_t *ret_len) {
  size_t len = 0;
  unsigned char c;
  for (bool any = false;; any = true) {
    ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && !any) return false;
    if (n <= 0 || c == '\n') break;
    if (len == max) return false;
    ret[len++] = (char)c;
  }
  if (len && ret[len - 1] == '\r') len--;
  *ret_len = len;
  return true;
}

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

bool password_ask(const char *text, char ret[PASSWORD_MAX + 1], size_t *ret_len) {
  bool tty = isatty(STDIN_FILENO);
  bool good = tty ? prompt(text, ret, ret_len) : line_read(ret, PASSWORD_MAX, ret_len);
  if (good) ret[*ret_len] = 0;
  if (good && *ret_len && strlen(ret) == *ret_len) return true;
  if (good)
    ctl_error(*ret_len ? "the password holds a NUL" : "the password is empty");
  else
    ctl_error(tty ? "cancelled"
                  : "there is no password on standard input, or it is longer than %d bytes",
              PASSWORD_MAX);
  return false;
}

bool password_ask_new(char ret[PASSWORD_MAX + 1], size_t *ret_len) {
  char again[PASSWORD_MAX + 1];
  size_t again_len = 0;
  if (!password_ask("password: ", ret, ret_len)) return false;
  if (!isatty(STDIN_FILENO)) return true;
  bool good = password_ask("again: ", again, &again_len);
  if (good && (again_len != *ret_len || memcmp(again, ret, again_len) != 0)) {
    ctl_error("the two passwords are not the same");
    good = false;
  }
  explicit_bzero(again, sizeof again);
  return good;
}

#define GENERATED_LEN 24 /* of 32 letters and digits: 120 bits */

/* Nothing that a shell, an INI file, a URL or a tired eye could take for something else. */
bool password_generate(char ret[PASSWORD_MAX + 1], size_t *ret_len) {
  static const char letters[33] = "abcdefghijkmnpqrstuvwxyz23456789";
  unsigned char random[GENERATED_LEN];
  if (secret_random(random, sizeof random)) {
    ctl_error("the system has no random numbers");
    return false;
  }
  for (size_t i = 0; i < sizeof random; i++) ret[i] = letters[random[i] % 32];
  ret[sizeof random] = 0;
  *ret_len = sizeof random;
  return true;
}

bool line_ask(const char *text, char *ret, size_t size) {
  size_t len = 0;
  if (isatty(STDIN_FILENO)) fputs(text, stderr);
  bool good = line_read(ret, size - 1, &len);
  if (good) ret[len] = 0;
  if (good && len) return true;
  ctl_error("%snothing was said", isatty(STDIN_FILENO) ? "" : "standard input: ");
  return false;
}

int confirm(struct ctl *x, const char *what) {
  char line[16];
  size_t len = 0;
  if (x->args.yes) return CTL_OK;
  if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
    ctl_error("%s: say --yes, since there is no terminal to ask on", x->verb);
    return CTL_USAGE;
  }
  fprintf(stderr, "%s? This cannot be undone. [y/N] ", what);
  if (line_read(line, sizeof line, &len) && len && (*line == 'y' || *line == 'Y')) return CTL_OK;
  fputs("nothing was deleted\n", stderr);
  return CTL_NO;
}

bool yes_ask(const char *question) {
  char line[16];
  size_t len = 0;
  fprintf(stderr, "%s [y/N] ", question);
  return line_read(line, sizeof line, &len) && len && (*line == 'y' || *line == 'Y');
}
