/* Owns the life of the host: the plugin is loaded, its pools and topics are opened, all of it ends.
 */
#include "tools/plugin_check/host_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct host *host_new(const struct pb_transport *t, enum host_clock clock,
                      const struct host_watch *w, struct pb_err *err) {
  struct host *h = host_must(calloc(1, sizeof *h));
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = HOST_FD_MAX};
  int rc = 0;

  h->t = t;
  h->clock = clock;
  h->workers = 8;
  h->json = "[{\"id\":\"4611686018427387905\",\"content\":\"x\"}]";
  h->thread = pthread_self();
  h->watch = *w;
  pthread_mutex_init(&h->posted_lock, NULL);
  h->posted_end = &h->posted;
  h->owner = host_owner_new(h, OF_PLUGIN, "the plugin");
  h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  h->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (h->epoll_fd < 0 || h->post_fd < 0 ||
      epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->post_fd, &ev) < 0)
    host_give_up("epoll: %s", strerror(errno));
  host_update_clock(h);
  if (t->load) HOST_CALL(h, "load()", rc = t->load(&host_slots, h->owner, &h->plugin, err));
  if (rc >= 0) return h;
  host_free(h, NULL);
  return NULL;
}

const struct host_stats *host_stats(const struct host *h) {
  return &h->stats;
}

const char *host_last_log(const struct host *h) {
  return h->last_log;
}

void host_sign(struct host *h, bool yes) {
  h->signs = yes;
}

void host_workers(struct host *h, unsigned n) {
  h->workers = n;
}

void host_json(struct host *h, const char *json) {
  h->json = json;
}

void host_forget_results(struct host *h, bool yes) {
  h->forget = yes;
}

void *host_plugin_pool(const struct host_pool *p) {
  return p->pool;
}

void *host_plugin_inst(const struct host_inst *in) {
  return in->inst;
}

void host_pool_close(struct host_pool *p) {
  struct host *h = p->h;
  struct host_pool **at;

  if (p->instances) host_give_up("pool closed before its instances");
  for (at = &h->pools; *at != p; at = &(*at)->next) {
  }
  *at = p->next;
  if (h->t->pool_close) HOST_CALL(h, "pool_close()", h->t->pool_close(p->pool));
  host_owner_gone(p->owner, "pool_close()");
  free(p->own_conf);
  host_free_strings(p->strings);
  free(p);
}

/* After unload(). */
static void check_rest(struct host *h, const char *what) {
  unsigned wrong = 0, open = 0;
  char figures[160];

  for (struct host_ticket *t = h->tickets; t; t = t->next) {
    if (t->completions > 1) wrong++;
    if (!t->completions && !t->inst->destroyed) open++;
  }
  if (!h->watch.verdict) {
    if (h->stats.timers) host_fault(h, "has %u timers that it never freed", h->stats.timers);
    return;
  }
  snprintf(figures, sizeof figures,
           "completed twice %u, never %u, stale %u; faults %u; descriptors %u, timers %u", wrong,
           open, h->stats.stale, h->stats.faults, h->watching, h->stats.timers);
  h->watch.verdict(h->watch.arg, what,
                   !wrong && !open && !h->stats.faults && !h->watching && !h->timers, figures);
}

void host_free(struct host *h, const char *what) {
  for (struct host_inst *in = h->insts, *next; in; in = next) {
    next = in->next;
    if (!in->destroyed) host_destroy(in);
  }
  while (h->pools) host_pool_close(h->pools);
  if (what) { /* else load() failed */
    if (h->t->unload) HOST_CALL(h, "unload()", h->t->unload(h->plugin));
    host_owner_gone(h->owner, "unload()");
    check_rest(h, what);
  }
  while (h->tickets) {
    struct host_ticket *t = h->tickets;

    h->tickets = t->next;
    host_free_ticket(t);
  }
  while (h->over) {
    struct pb_batch *b = h->over;

    h->over = b->next_over;
    free(b);
  }
  while (h->insts) {
    struct host_inst *in = h->insts;

    h->insts = in->next;
    free(in->own_conf);
    host_free_strings(in->strings);
    free(in);
  }
  while (h->timers) host_timer_free(h->timers);
  while (h->children) {
    struct child *c = h->children;

    h->children = c->next;
    free(c);
  }
  while (h->posted) {
    struct posted *p = h->posted;

    h->posted = p->next;
    free(p);
  }
  for (size_t i = 0; i < h->owner_n; i++) free(h->owners[i]);
  free(h->owners);
  close(h->epoll_fd);
  close(h->post_fd);
  pthread_mutex_destroy(&h->posted_lock);
  free(h->queue);
  free(h);
}

