/* The host of pepperbus-plugin-check, reporting in lines of TAP. HOST_LOG=1 in the environment
 * shows what the plugin logs.
 */
#ifndef PB_TESTS_TAP_HOST_H
#define PB_TESTS_TAP_HOST_H

#include "tools/plugin_check/host.h"

#include "../tap.h"

#include <stdlib.h>

static inline void tap_host_fault(void *arg, const char *sentence) {
  (void)arg;
  diag("it %s", sentence);
}

static inline void tap_host_log(void *arg, const char *owner, enum pb_log_level level,
                                const char *text) {
  (void)arg;
  if (getenv("HOST_LOG")) diag("log %d %s: %s", level, owner, text);
}

static inline void tap_host_verdict(void *arg, const char *what, bool good, const char *figures) {
  (void)arg;
  if (!ok(good, "%s: tickets completed once, no descriptor and no timer left", what))
    diag("%s", figures);
}

static inline struct host *tap_host(const struct pb_transport *t, enum host_clock clock) {
  static const struct host_watch watch = {
      .fault = tap_host_fault, .log = tap_host_log, .verdict = tap_host_verdict};
  struct pb_err err = {0};
  if (t->magic != PB_MAGIC || t->size != sizeof *t || t->abi_major != PB_ABI_MAJOR)
    bail_out("not a transport descriptor of this version");
  struct host *h = host_new(t, clock, &watch, &err);
  if (!h) bail_out("load: %s", err.text);
  return h;
}

#endif
