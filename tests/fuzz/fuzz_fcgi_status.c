/* What stands on a status page of php-fpm, or of whatever answers there. */
#include "plugins/fastcgi/fcgi_status.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_process(void *arg, const struct fcgi_process *p) {
  *(size_t *)arg += strlen(p->script);
  if (!p->requests || !(p->cpu >= 0)) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fcgi_page page = {.total = 12345};
  size_t sum = 0;
  int rc = fcgi_status_parse((const char *)data, size, &page, on_process, &sum);

  if (rc && (rc != -EBADMSG || page.total != 12345 || sum)) __builtin_trap();
  return 0;
}

#ifdef FUZZ_STANDALONE
#include "standalone.h"
#endif
