/* php-fpm's figures of its pool on its status page, in the form of `?json&full`.
 *
 * Pure: text in, figures out. A figure that is missing or of another type is 0. Only a text that is
 * no such page at all is refused.
 */
#ifndef PB_FASTCGI_FCGI_STATUS_H
#define PB_FASTCGI_FCGI_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fcgi_page {
  uint64_t start_time;          /* Unix seconds; another one: it was started or reloaded */
  uint64_t accepted;            /* connections since then */
  uint64_t idle, active, total; /* processes; active: in a request, or kept by a connection */
  uint64_t queue;               /* always 0 where it listens on a unix socket */
  uint64_t max_children_reached, slow_requests; /* since then */
  bool fixed; /* pm = static: it starts no further processes when these are busy */
};

/* One process without a request, as its last one left it. While it has one, or a connection is
 * kept, php-fpm does not tell these. */
struct fcgi_process {
  const char *script; /* valid during the call */
  uint64_t requests;
  double cpu;      /* cores that it used while its last request ran: 1 is one core */
  uint64_t memory; /* bytes at the most */
};
typedef void (*fcgi_process_fn)(void *arg, const struct fcgi_process *p);

/* 0 with *ret, or -EBADMSG. `fn` is called for each process without a request that has had
 * one. */
int fcgi_status_parse(const char *text, size_t len, struct fcgi_page *ret, fcgi_process_fn fn,
                      void *arg);

#endif
