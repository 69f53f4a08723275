/* One netlink socket and the few questions that it asks. Calls only the kernel.
 *
 * Must never happen: a question that waits (the socket does not block, and an answer that is not
 * there at once counts as none), or an answer that is used before its lengths are checked.
 */
#include "fcgi_diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (32 * 1024) /* what the kernel puts into one datagram of a dump at most */
#define FIND_AGAIN 20 /* a unix socket that was not there is looked for at every so many-th ask */

struct fcgi_diag {
  int fd;
  uint32_t seq;
  unsigned skipped; /* asks since a dump found nothing */
  bool missing;     /* the last dump found nothing */
  _Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
};

struct fcgi_diag *fcgi_diag_new(void) {
  struct fcgi_diag *d = calloc(1, sizeof *d);

  if (!d) return NULL;
  d->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
  if (d->fd >= 0) return d;
  free(d);
  return NULL;
}

void fcgi_diag_free(struct fcgi_diag *d) {
  if (!d) return;
  close(d->fd);
  free(d);
}

/* --- one question --- */

static bool diag_send(struct fcgi_diag *d, const void *body, size_t len, unsigned flags) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  struct {
    struct nlmsghdr head;
    char body[128];
  } q = {0};

  q.head.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
  q.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  q.head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  q.head.nlmsg_seq = ++d->seq;
  memcpy(q.body, body, len);
  return sendto(d->fd, &q, q.head.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) >= 0;
}

/* Calls fn for each message of the answer until it says true. False: no message was the one. */
static bool diag_read(struct fcgi_diag *d, bool (*fn)(const struct nlmsghdr *m, void *arg),
                      void *arg) {
  bool found = false;

  for (;;) {
    ssize_t n = recv(d->fd, d->answer, sizeof d->answer, MSG_DONTWAIT);
    const struct nlmsghdr *m = (const void *)d->answer;
    size_t left = n > 0 ? (size_t)n : 0;

    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return found;
    for (; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_seq != d->seq) continue; /* left over from a question that was given up */
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) return found;
      if (!found && m->nlmsg_type == SOCK_DIAG_BY_FAMILY) found = fn(m, arg);
      if (!(m->nlmsg_flags & NLM_F_MULTI)) return found;
    }
  }
}

/* --- TCP --- */

static bool on_inet(const struct nlmsghdr *m, void *arg) {
  const struct inet_diag_msg *msg = NLMSG_DATA(m);

  if (m->nlmsg_len < NLMSG_LENGTH(sizeof *msg)) return false;
  *(struct inet_diag_msg *)arg = *msg;
  return true;
}

static void inet_side(const struct sockaddr *sa, __be32 addr[4], __be16 *port) {
  if (sa->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)sa;

    memcpy(addr, &in->sin_addr, sizeof in->sin_addr);
    *port = in->sin_port;
  } else {
    const struct sockaddr_in6 *in6 = (const void *)sa;

    memcpy(addr, &in6->sin6_addr, sizeof in6->sin6_addr);
    *port = in6->sin6_port;
  }
}

/* The socket whose own address is `own` and, where it is connected, whose other end is `other`. */
static bool diag_inet(struct fcgi_diag *d, const struct sockaddr *own, const struct sockaddr *other,
                      struct inet_diag_msg *ret) {
  struct inet_diag_req_v2 q = {
      .sdiag_family = (uint8_t)own->sa_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u};

  inet_side(own, q.id.idiag_src, &q.id.idiag_sport);
  if (other) inet_side(other, q.id.idiag_dst, &q.id.idiag_dport);
  q.id.idiag_cookie[0] = q.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return diag_send(d, &q, sizeof q, 0) && diag_read(d, on_inet, ret);
}

int fcgi_diag_unread(struct fcgi_diag *d, int fd) {
  struct sockaddr_storage mine, theirs;
  socklen_t mine_len = sizeof mine, theirs_len = sizeof theirs;
  struct inet_diag_msg msg;

  if (!d || getsockname(fd, (struct sockaddr *)&mine, &mine_len) < 0 ||
      getpeername(fd, (struct sockaddr *)&theirs, &theirs_len) < 0)
    return -1;
  if (!diag_inet(d, (struct sockaddr *)&theirs, (struct sockaddr *)&mine, &msg)) return -1;
  /* If there is no such connection, the kernel may show the listener of that port instead. */
  if (msg.idiag_state != TCP_ESTABLISHED && msg.idiag_state != TCP_CLOSE_WAIT) return -1;
  return (int)msg.idiag_rqueue;
}

/* --- unix --- */

