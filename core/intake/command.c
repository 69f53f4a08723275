/* Owns what every command does with its arguments and its reply. */
#include "intake/command.h"

#include "intake/resp.h"

#include <string.h>
#include <strings.h>

bool arg_is(const struct resp_arg *a, const char *word) {
  return a->len == strlen(word) && !strncasecmp(a->text, word, a->len);
}

bool arg_integer(const struct resp_arg *a, int64_t min, int64_t max, int64_t *ret) {
  bool minus = a->len && *a->text == '-';
  size_t i = minus;
  uint64_t v = 0;
  if (i == a->len || a->len > 20) return false;
  for (; i < a->len; i++) {
    if (a->text[i] < '0' || a->text[i] > '9') return false;
    if (__builtin_mul_overflow(v, 10, &v) ||
        __builtin_add_overflow(v, (uint64_t)(a->text[i] - '0'), &v))
      return false;
  }
  if (v > INT64_MAX) return false;
  int64_t n = minus ? -(int64_t)v : (int64_t)v;
  if (n < min || n > max) return false;
  *ret = n;
  return true;
}

const char *arg_shown(const struct resp_arg *a, char *ret) {
  size_t n = a->len < ARG_SHOWN_MAX ? a->len : ARG_SHOWN_MAX;
  for (size_t i = 0; i < n; i++) ret[i] = a->text[i] >= ' ' && a->text[i] < 0x7f ? a->text[i] : '?';
  ret[n] = 0;
  return ret;
}

void command_error(struct command_call *c, const char *text) {
  resp_error(&c->reply->out, text);
  reply_done(c->reply);
}

void command_status(struct command_call *c, const char *text) {
  resp_status(&c->reply->out, text);
  reply_done(c->reply);
}
