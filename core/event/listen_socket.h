/* Sockets that listen: on an IP address, or on a path. An old socket file at the path must belong
 * to no process. */
#ifndef PB_CORE_LISTEN_SOCKET_H
#define PB_CORE_LISTEN_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#define LISTEN_BACKLOG 4096 /* the kernel takes no more than net.core.somaxconn of it */

/* The identity of a unix socket's file. Another file may have the same name later. */
struct listen_file {
  dev_t dev;
  ino_t ino; /* 0: none */
};

/* Both return a non-blocking descriptor that children do not inherit, or -errno. `own_family`: [::]
 * does not take the IPv4 addresses. */
int listen_socket_ip(const struct sockaddr *sa, socklen_t len, bool own_family);
/* A socket file of a process that is gone is replaced. The new one has `mode` from its first
 * moment. -ENAMETOOLONG; -EEXIST: a file that is no socket is there; -EADDRINUSE: a living process
 * listens there. */
int listen_socket_unix(const char *path, mode_t mode, struct listen_file *ret);
/* Removes the file where it is still this one. */
void listen_socket_remove(const char *path, const struct listen_file *file);

#endif
