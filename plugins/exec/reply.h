/* A worker's answer, or the verdict line of one that ran once: one line, one JSON object. Pure, and
 * restartable only by lines.
 *
 *   {"code":200,"msg":"..."}    {"code":207,"jobs":[...]}    {"code":200,"topics":["q/t"]}
 */
#ifndef PB_EXEC_REPLY_H
#define PB_EXEC_REPLY_H

#include <pepperbus/outcome.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slice {
  char *at; /* into the line; NULL: the member is not there */
  size_t len;
};

struct reply {
  int32_t code;
  struct slice msg;          /* a string's inside, escapes undone; any other value as it stands */
  struct slice error_code;   /* "error_code", the same way */
  struct slice jobs, topics; /* as they stand, brackets and all */
  struct slice trace;        /* "outTraceId": whose answer it is, where the worker says so */
};

/* Reads `line` (without its line feed), and undoes escapes within it. 0; -ENOMSG when it is no
 * JSON object with a whole number as "code": noise, and the line is untouched. */
int reply_parse(char *line, size_t len, struct reply *ret);
/* Whether it says that it answers the request `trace`. */
bool reply_is_of(const struct reply *r, const char *trace);
/* The outcome that it tells: `res` points into the line. `path` is served by who names no topics.
 */
void reply_result(struct reply *r, const char *path, struct pb_result *res);

#endif
