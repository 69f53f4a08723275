/* The load of a pool's workers by other clients too: the connections that wait at their listening
 * sockets, looked at 40 times a second, and php-fpm's status pages, asked every status_interval.
 * Only while there is work: an idle pool is not watched, and costs nothing.
 */
#ifndef PB_FASTCGI_FCGI_WATCH_H
#define PB_FASTCGI_FCGI_WATCH_H

#include "fcgi_conn.h"
#include "fcgi_status.h"

struct fcgi_watch;

/* Where the status pages are, of the keys of a [pool] section. */
struct fcgi_watch_conf {
  const char *const *status; /* addresses; empty: not asked */
  const char *path;
  uint64_t interval_ms;
};

/* Its callbacks, called from a timer or a descriptor. */
struct fcgi_watch_ops {
  /* `waiting`: connections at the listening sockets; -1: not known. `all`: the sum of the status
   * pages, `fixed` only if there is one page for each address; NULL: no news. */
  void (*load)(void *arg, int waiting, const struct fcgi_page *all);
  /* A page was read that is `delta` away from the last one; `reloaded`: php-fpm was restarted.
   */
  void (*page)(void *arg, const struct fcgi_page *delta, bool reloaded);
  /* For each process of that page, before page(). */
  fcgi_process_fn process;
};

/* `env` and `addrs` are the pool's and outlive it. *running counts its requests. 0, -EINVAL or
 * -ENOMEM; `err` is filled. */
int fcgi_watch_new(const struct fcgi_env *env, const struct fcgi_watch_conf *conf,
                   struct fcgi_addr *addrs, size_t addr_n, const size_t *running,
                   const struct fcgi_watch_ops *ops, void *arg, struct fcgi_watch **ret,
                   struct pb_err *err);
void fcgi_watch_free(struct fcgi_watch *w); /* NULL is fine */

/* There is work: watches until there has been none for a while. */
void fcgi_watch_start(struct fcgi_watch *w);
/* Others wait for workers that our kept connections hold. */
bool fcgi_watch_contended(const struct fcgi_watch *w);
/* True if connections should be closed after use: other clients need workers, or the status page is
 * about to be read (it counts a request only after its connection closed). */
bool fcgi_watch_lets_go(const struct fcgi_watch *w);
/* The pages together, as last read; false: none was. A look asks for the next. */
bool fcgi_watch_status(struct fcgi_watch *w, struct fcgi_page *ret, uint64_t *ret_age_ms);
/* Why a page cannot be read; NULL: all can. */
const char *fcgi_watch_why(const struct fcgi_watch *w);

#endif
