/* The parts that the files of the host share. */
#ifndef PB_CHECK_HOST_PRIVATE_H
#define PB_CHECK_HOST_PRIVATE_H

#include "tools/plugin_check/host.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define HOST_FD_MAX 1024

/* Whose words and handles these are. Kept until host_free(), so that a call for an object that
 * is gone is seen as that. */
struct pb_owner {
  struct host *h;
  enum { OF_PLUGIN, OF_POOL, OF_TOPIC } kind;
  bool gone;
  char name[300];
};

struct pb_batch {
  struct host *h;
  struct pb_batch *next_over;
  enum pb_batch_type type;
  size_t n;
  char *form, *json, *content;
  size_t form_len, json_len, len;
  char trace[64], traceparent[64], (*ids)[24];
  uint64_t deadline_ms;
  bool over; /* completed: only this struct is still there, to see who asks */
};

struct pb_timer {
  struct pb_timer *next;
  struct host *h;
  struct pb_owner *owner;
  pb_fn cb;
  void *arg;
  uint64_t due_ms;
  bool on;
};

struct watched {
  unsigned events, serial; /* serial: of the io_set() that made it, against stale events */
  pb_io_fn cb;
  void *arg;
  struct pb_owner *o;
};

struct child {
  struct child *next;
  struct pb_owner *owner;
  pid_t pid;
  pb_child_fn cb; /* NULL: taken back, but to be reaped */
  void *arg;
};

struct posted {
  struct posted *next;
  pb_fn fn;
  void *arg;
};

struct host_pool {
  struct host_pool *next;
  struct host *h;
  struct pb_owner *owner;
  const void *conf;
  void *own_conf, *pool;
  char **strings;
  unsigned instances;
};

struct host_inst {
  struct host_inst *next;
  struct host_pool *p;
  struct pb_owner *owner;
  struct pb_topic_info info;
  const void *conf;
  void *own_conf, *inst;
  char **strings;
  unsigned open; /* tickets not completed */
  unsigned drained, ready;
  bool draining, destroyed;
};

struct host {
  const struct pb_transport *t;
  struct host_watch watch;
  pthread_t thread;
  struct pb_owner **owners;
  size_t owner_n;
  struct pb_owner *owner;
  void *plugin;
  enum host_clock clock;
  uint64_t now_ms, skipped_ms;
  int epoll_fd, post_fd;
  struct watched fds[HOST_FD_MAX];
  unsigned serial, watching;
  struct pb_timer *timers;
  struct child *children;
  struct host_pool *pools;
  struct host_inst *insts;
  struct host_ticket *tickets;
  struct host_ticket **queue; /* completed in this turn */
  size_t queue_n, queue_cap;
  pthread_mutex_t posted_lock; /* of the two below: any thread posts */
  struct posted *posted, **posted_end;
  struct pb_batch *over; /* batches that are completed */
  pb_ticket last_id;
  int submit_error;
  struct pb_err submit_why;
  unsigned calls; /* of the plugin's callbacks, in this turn */
  bool forget, signs;
  unsigned workers;
  const char *json;
  void (*on_complete)(struct host_ticket *t, void *arg);
  void *on_complete_arg;
  struct host_stats stats;
  char last_log[2048];
};

/* The plugin is called: `call` between the two. */
#define HOST_CALL(h, what, call)                                                                   \
  do {                                                                                             \
    host_enter(h, what);                                                                           \
    call;                                                                                          \
    host_leave(h, what);                                                                           \
  } while (0)

/* --- host_guard.c --- */

/* A mistake of who drives the host, or no memory: ends the process. */
void host_give_up(const char *fmt, ...) PB_PRINTF(1, 2) __attribute__((noreturn));
void *host_must(void *p);                      /* p, which is not NULL */
char *host_copy(const char *text, size_t len); /* NULL copies as zeros */
char *host_copy_text(const char *text);
/* The plugin breaks a rule: "completes a request twice". */
void host_fault(struct host *h, const char *fmt, ...) PB_PRINTF(2, 3);
void host_enter(struct host *h, const char *what);
void host_leave(struct host *h, const char *what);

/* --- host_owner.c --- */

struct pb_owner *host_owner_new(struct host *h, int kind, const char *name); /* the host's */
void host_owner_gone(struct pb_owner *o, const char *call);

/* --- host_ticket.c --- */

void host_free_batch(struct host_ticket *t);
void host_free_ticket(struct host_ticket *t);

/* --- host_slots.c: the functions that the plugin calls --- */

extern const struct pb_host host_slots;
void host_unwatch(struct pb_owner *o, int fd);
void host_timer_free(struct pb_timer *t);

/* --- host_options.c --- */

/* Fills the options with the values of "name=value" arguments until NULL, over the defaults. Memory
 * that they point to is added to *strings. */
void *host_fill(const struct pb_option *options, size_t size, va_list ap, char ***strings);
char *host_keep_string(char ***strings, const char *text, size_t len);
void host_free_strings(char **strings);

/* --- host_loop.c --- */

void host_update_clock(struct host *h);

#endif
