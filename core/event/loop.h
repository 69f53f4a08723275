/* One event loop and all that hangs on it: descriptors, timers, signals, children, calls from other
 * threads, and work that is put off to the end of the turn.
 *
 * A turn: wait for events, run their callbacks, then run the deferred work. Replies to producers
 * and commands to Redis are written in the deferred part, so that all of one turn leaves in one
 * write. Objects that die inside a callback are freed there too.
 */
#ifndef PB_CORE_LOOP_H
#define PB_CORE_LOOP_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct log;
struct loop;

struct loop *loop_new(struct log *log); /* NULL: errno */
void loop_free(struct loop *loop);      /* runs the work that is still deferred */
void loop_run(struct loop *loop);       /* until loop_stop() */
void loop_stop(struct loop *loop);
/* One turn, waiting at most max_wait_ms; for tests and for start-up. */
void loop_turn(struct loop *loop, uint64_t max_wait_ms);
struct log *loop_log(struct loop *loop);
uint64_t loop_now_ms(struct loop *loop);  /* monotonic, as of this turn */
uint64_t loop_wall_ms(struct loop *loop); /* Unix time, as of this turn */
uint64_t loop_clock_ms(void);             /* monotonic, now */
uint64_t loop_clock_us(void);
uint64_t loop_turns(const struct loop *loop); /* so far: the number of this one */

/* --- end of turn --- */

typedef void (*loop_fn)(void *arg);
/* Embedded in the object that owns it; on the list at most once. */
struct deferred {
  struct deferred *next, **prev; /* prev != NULL: on the list */
  loop_fn fn;
  void *arg;
};
/* Calls fn(arg) once at the end of this turn; no-op when it is on the list already. */
void loop_defer(struct loop *loop, struct deferred *d, loop_fn fn, void *arg);
void deferred_cancel(struct loop *loop, struct deferred *d);
/* free(ptr) at the end of this turn: for an object that dies inside its own callback. */
void loop_free_later(struct loop *loop, void *ptr);

/* CPU time of the longest turn of loop_run() so far; may be up to 1 ms too high. */
uint64_t loop_turn_max_us(const struct loop *loop);

/* --- descriptors: level-triggered --- */

enum io_event { IO_READ = 1, IO_WRITE = 2 };
typedef void (*io_fn)(int fd, unsigned events, void *arg);
struct io {
  struct event ev;
  io_fn fn;
  void *arg;
  unsigned want;
};
void io_init(struct io *io, struct loop *loop, int fd, io_fn fn, void *arg);
int io_want(struct io *io, unsigned events); /* 0 or -errno; 0 events: none */
int io_fd(const struct io *io);
void io_done(struct io *io); /* before close(fd); fine when zeroed */

/* --- timers: one-shot --- */

struct timer {
  struct event ev;
  struct loop *loop;
  loop_fn fn;
  void *arg;
};
void timer_init(struct timer *t, struct loop *loop, loop_fn fn, void *arg);
void timer_start(struct timer *t, uint64_t after_ms); /* again: moves it */
void timer_stop(struct timer *t);
bool timer_pending(const struct timer *t);
void timer_done(struct timer *t); /* fine when zeroed */
/* `base` plus or minus up to a quarter of it, so that nodes do not act in step. */
uint64_t loop_jitter(struct loop *loop, uint64_t base_ms);

/* --- signals, children, other threads --- */

typedef void (*signal_fn)(int signo, void *arg);
int loop_on_signal(struct loop *loop, int signo, signal_fn fn, void *arg); /* 0 or -errno */
typedef void (*child_fn)(pid_t pid, int wait_status, void *arg);
/* fn is called once when `pid` has ended; the loop reaps it. */
int loop_on_child(struct loop *loop, pid_t pid, child_fn fn, void *arg);
bool loop_knows_child(struct loop *loop, pid_t pid);  /* its end is waited for */
void loop_forget_child(struct loop *loop, pid_t pid); /* it is still reaped */
/* fn(arg) on the loop thread in a later turn. From any thread. */
void loop_post(struct loop *loop, loop_fn fn, void *arg);

#endif
