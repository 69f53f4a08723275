/* Faults of keys. */
#include "common/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int fault(struct pb_err *err, const char *option, const char *fmt, ...) {
  va_list ap;

  snprintf(err->option, sizeof err->option, "%s", option);
  va_start(ap, fmt);
  vsnprintf(err->text, sizeof err->text, fmt, ap);
  va_end(ap);
  return -EINVAL;
}

int fault_memory(struct pb_err *err) {
  snprintf(err->text, sizeof err->text, "no memory");
  return -ENOMEM;
}
