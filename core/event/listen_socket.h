/* Sockets that listen: an IP address, or a path whose old socket belongs to nobody. */
#ifndef PB_CORE_LISTEN_SOCKET_H
#define PB_CORE_LISTEN_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#define LISTEN_BACKLOG 4096 /* the kernel takes no more than net.core.somaxconn of it */

/* The file of a unix socket, to know it from another one of its name. */
struct listen_file {
  dev_t dev;
  ino_t ino; /* 0: none */
};

/* Both return a descriptor that does not block and is not inherited, or -errno. `own_family`:
 * [::] leaves the IPv4 addresses to others. */
int listen_socket_ip(const struct sockaddr *sa, socklen_t len, bool own_family);
/* A socket file of a process that is gone is replaced. The new one has `mode` from its first
 * moment. -ENAMETOOLONG; -EEXIST: a file that is no socket is there; -EADDRINUSE: a living process
 * listens there. */
int listen_socket_unix(const char *path, mode_t mode, struct listen_file *ret);
/* Removes the file where it is still this one. */
void listen_socket_remove(const char *path, const struct listen_file *file);

#endif
