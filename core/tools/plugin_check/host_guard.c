/* Owns the line between host and plugin: each call across it is announced, and each breach of a
 * rule by the plugin is reported. A mistake of the host's caller ends the process.
 */
#include "tools/plugin_check/host_private.h"

#include <stdio.h>

void host_give_up(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fflush(stdout);
  fprintf(stderr, "host: ");
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(1);
}

void *host_must(void *p) {
  if (!p) host_give_up("no memory");
  return p;
}

/* NULL copies as zeros. */
char *host_copy(const char *text, size_t len) {
  char *p = host_must(calloc(1, len + 1));

  if (text && len) memcpy(p, text, len);
  return p;
}

char *host_copy_text(const char *text) {
  return host_copy(text ? text : "", text ? strlen(text) : 0);
}

/* --- the plugin's breaches --- */

PB_PRINTF(2, 3) void host_fault(struct host *h, const char *fmt, ...) {
  char text[512];
  va_list ap;

  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  h->stats.faults++;
  if (h->watch.fault) h->watch.fault(h->watch.arg, text);
}

void host_enter(struct host *h, const char *what) {
  if (h->watch.enter) h->watch.enter(h->watch.arg, what);
}

void host_leave(struct host *h, const char *what) {
  if (h->watch.leave) h->watch.leave(h->watch.arg, what);
}
