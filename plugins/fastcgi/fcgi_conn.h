/* One connection to a FastCGI server and the one request that is on it.
 *
 * Owns the socket, its read event, its timer and the buffers of the reply. It knows no pools and no
 * outcomes: it says how a request ended, and the caller decides what that means. The object
 * outlives its sockets, so that buffers are allocated once.
 */
#ifndef PB_FASTCGI_FCGI_CONN_H
#define PB_FASTCGI_FCGI_CONN_H

#include "fcgi_diag.h"
#include "fcgi_proto.h"

#include <pepperbus/transport.h>
#include <sys/socket.h>

/* A worker's address as it stands in the configuration. */
struct fcgi_addr {
  struct sockaddr_storage sa;
  socklen_t len;
  char name[128];                /* for people */
  struct fcgi_listener listener; /* the pool's: whom the kernel is asked about */
  /* The pool's: */
  bool failing;              /* the last try did not reach it */
  uint64_t failing_until_ms; /* not tried before, where there is another */
  uint64_t failing_since_ms;
  char why[160];
};
/* 0 or -EINVAL with a sentence in `err`. Numeric addresses, localhost and unix:/path only:
 * resolving names blocks. */
int fcgi_addr_parse(struct fcgi_addr *ret, const char *text, struct pb_err *err);

/* How a request ended. */
enum fcgi_end {
  FCGI_PENDING = 0, /* it has not: on_end() will come */
  FCGI_ANSWERED,    /* END_REQUEST came: reply, tail and reader.status hold the answer */
  FCGI_UNREACHABLE, /* no connection; nothing was sent */
  FCGI_FULL,        /* the listen queue is full, or we are out of descriptors; nothing was sent */
  FCGI_UNSENT,      /* the kept connection was dead and the job certainly did not run */
  FCGI_LOST,        /* the connection ended; whether the job ran is unknown */
  FCGI_GARBLED,     /* the other side does not keep to the protocol */
  FCGI_HUNG_UP      /* cancelled, and hung up on */
};

struct fcgi_conn;

/* The data that all connections of a pool share. */
struct fcgi_env {
  const struct pb_host *h;
  struct pb_owner *o;
  struct fcgi_diag *diag; /* NULL: the kernel tells nothing */
  uint8_t *in;            /* one buffer to receive into; its bytes are used up within the call */
  size_t in_cap;
  size_t max_response;
  uint64_t connect_timeout_ms, hangup_after_ms;
  void *arg; /* the pool */
  /* A request ended, not from within fcgi_conn_open/send/cancel. */
  void (*on_end)(struct fcgi_conn *c, enum fcgi_end end);
  /* An idle connection was closed by the other side; the socket is closed already. */
  void (*on_idle_closed)(struct fcgi_conn *c);
};

/* One request. The head and the body are the caller's and stay until the request has ended. */
struct fcgi_work {
  void *inst; /* whose it is */
  pb_ticket ticket;
  uint64_t deadline_ms; /* by the host's clock */
  const uint8_t *head;  /* BEGIN_REQUEST and the PARAMS that do not change */
  size_t head_len;
  bool keep;        /* BEGIN_REQUEST asks the other side to keep the connection */
  const char *body; /* STDIN */
  size_t body_len;
  const char *trace, *traceparent, *signature; /* NULL or "": none; used during load only */
};

enum fcgi_conn_state {
  FCGI_CONN_CLOSED,     /* no socket; on the pool's free list, or between two tries */
  FCGI_CONN_CONNECTING, /* on its instance's running list; request not begun */
  FCGI_CONN_WAITING,    /* on its instance's running list; kept, its child is not back yet */
  FCGI_CONN_BUSY,       /* on its instance's running list; request going out or answer awaited */
  FCGI_CONN_IDLE        /* kept without work, on the pool's idle list */
};

#define FCGI_VARIABLE_MAX 768 /* the PARAMS that change from request to request */

struct fcgi_conn {
  struct fcgi_conn *next, **prev; /* the list of its state */
  struct fcgi_env *env;
  struct fcgi_addr *addr; /* of the socket, or of the last try */
  enum fcgi_conn_state state;
  int fd;
  unsigned watching; /* enum pb_io_event that the host was asked for */
  bool reused;       /* this request went out on a kept connection */
  bool php;          /* an answer on this connection has shown that PHP is behind it */
  bool spoiled;      /* something came after the answer: not to be kept */
  bool cancelled;    /* the answer is not wanted any more; the child still works on it */
  unsigned tries;    /* the pool's: addresses tried for this request */
  uint64_t idle_since_ms, sent_ms;
  uint64_t connect_ms;    /* how long it may take to connect */
  struct pb_timer *timer; /* connect_timeout, later hangup_after */

  struct fcgi_work work;
  uint8_t variable[FCGI_VARIABLE_MAX];
  size_t variable_len;
  uint8_t last_header[FCGI_HEADER_LEN]; /* of the body's last slice */
  size_t sent, total;
  int send_errno; /* sending failed; bytes that arrived are still read */

  struct fcgi_reader reader;
  struct fcgi_reply reply;
  struct fcgi_tail tail;
  char why[256]; /* for every end but ANSWERED: what happened, for people */
};

struct fcgi_conn *fcgi_conn_new(struct fcgi_env *env); /* NULL: no memory */
void fcgi_conn_free(struct fcgi_conn *c);              /* closes; says nothing to anyone */

/* Puts `work` on it. The connection is closed or idle. */
void fcgi_conn_load(struct fcgi_conn *c, const struct fcgi_work *work);
/* The state of the other side of an idle connection. */
enum fcgi_look {
  FCGI_READY,   /* its child waits for a request on this connection and will serve it */
  FCGI_NOT_YET, /* its child still clears up after the last one, or is about to end */
  FCGI_GONE
};
enum fcgi_look fcgi_conn_look(struct fcgi_conn *c);
/* Sends the loaded request over a new connection / the kept one that is READY. */
enum fcgi_end fcgi_conn_open(struct fcgi_conn *c, struct fcgi_addr *addr);
enum fcgi_end fcgi_conn_reuse(struct fcgi_conn *c);
/* The same once a kept connection that is NOT_YET becomes so; FCGI_UNSENT when it does not. */
enum fcgi_end fcgi_conn_wait(struct fcgi_conn *c);
/* FCGI_HUNG_UP when it could be given up at once; else on_end() comes when the child is known
 * to be free, at the latest after hangup_after. */
enum fcgi_end fcgi_conn_cancel(struct fcgi_conn *c);
/* After ANSWERED: keeps the connection if that is possible and wanted, else closes it. */
bool fcgi_conn_rest(struct fcgi_conn *c);
void fcgi_conn_close(struct fcgi_conn *c);

#endif