struct unix_ask {
  const struct sockaddr_un *un;
  struct stat st;
  bool on_disk; /* st is filled */
  uint32_t inode;
  int waiting;
};

static bool on_unix(const struct nlmsghdr *m, void *arg) {
  struct unix_ask *ask = arg;
  const struct unix_diag_msg *msg = NLMSG_DATA(m);
  const struct rtattr *a = (const void *)(msg + 1);
  int left = (int)m->nlmsg_len - (int)NLMSG_LENGTH(sizeof *msg), waiting = -1;
  size_t path_len = strlen(ask->un->sun_path);
  bool same = false;

  if (left < 0) return false;
  for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
    size_t len = RTA_PAYLOAD(a);
    const void *data = RTA_DATA(a);

    if (a->rta_type == UNIX_DIAG_RQLEN && len >= sizeof(struct unix_diag_rqlen)) {
      waiting = (int)((const struct unix_diag_rqlen *)data)->udiag_rqueue;
    } else if (a->rta_type == UNIX_DIAG_NAME && len >= path_len) {
      same = same || (memcmp(data, ask->un->sun_path, path_len) == 0 &&
                      (len == path_len || !((const char *)data)[path_len]));
    } else if (a->rta_type == UNIX_DIAG_VFS && len >= sizeof(struct unix_diag_vfs)) {
      const struct unix_diag_vfs *vfs = data; /* the file, whatever path it was bound by */

      same = same || (ask->on_disk && vfs->udiag_vfs_ino == (uint32_t)ask->st.st_ino &&
                      vfs->udiag_vfs_dev >> 20 == major(ask->st.st_dev) &&
                      (vfs->udiag_vfs_dev & 0xfffff) == minor(ask->st.st_dev));
    }
  }
  /* An answer about one socket has no name in it; in a dump the right one is looked for. */
  if (waiting < 0 || (!ask->inode && !same)) return false;
  ask->inode = msg->udiag_ino;
  ask->waiting = waiting;
  return true;
}

static int diag_unix(struct fcgi_diag *d, struct fcgi_listener *l) {
  struct unix_ask ask = {.un = (const struct sockaddr_un *)&l->sa, .inode = l->inode};
  struct unix_diag_req q = {.sdiag_family = AF_UNIX,
                            .udiag_states = 1u << TCP_LISTEN,
                            .udiag_ino = l->inode,
                            .udiag_show = UDIAG_SHOW_RQLEN,
                            .udiag_cookie = {~0u, ~0u}};

  if (l->inode && diag_send(d, &q, sizeof q, 0) && diag_read(d, on_unix, &ask)) return ask.waiting;
  if (d->missing && ++d->skipped % FIND_AGAIN) return -1;
  l->inode = ask.inode = q.udiag_ino = 0;
  ask.on_disk = stat(ask.un->sun_path, &ask.st) == 0;
  q.udiag_show = UDIAG_SHOW_RQLEN | UDIAG_SHOW_NAME | UDIAG_SHOW_VFS;
  d->missing = !diag_send(d, &q, sizeof q, NLM_F_DUMP) || !diag_read(d, on_unix, &ask);
  if (d->missing) return -1;
  l->inode = ask.inode;
  return ask.waiting;
}

/* --- listening sockets --- */

/* Only an address of this machine can be bound to. A wildcard listener here says nothing about the
 * same port over there. */
static bool addr_is_local(const struct sockaddr *sa, socklen_t len) {
  struct sockaddr_storage any = {0};
  int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

  if (fd < 0) return false;
  memcpy(&any, sa, len);
  if (sa->sa_family == AF_INET)
    ((struct sockaddr_in *)&any)->sin_port = 0;
  else
    ((struct sockaddr_in6 *)&any)->sin6_port = 0;
  rc = bind(fd, (struct sockaddr *)&any, len);
  close(fd);
  return rc == 0;
}

void fcgi_listener_init(struct fcgi_listener *l, const struct sockaddr *sa, socklen_t len) {
  memset(l, 0, sizeof *l);
  memcpy(&l->sa, sa, len);
  l->len = len;
  l->local = sa->sa_family == AF_UNIX || addr_is_local(sa, len);
}

int fcgi_diag_waiting(struct fcgi_diag *d, struct fcgi_listener *l) {
  struct inet_diag_msg msg;

  if (!d || !l->local) return -1;
  if (l->sa.ss_family == AF_UNIX) return diag_unix(d, l);
  if (!diag_inet(d, (struct sockaddr *)&l->sa, NULL, &msg) || msg.idiag_state != TCP_LISTEN)
    return -1;
  return (int)msg.idiag_rqueue;
}
