/* Splits a command line into words. Pure: no shell, no variables, no look at files. */
#ifndef PB_EXEC_COMMAND_H
#define PB_EXEC_COMMAND_H

#include <pepperbus/transport.h>
#include <stdbool.h>

/* Blanks part words; '...' keeps all, "..." keeps all but \" and \\, and a backslash outside of
 * quotes keeps the next character. 0, or -EINVAL with err->text, or -ENOMEM. */
int command_split(const char *line, char ***ret_words, struct pb_err *err);
void command_free(char **words); /* NULL is fine */

/* The values of %q, %t, %h, %p and %a; %% is a percent sign. */
struct command_values {
  const char *queue, *topic, *host, *port, *password;
};
/* Replaces them within the words, after the splitting: a value with blanks stays one word. */
int command_fill(char **words, const struct command_values *v, struct pb_err *err);
/* Does `line` ask for the password (%a)? */
bool command_shows_password(const char *line);

#endif
