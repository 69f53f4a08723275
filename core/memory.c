/* Owns the allocator's settings, and the looking after whether the process has much that it does
 * not use. free() keeps what lies between living pieces, in the hope that it is wanted again; after
 * a storm that may be a gigabyte for ever.
 */
#include "memory.h"

#include "loop.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS 3000
#define MUCH    (16u << 20) /* of free memory, at two looks, that is not free for a moment only */

struct memory {
  struct loop *loop;
  struct timer timer;
  size_t resident; /* after the last time that memory was given back */
  bool seen;       /* much was free at the last look */
};

/* Large jobs and requests each get a mapping of their own, and give it back when they are freed.
 * glibc would learn from the first one freed to take those that follow from the heap, where small
 * ones behind them keep their place for good. Below that nothing is given back in a hurry. */
void memory_setup(void) {
#ifdef M_MMAP_THRESHOLD
  mallopt(M_MMAP_THRESHOLD, 4 << 20); /* 1 MB would cost a fast drain of small jobs a tenth */
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

static size_t resident_now(void) {
  char text[128];
  unsigned long pages = 0;
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  return sscanf(text, "%*u %lu", &pages) == 1 ? pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* To ask the allocator is dear where it has many pieces: only when the process has grown. */
static void on_look(void *arg) {
  struct memory *m = arg;
  size_t resident = resident_now();
  timer_start(&m->timer, LOOK_MS);
  if (!m->resident || resident < m->resident) m->resident = resident;
  if (resident < m->resident + MUCH || mallinfo2().fordblks < MUCH) {
    m->seen = false;
    return;
  }
  if (m->seen) {
    malloc_trim(1 << 20);
    m->resident = resident_now();
  }
  m->seen = !m->seen;
}

struct memory *memory_new(struct loop *loop) {
  struct memory *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->loop = loop;
  timer_init(&m->timer, loop, on_look, m);
  timer_start(&m->timer, LOOK_MS);
  return m;
}

void memory_free(struct memory *m) {
  if (!m) return;
  timer_done(&m->timer);
  free(m);
}
