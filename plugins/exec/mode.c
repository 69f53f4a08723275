/* Owns the code that the modes share: workers' lines in the log, with a limit per second. */
#include "mode.h"

#include <stdarg.h>
#include <stdio.h>

#define LINES_A_WINDOW 20
#define LOG_WINDOW_MS  1000

void instance_log(struct instance *in, enum pb_log_level level, const char *fmt, ...) {
  struct log_budget *b = &in->budget;
  uint64_t now = in->plugin->h->now_ms(in->o);
  char text[1600];
  va_list ap;

  if (now - b->window_ms >= LOG_WINDOW_MS) {
    if (b->left_out)
      in->plugin->h->log(in->o, PB_LOG_INFO, "%u more lines of its workers were left out",
                         b->left_out);
    *b = (struct log_budget){.window_ms = now};
  }
  if (b->lines++ >= LINES_A_WINDOW) {
    b->left_out++;
    return;
  }
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  in->plugin->h->log(in->o, level, "%s", text);
}
