/* Owns the questions to the system about this process and its machine. */
#include "event/memory.h"
#include "metrics/private.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t process_cpu_ms(void) {
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u)) return 0;
  return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
         (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

double process_cpu_percent(struct metrics *m) {
  uint64_t now = loop_now_ms(m->loop), used = process_cpu_ms();
  uint64_t since = m->cpu_at_ms ? m->cpu_at_ms : m->started_ms;
  if (now - since >= SAMPLE_MS) {
    m->cpu_percent = 100.0 * (double)(used - m->cpu_ms) / (double)(now - since);
    m->cpu_at_ms = now;
    m->cpu_ms = used;
  }
  return m->cpu_percent;
}

double process_memory_percent(void) {
  long pages = sysconf(_SC_PHYS_PAGES);
  double all = (double)pages * (double)sysconf(_SC_PAGESIZE);
  return pages > 0 ? 100.0 * (double)memory_resident() / all : 0;
}

double process_load_average(void) {
  double load[1] = {0};
  return getloadavg(load, 1) == 1 ? load[0] : 0;
}
