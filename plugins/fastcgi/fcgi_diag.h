/* What this machine's kernel tells of sockets that belong to others: how many connections wait to
 * be accepted at a listening socket, and whether the other end of a connection has been read.
 *
 * Asks NETLINK_SOCK_DIAG, which needs no privilege and answers within the call. It knows only
 * sockets of this network namespace: of a php-fpm elsewhere nothing is known, and that is what it
 * says.
 */
#ifndef PB_FASTCGI_FCGI_DIAG_H
#define PB_FASTCGI_FCGI_DIAG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct fcgi_diag;

/* NULL: no memory, or the kernel lets nobody ask. Everything is then unknown. */
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
/* Connections that nobody has accepted yet; -1: not known. */
int fcgi_diag_waiting(struct fcgi_diag *d, struct fcgi_listener *l);

/* Bytes that have arrived at the other end of TCP connection `fd` and were not read there; -1: not
 * known, which it is not where that end is on another machine. */
int fcgi_diag_unread(struct fcgi_diag *d, int fd);

#endif
