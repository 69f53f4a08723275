/* Owns the shares of file descriptors: how many each part of the broker may have. */
#include "daemon/descriptors.h"

#include "admin/http_server.h"
#include "base/log.h"
#include "config/settings.h"
#include "daemon/private.h"
#include "intake/listener.h"

#include <string.h>
#include <sys/resource.h>

#define FILES          64 /* the log, listeners, files that are read, pipes of a child being made */
#define STORAGE_MAX    8  /* of one storage, whatever max_connections is */
#define ADMIN_PART     8  /* the admin port gets at most this part (an eighth) of the rest */
#define UNLIMITED_SIZE 1000000

/* Descriptors of one request. exec has three pipes, and needs one more while a process starts. http
 * may keep an idle connection beside the one in use. */
static size_t each(const char *run_type) {
  return !strcmp(run_type, "cgi") ? 1 : !strcmp(run_type, "http") ? 2 : 4;
}

static size_t wanted_by_jobs(const struct settings *s) {
  size_t n = FILES;
  for (size_t i = 0; i < s->n_storages; i++) {
    int64_t max = s->storages[i]->max_connections;
    n += max && max < STORAGE_MAX ? (size_t)max + 2 : STORAGE_MAX; /* 2: of a managed one */
  }
  for (size_t i = 0; i < s->n_pools; i++)
    n += (size_t)s->pools[i]->max_connections * each(s->pools[i]->run_type);
  for (size_t i = 0; i < s->n_topics; i++) {
    const struct topic_settings *t = s->topics[i];
    if (!t->pool && t->here && t->enabled) n += (size_t)t->workers * each(t->run_type);
  }
  return n;
}

struct descriptors {
  size_t limit;              /* of the process, as it is now */
  size_t wanted;             /* what the configuration needs in all */
  size_t kept;               /* for storages, workers, files */
  size_t strangers, friends; /* connections to the admin port */
  size_t clients;            /* connections to the producers' port; max_clients at most */
};

static void share(const struct settings *s, struct descriptors *ret) {
  struct rlimit r;
  const struct http_limits *admin = &http_limits_default;
  size_t jobs = wanted_by_jobs(s), clients = (size_t)s->server.max_clients;
  memset(ret, 0, sizeof *ret);
  ret->limit = UNLIMITED_SIZE + jobs + clients;
  if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur != RLIM_INFINITY) ret->limit = r.rlim_cur;
  ret->wanted = jobs + clients + admin->strangers + admin->friends;
  /* When there are few descriptors, producers and workers get half of them each. */
  ret->kept = jobs < ret->limit / 2 ? jobs : ret->limit / 2;
  size_t left = ret->limit - ret->kept, port = left / ADMIN_PART;
  if (port > admin->strangers + admin->friends) port = admin->strangers + admin->friends;
  /* A fifth of many, half of few: a client with the token is a stranger too until it shows the
   * token. */
  ret->strangers = port / 2 < admin->strangers ? port / 2 : admin->strangers;
  if (!ret->strangers) ret->strangers = 1;
  ret->friends = port > ret->strangers ? port - ret->strangers : 1;
  left -= port;
  ret->clients = clients < left ? clients : left;
  if (!ret->clients) ret->clients = 1;
}

/* Raises the limit to what is wanted, or as far as we may. Then shares out the descriptors. */
void descriptors_share(struct broker *b) {
  struct rlimit limit;
  struct descriptors d;
  share(b->view.settings, &d);
  rlim_t want = (rlim_t)d.wanted;
  if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < want) {
    limit.rlim_cur =
        limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= want ? want : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    share(b->view.settings, &d);
  }
  b->view.strangers = d.strangers;
  b->view.friends = d.friends;
  if (b->view.listener) listener_limit(b->view.listener, d.clients);
  if (d.limit >= d.wanted || b->view.listener) return; /* told at the start */
  log_warning(b->view.log, NULL,
              "the limit of open files is %zu, %zu are needed: %zu are kept for storages and "
              "workers, and of max_clients = %lld at most %zu are accepted. Raise LimitNOFILE or "
              "ulimit -n, or lower max_clients, max_connections and workers",
              d.limit, d.wanted, d.kept, (long long)b->view.settings->server.max_clients,
              d.clients);
}
