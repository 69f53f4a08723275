/* Keeps a number of processes of one command alive: starts them, starts them again after a pause
 * when they end, and ends them by steps. The owner handles their pipes.
 */
#ifndef PB_EXEC_KEEPER_H
#define PB_EXEC_KEEPER_H

#include "mode.h"

#include <sys/types.h>

#define PROC_LINE_MAX 1000 /* of a printed line; the rest is logged as another one */

enum proc_state {
  PROC_DOWN,     /* its timer starts it (again), or it is over for good */
  PROC_STARTING, /* ordered; leaves when the spawner answers */
  PROC_UP,       /* runs; left when it ends or by proc_end() */
  PROC_ENDING,   /* was asked to end; its timer goes to the next step; left when it is reaped */
  PROC_LEFT      /* reaped; the owner still reads what its pipes hold (within one call) */
};

enum proc_step { STEP_EOF, STEP_TERM, STEP_KILL }; /* kill_after lies between two */

struct keeper;

/* The first member of the owner's own struct for a process. */
struct proc {
  struct keeper *keeper;
  enum proc_state state;
  enum proc_step step; /* PROC_ENDING: the last one taken */
  struct start *start; /* PROC_STARTING */
  pid_t pid;
  int in, out, err;  /* our ends; -1: none */
  bool planned;      /* PROC_ENDING was our wish: no failure */
  bool useful;       /* the owner sets it: this run was of use, the next may follow at once */
  bool noted;        /* the owner's: keeper_note() already has the reason of its end */
  bool started;      /* it has been up before */
  unsigned failures; /* in a row */
  uint64_t started_ms;
  char line[PROC_LINE_MAX]; /* printed, but the line is not complete and not logged yet */
  size_t line_len;
  struct pb_timer *timer;
};

struct keeper_ops {
  /* It runs; its pipes are open, not watched yet. */
  void (*up)(struct proc *p);
  /* `fd` (out or err) has something to read, or has ended: then proc_close_fd(). */
  void (*readable)(struct proc *p, int fd);
  /* (may be NULL) The timer that the owner started while it is up. */
  void (*overdue)(struct proc *p);
  /* (may be NULL) At keeper_stop(): has it work to finish? Then the owner ends it afterwards. */
  bool (*busy)(struct proc *p);
  /* It has ended; pipes are still open, closed after this call. `why`: "was killed by ..." */
  void (*down)(struct proc *p, int wait_status, const char *why);
  void (*stopped)(struct instance *in); /* after keeper_stop(), when the last has ended */
};

struct keeper {
  struct instance *in;
  const struct keeper_ops *ops;
  struct proc **procs;
  size_t n, up, alive; /* alive: up or ending */
  size_t starting;
  bool takes_input; /* a pipe on standard input; else /dev/null */
  bool stopping, told;
  enum proc_step stop_step; /* keeper_stop()'s */
  uint64_t stable_ms;       /* who lived this long was of use; 0: the owner says who was */
  char last[1000];          /* how the last one ended that was not to end; "" none */
};

/* `proc_size`: of the owner's struct. Starts come by timers: nothing runs when this returns. */
int keeper_start(struct keeper *k, struct instance *in, const struct keeper_ops *ops, size_t n,
                 size_t proc_size, bool takes_input, struct pb_err *err);
/* Ends it from this step on, harder after each kill_after; it is restarted afterwards. */
void proc_end(struct proc *p, enum proc_step from, bool planned);
void proc_close_fd(struct proc *p, int *fd);
/* Logs the output line by line, within the instance's budget. At the process' end it also logs an
 * incomplete line. */
void proc_print(struct proc *p, const char *data, size_t len);
/* Notes for people why the last process failed. `said` is its output. A long output loses its
 * middle: a traceback of Python has the reason last, a fatal error of PHP first. */
void keeper_note(struct keeper *k, const char *why, const char *said, size_t len);
/* Starts no new processes, and ends those that run. Calls ops->stopped; at once if none runs. */
void keeper_stop(struct keeper *k, enum proc_step from);
void keeper_destroy(struct keeper *k); /* kills the remaining processes, calls nothing back */
/* Have all of them failed more than once, and none lives yet for long enough to say otherwise? */
bool keeper_failing(const struct keeper *k);
int keeper_health(const struct keeper *k, char *ret, size_t size);

#endif
