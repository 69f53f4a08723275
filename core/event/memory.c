/* Owns the allocator's settings, and looks whether the process has much memory that it does not
 * use. free() keeps memory between living blocks for later use. After a storm that may be a
 * gigabyte for ever.
 *
 * Asking the allocator and giving 400 MB back takes up to 0.2 s of CPU time when there are many
 * blocks. Meanwhile every thread that needs new memory waits. So another thread does it, at a time
 * when the process has little else to do.
 */
#include "event/memory.h"

#include "event/loop.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS    3000
#define MUCH       (16u << 20) /* of free memory, at two looks, that is not free for a moment only */
#define QUIET_US   (LOOK_MS * 1000 / 5) /* of CPU time between two looks, at most */
#define PATIENCE   10                   /* looks at which it was not quiet; then all the same */
#define PAUSE_MOST 4                    /* looks after one that found nothing to give back */

struct memory {
  struct loop *loop;
  struct timer timer;
  size_t resident; /* after the last time that memory was given back */
  unsigned seen;   /* looks in a row at which the process was larger than that */
  unsigned pause, paused;
  uint64_t cpu_us;
  bool started; /* the thread is to be joined */
  pthread_t thread;
  atomic_bool done; /* the thread has ended, and ... */
  atomic_bool gave; /* ... there was much to give back */
};

/* Each large job or request gets a mapping of its own, which is given back when it is freed. With
 * its default settings, glibc learns from the first large block that is freed: it takes later ones
 * from the heap, where small blocks behind them keep their place for ever. Smaller memory is given
 * back without hurry. */
void memory_setup(void) {
#ifdef M_MMAP_THRESHOLD
  mallopt(M_MMAP_THRESHOLD, 4 << 20); /* 1 MB would cost a fast drain of small jobs a tenth */
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

size_t memory_resident(void) {
  char text[128];
  unsigned long pages = 0;
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  return sscanf(text, "%*u %lu", &pages) == 1 ? pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t cpu_us(void) {
  struct timespec ts;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Allocates nothing: a thread that allocates gets an arena. */
static void *give_back(void *arg) {
  struct memory *m = arg;
  bool much = mallinfo2().fordblks >= MUCH;
  if (much) malloc_trim(1 << 20);
  atomic_store(&m->gave, much);
  atomic_store(&m->done, true);
  return NULL;
}

static void give_back_start(struct memory *m) {
  sigset_t all, old;
  atomic_store(&m->done, false);
  sigfillset(&all); /* signals belong to the loop's thread */
  pthread_sigmask(SIG_SETMASK, &all, &old);
  m->started = !pthread_create(&m->thread, NULL, give_back, m);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void give_back_end(struct memory *m) {
  pthread_join(m->thread, NULL);
  m->started = false;
  m->seen = 0;
  if (atomic_load(&m->gave)) {
    m->resident = memory_resident();
    m->pause = 0;
  } else {
    m->pause = m->pause ? m->pause * 2 : 1;
    if (m->pause > PAUSE_MOST) m->pause = PAUSE_MOST;
  }
  m->paused = m->pause;
}

/* Only when the process has grown. */
static void on_look(void *arg) {
  struct memory *m = arg;
  uint64_t cpu = cpu_us();
  bool quiet = cpu - m->cpu_us < QUIET_US;
  timer_start(&m->timer, LOOK_MS);
  m->cpu_us = cpu;
  if (m->started) {
    if (atomic_load(&m->done)) give_back_end(m);
    return;
  }
  size_t resident = memory_resident();
  if (resident < m->resident) m->resident = resident;
  if (resident < m->resident + MUCH) {
    m->seen = m->paused = m->pause = 0;
    return;
  }
  if (m->paused) {
    m->paused--;
    return;
  }
  if (m->seen++ && (quiet || m->seen > PATIENCE)) give_back_start(m);
}

struct memory *memory_new(struct loop *loop) {
  struct memory *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->loop = loop;
  m->resident = memory_resident();
  timer_init(&m->timer, loop, on_look, m);
  timer_start(&m->timer, LOOK_MS);
  return m;
}

void memory_free(struct memory *m) {
  if (!m) return;
  timer_done(&m->timer);
  if (m->started) pthread_join(m->thread, NULL);
  free(m);
}
