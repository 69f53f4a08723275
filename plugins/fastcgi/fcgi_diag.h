/* This machine's kernel tells about sockets of other processes: how many connections wait to be
 * accepted at a listening socket, and whether the other end of a connection has been read.
 *
 * Asks NETLINK_SOCK_DIAG, which needs no privilege and answers within the call. It knows only
 * sockets of this network namespace. For a php-fpm elsewhere the answer is "not known".
 */
#ifndef PB_FASTCGI_FCGI_DIAG_H
#define PB_FASTCGI_FCGI_DIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct fcgi_diag;

/* NULL: no memory, or the kernel does not allow the question. Then every answer is "not known". */
struct fcgi_diag *fcgi_diag_new(void);
void fcgi_diag_free(struct fcgi_diag *d); /* NULL is fine */

/* A listening socket, as a client would connect to it. */
struct fcgi_listener {
  struct sockaddr_storage sa;
  socklen_t len;
  uint32_t inode; /* of a unix socket, once it was found; 0: not yet */
  bool local;     /* the address is one of this machine */
};
void fcgi_listener_init(struct fcgi_listener *l, const struct sockaddr *sa, socklen_t len);
/* Connections that are not accepted yet; -1: not known. */
int fcgi_diag_waiting(struct fcgi_diag *d, struct fcgi_listener *l);

/* Bytes that have arrived at the other end of TCP connection `fd` and were not read there; -1: not
 * known, for example because that end is on another machine. */
int fcgi_diag_unread(struct fcgi_diag *d, int fd);

#endif