static struct host_pool *pool_open(struct host_pool *p, struct pb_err *err) {
  struct host *h = p->h;
  int rc = 0;

  p->owner = host_owner_new(h, OF_POOL, "a pool");
  p->pool = h->plugin;
  if (h->t->pool_open)
    HOST_CALL(h, "pool_open()", rc = h->t->pool_open(h->plugin, p->owner, p->conf, &p->pool, err));
  if (rc < 0) {
    host_owner_gone(p->owner, "a pool_open() that failed");
    free(p->own_conf);
    host_free_strings(p->strings);
    free(p);
    return NULL;
  }
  p->next = h->pools;
  h->pools = p;
  return p;
}

struct host_pool *host_pool(struct host *h, struct pb_err *err, ...) {
  struct host_pool *p = host_must(calloc(1, sizeof *p));
  struct pb_err ignored;
  va_list ap;

  if (!err) err = &ignored;
  *err = (struct pb_err){0};
  p->h = h;
  va_start(ap, err);
  p->conf = p->own_conf = host_fill(h->t->pool_options, h->t->pool_conf_size, ap, &p->strings);
  va_end(ap);
  return pool_open(p, err);
}

struct host_pool *host_pool_with(struct host *h, const void *conf, struct pb_err *err) {
  struct host_pool *p = host_must(calloc(1, sizeof *p));

  *err = (struct pb_err){0};
  p->h = h;
  p->conf = conf;
  return pool_open(p, err);
}

static struct host_inst *create(struct host_inst *in, const char *queue, const char *topic,
                                unsigned chunk, struct pb_err *err) {
  static const char *const listen[] = {"127.0.0.1:12017", NULL};
  struct host *h = in->p->h;
  char name[300];
  int rc;

  snprintf(name, sizeof name, "%s/%s", queue, topic);
  in->owner = host_owner_new(h, OF_TOPIC, name);
  in->info = (struct pb_topic_info){.size = sizeof in->info,
                                    .queue = host_keep_string(&in->strings, queue, strlen(queue)),
                                    .topic = host_keep_string(&in->strings, topic, strlen(topic)),
                                    .workers = in->p->h->workers,
                                    .chunk = chunk,
                                    .timeout_ms = 60000,
                                    .listen = listen};
  HOST_CALL(h, "create()",
            rc = h->t->create(in->p->pool, in->owner, &in->info, in->conf, &in->inst, err));
  if (rc < 0) {
    host_owner_gone(in->owner, "a create() that failed");
    free(in->own_conf);
    host_free_strings(in->strings);
    free(in);
    return NULL;
  }
  in->next = h->insts;
  h->insts = in;
  in->p->instances++;
  return in;
}

struct host_inst *host_topic(struct host_pool *p, const char *queue, const char *topic,
                             struct pb_err *err, ...) {
  struct host *h = p->h;
  struct host_inst *in = host_must(calloc(1, sizeof *in));
  struct pb_err ignored;
  va_list ap;

  if (!err) err = &ignored;
  *err = (struct pb_err){0};
  in->p = p;
  va_start(ap, err);
  in->conf = in->own_conf = host_fill(h->t->topic_options, h->t->topic_conf_size, ap, &in->strings);
  va_end(ap);
  return create(in, queue, topic, 1, err);
}

struct host_inst *host_topic_with(struct host_pool *p, const char *queue, const char *topic,
                                  unsigned chunk, const void *conf, struct pb_err *err) {
  struct host_inst *in = host_must(calloc(1, sizeof *in));

  *err = (struct pb_err){0};
  in->p = p;
  in->conf = conf;
  return create(in, queue, topic, chunk, err);
}
