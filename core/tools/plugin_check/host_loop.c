/* Owns the clock and the turns of the loop: due timers are called, completed tickets are settled.
 */
#include "tools/plugin_check/host_private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t host_clock_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void host_update_clock(struct host *h) {
  h->now_ms = (h->clock == HOST_REAL ? host_clock_ms() : 1000000) + h->skipped_ms;
}

uint64_t host_now_ms(const struct host *h) {
  return h->now_ms;
}

void host_skip(struct host *h, uint64_t ms) {
  h->skipped_ms += ms;
  host_update_clock(h);
}

bool host_next_timer(const struct host *h, uint64_t *ret_ms) {
  const struct pb_timer *first = NULL;

  for (const struct pb_timer *t = h->timers; t; t = t->next)
    if (t->on && (!first || t->due_ms < first->due_ms)) first = t;
  if (!first) return false;
  *ret_ms = first->due_ms > h->now_ms ? first->due_ms - h->now_ms : 0;
  return true;
}

static void run_timers(struct host *h) {
  for (;;) { /* from the start each time: a callback may free any of them */
    struct pb_timer *first = NULL;

    for (struct pb_timer *t = h->timers; t; t = t->next)
      if (t->on && t->due_ms <= h->now_ms && (!first || t->due_ms < first->due_ms)) first = t;
    if (!first) return;
    first->on = false;
    h->calls++;
    HOST_CALL(h, "a timer's callback", first->cb(first->arg));
  }
}

static void run_children(struct host *h) {
  for (struct child **at = &h->children; *at;) {
    struct child *c = *at;
    int status;

    if (waitpid(c->pid, &status, WNOHANG) != c->pid) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    h->calls++;
    if (c->cb) HOST_CALL(h, "a child's callback", c->cb(c->pid, status, c->arg));
    free(c);
    at = &h->children;
  }
}

/* Runs the calls that are posted now. Calls that they post come in the next turn. */
static void run_posted(struct host *h) {
  uint64_t n;
  struct posted *first;

  if (read(h->post_fd, &n, sizeof n) < 0) return;
  pthread_mutex_lock(&h->posted_lock);
  first = h->posted;
  h->posted = NULL;
  h->posted_end = &h->posted;
  pthread_mutex_unlock(&h->posted_lock);
  while (first) {
    struct posted *p = first;

    first = p->next;
    h->calls++;
    HOST_CALL(h, "a posted function", p->fn(p->arg));
    free(p);
  }
}

/* Does at the end of a turn as the core does. */
static void settle(struct host *h) {
  for (size_t i = 0; i < h->queue_n; i++) {
    struct host_ticket *t = h->queue[i];

    host_free_batch(t);
    if (h->forget) { /* it is near the head of the list: only running ones are on it */
      struct host_ticket **at = &h->tickets;

      while (*at != t) at = &(*at)->next;
      *at = t->next;
    }
    if (h->on_complete) h->on_complete(t, h->on_complete_arg);
    if (h->forget) host_free_ticket(t);
  }
  h->queue_n = 0;
}

unsigned host_turn(struct host *h, int max_wait_ms) {
  struct epoll_event evs[64];
  int n;

  for (struct pb_timer *t = h->timers; t; t = t->next) {
    if (!t->on) continue;
    if (t->due_ms <= h->now_ms)
      max_wait_ms = 0;
    else if (h->clock == HOST_REAL && t->due_ms - h->now_ms < (uint64_t)max_wait_ms)
      max_wait_ms = (int)(t->due_ms - h->now_ms);
  }
  if (h->queue_n) max_wait_ms = 0;
  if (h->children && max_wait_ms > 5) max_wait_ms = 5;
  n = epoll_wait(h->epoll_fd, evs, 64, max_wait_ms);
  host_update_clock(h);
  h->calls = 0;
  for (int i = 0; i < n; i++) {
    unsigned fd = (unsigned)evs[i].data.u64, serial = (unsigned)(evs[i].data.u64 >> 32);
    struct watched *w = &h->fds[fd % HOST_FD_MAX];
    unsigned got = 0;

    if (fd == HOST_FD_MAX || !w->events || w->serial != serial) continue; /* gone in this turn */
    if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) got |= PB_IO_READ;
    if (evs[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) got |= PB_IO_WRITE;
    got &= w->events;
    h->calls++;
    if (got) HOST_CALL(h, "a descriptor's callback", w->cb((int)fd, got, w->arg));
  }
  run_posted(h);
  run_timers(h);
  if (h->children) run_children(h);
  settle(h);
  return h->calls;
}

bool host_until(struct host *h, bool (*cond)(void *arg), void *arg, int ms) {
  uint64_t end = host_clock_ms() + (uint64_t)ms, now;

  if (cond(arg)) return true;
  do { /* once at least: we may not have had the processor in all that time */
    now = host_clock_ms();
    host_turn(h, now >= end ? 0 : end - now > 50 ? 50 : (int)(end - now));
    if (cond(arg)) return true;
  } while (now < end);
  return false;
}

static bool is_settled(void *arg) {
  const struct host_ticket *t = arg;

  return t->completions && !t->batch;
}

bool host_wait(struct host *h, const struct host_ticket *t, int ms) {
  return host_until(h, is_settled, (void *)t, ms);
}

void host_on_complete(struct host *h, void (*fn)(struct host_ticket *t, void *arg), void *arg) {
  h->on_complete = fn;
  h->on_complete_arg = arg;
}

const char *host_outcome(uint32_t outcome) {
  static const char *const names[] = {"?",    "ANSWERED", "UNREACHABLE", "BUSY",
                                      "LOST", "TIMEOUT",  "GARBLED",     "REFUSED"};

  return outcome < sizeof names / sizeof *names ? names[outcome] : "?";
}
