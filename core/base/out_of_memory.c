/* Owns the last words of a process without memory. Calls nothing that needs some. */
#include "base/out_of_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text) {
  ssize_t n = write(STDERR_FILENO, text, strlen(text));
  (void)n; /* nobody is left to tell */
}

void out_of_memory(void) {
  say(program_invocation_short_name);
  say(": out of memory\n");
  abort();
}
