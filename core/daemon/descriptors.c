/* Owns who may have how many descriptors. A leaf: it only counts. */
#include "daemon/descriptors.h"

#include "admin/http_server.h"
#include "config/settings.h"

#include <string.h>
#include <sys/resource.h>

#define FILES          64 /* the log, listeners, files that are read, pipes of a child being made */
#define STORAGE_MAX    8  /* of one storage, however many connections it may have */
#define ADMIN_PART     8  /* the admin port has an eighth of what is left at most */
#define UNLIMITED_SIZE 1000000

/* Descriptors of a request at a time: exec has three pipes and is given one for what it is just
 * starting; http may keep idle connections beside those that are used. */
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

void descriptors_share(const struct settings *s, struct descriptors *ret) {
  struct rlimit r;
  const struct http_limits *admin = &http_limits_default;
  size_t jobs = wanted_by_jobs(s), clients = (size_t)s->server.max_clients;
  memset(ret, 0, sizeof *ret);
  ret->limit = UNLIMITED_SIZE + jobs + clients;
  if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur != RLIM_INFINITY) ret->limit = r.rlim_cur;
  ret->wanted = jobs + clients + admin->strangers + admin->friends;
  /* Where there is little, producers and workers have half of it each. */
  ret->kept = jobs < ret->limit / 2 ? jobs : ret->limit / 2;
  size_t left = ret->limit - ret->kept, port = left / ADMIN_PART;
  if (port > admin->strangers + admin->friends) port = admin->strangers + admin->friends;
  /* A fifth of many, half of few: whoever has the token is a stranger at first. */
  ret->strangers = port / 2 < admin->strangers ? port / 2 : admin->strangers;
  if (!ret->strangers) ret->strangers = 1;
  ret->friends = port > ret->strangers ? port - ret->strangers : 1;
  left -= port;
  ret->clients = clients < left ? clients : left;
  if (!ret->clients) ret->clients = 1;
}
