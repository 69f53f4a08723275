/* A transport for services that listen on a unix socket and speak JSON, a line each way:
 *
 *   {"id":7,"type":"data","queue":"msg","topic":"reply","trace":"...","jobs":[{"id":"46...",...}]}
 *   {"id":7,"code":200,"message":"said hello"}
 *
 *   {"id":8,"type":"data",...}      {"id":8,"code":207,"jobs":[{"id":"46...","code":200,"msg":""}]}
 *   {"id":9,"type":"ping",...}      {"id":9,"code":200,"topics":["msg/reply"]}
 *
 * Several requests are on their way at a time, over a few connections; answers come in any order.
 *
 *   [pool service]
 *   run_type = unix
 *   address = unix:/run/service.sock
 *
 * It is built outside of Pepperbus' tree, against what `make install` installs (see Makefile), and
 * shows what most transports need: requests that are always ended in one place, connections that
 * are opened by a request and die with what they carried, a limit with -EAGAIN and ready(), a
 * worker that stays busy after its deadline, figures and a sentence of health.
 *
 * Who owns what: the plugin owns pools, a pool its connections, a connection the requests that are
 * on it. An instance counts its requests; one that is destroyed leaves them to the connection, for
 * the service still works on them.
 */
#include <pepperbus/transport.h>

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE 65536

struct pool_conf {
  const char *address;
  int64_t connections, in_flight;
  uint64_t max_answer, give_up_ms;
};

struct plugin {
  const struct pb_host *h;
};

struct pool {
  const struct pb_host *h;
  struct pb_owner *o;
  const struct pool_conf *conf; /* host-owned until pool_close() */
  struct conn *conns;
  unsigned n_conns;
  struct instance *instances;
  char why[160]; /* why the last connection could not be made; "" when it could */
};

struct conn {
  struct conn *next;
  struct pool *pool;
  int fd;
  struct request *requests;
  int64_t in_flight;
  char *out, *in;         /* what is to be sent, what is no whole line yet */
  size_t out_at, out_len; /* of `out`: sent already, all */
  size_t in_len, in_cap;
  uint64_t sent, queued; /* bytes of the connection's life: by then sent, and put into `out` */
};

/* One batch that submit() took. */
struct request {
  struct request *next, **prev; /* the connection's list */
  struct conn *conn;
  struct instance *in; /* NULL: destroyed, nobody wants to hear of it */
  pb_ticket ticket;    /* also its id on the wire */
  uint64_t at;         /* its first byte, in bytes of the connection's life */
  bool ping;
  struct pb_timer *give_up; /* runs after cancel() */
};

struct instance {
  struct instance *next;
  struct pool *pool;
  struct pb_owner *o;                /* host-owned until destroy() */
  const struct pb_topic_info *topic; /* likewise */
  unsigned running;
  bool waiting, draining; /* waiting: was told -EAGAIN */
};

static const struct pb_option pool_options[] = {
    {.name = "address",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_REQUIRED,
     .offset = offsetof(struct pool_conf, address),
     .help = "The service's socket, unix:/path."},
    {.name = "connections",
     .type = PB_OPT_INT,
     .offset = offsetof(struct pool_conf, connections),
     .min = 1,
     .max = 64,
     .def = "2",
     .help = "Connections to the service at most; each is opened when a request needs it."},
    {.name = "in_flight",
     .type = PB_OPT_INT,
     .offset = offsetof(struct pool_conf, in_flight),
     .min = 1,
     .max = 1000,
     .def = "16",
     .help = "Requests on one connection that wait for their answer at most."},
    {.name = "max_answer",
     .type = PB_OPT_SIZE,
     .offset = offsetof(struct pool_conf, max_answer),
     .min = 256,
     .max = 16 * 1024 * 1024,
     .def = "1mb",
     .help = "The longest line that the service may answer; to read one of some megabytes takes as "
             "many times 10 ms, in which nothing else happens."},
    {.name = "give_up",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct pool_conf, give_up_ms),
     .min = 1,
     .def = "5m",
     .help = "How long a request that timed out still counts as running, unless it is answered."},
    {0}};

enum { CONNECTIONS, CONNECTS_TOTAL, REQUESTS_TOTAL, LOST_TOTAL };
static const struct pb_metric metrics[] = {
    [CONNECTIONS] = {"connections", PB_METRIC_GAUGE, PB_SCOPE_POOL, "Connections that are open."},
    [CONNECTS_TOTAL] = {"connects_total", PB_METRIC_COUNTER, PB_SCOPE_POOL, "Connections made."},
    [REQUESTS_TOTAL] = {"requests_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC, "Requests sent."},
    [LOST_TOTAL] = {"lost_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                    "Requests whose connection ended before their answer."},
    {0}};

/* --- requests --- */

/* The one place where a request ends. It is freed, its instance and its connection are not. */
static void request_end(struct request *r, struct pb_result *result) {
  struct instance *in = r->in;
  const struct pb_host *h = r->conn->pool->h;

  *r->prev = r->next;
  if (r->next) r->next->prev = r->prev;
  r->conn->in_flight--;
  h->timer_free(r->give_up);
  if (in) {
    result->size = sizeof *result;
    h->complete(in->o, r->ticket, result);
    if (result->outcome == PB_LOST) h->metric(in->o, LOST_TOTAL, 1);
    if (!--in->running && in->draining) h->drained(in->o);
  }
  free(r);
}

/* ... with one of our own sentences. */
static void request_fail(struct request *r, enum pb_outcome outcome, const char *why) {
  struct pb_result result = {.outcome = outcome, .detail = why, .detail_len = strlen(why)};
  request_end(r, &result);
}

/* There may be room on a connection: who was refused tries again. */
static void pool_room(struct pool *p) {
  for (struct instance *in = p->instances; in; in = in->next)
    if (in->waiting) {
      in->waiting = false;
      p->h->ready(in->o);
    }
}

/* --- connections --- */

/* All that it carried ends. `outcome` is that of requests of which something was sent. */
static void conn_close(struct conn *c, enum pb_outcome outcome, const char *why) {
  struct pool *p = c->pool;
  struct conn **at = &p->conns;

  while (*at != c) at = &(*at)->next;
  *at = c->next;
  p->n_conns--;
  p->h->io_del(p->o, c->fd); /* before close(): its number may be somebody else's at once */
  close(c->fd);
  while (c->requests)
    if (c->requests->at >= c->sent) /* the service cannot have seen a byte of it */
      request_fail(c->requests, PB_UNREACHABLE, why);
    else
      request_fail(c->requests, outcome, why);
  free(c->out);
  free(c->in);
  free(c);
  p->h->metric(p->o, CONNECTIONS, p->n_conns);
  pool_room(p);
}

static void conn_ready(int fd, unsigned events, void *arg);

/* NULL: `ret_why`, and *ret_full says that the service is there but does not accept. */
static struct conn *conn_open(struct pool *p, bool *ret_full) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  struct conn *c = calloc(1, sizeof *c);
  const char *path = p->conf->address + strlen("unix:");
  int rc;

  snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
  if (!c) return NULL;
  c->pool = p;
  c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  rc = c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa) < 0 ? -errno : 0;
  if (!rc) rc = p->h->io_set(p->o, c->fd, PB_IO_READ, conn_ready, c);
  if (rc) {
    *ret_full = rc == -EAGAIN; /* the queue of connections is full */
    snprintf(p->why, sizeof p->why, "%.100s: %s", path, strerror(-rc));
    if (c->fd >= 0) close(c->fd);
    free(c);
    return NULL;
  }
  p->why[0] = 0;
  c->next = p->conns;
  p->conns = c;
  p->h->metric(p->o, CONNECTIONS, ++p->n_conns);
  p->h->metric(p->o, CONNECTS_TOTAL, 1);
  return c;
}

/* The connection for a new request: one without work, else a new one, else the least busy. NULL
 * with *ret_room: it cannot be made; without: all are full. */
static struct conn *conn_choose(struct pool *p, bool *ret_room, bool *ret_full) {
  struct conn *best = NULL;

  for (struct conn *c = p->conns; c; c = c->next)
    if (!best || c->in_flight < best->in_flight) best = c;
  *ret_room = true;
  if (best && !best->in_flight) return best;
  if (p->n_conns < p->conf->connections) {
    struct conn *c = conn_open(p, ret_full);
    if (c || !best) return c;
  }
  *ret_room = best->in_flight < p->conf->in_flight;
  return *ret_room ? best : NULL;
}

/* Sends what it can. False: the connection is closed. */
static bool conn_flush(struct conn *c) {
  struct pool *p = c->pool;

  while (c->out_at < c->out_len) {
    ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      conn_close(c, PB_LOST, strerror(errno));
      return false;
    }
    c->sent += (size_t)n;
    c->out_at += (size_t)n;
  }
  if (c->out_at == c->out_len) c->out_at = c->out_len = 0;
  p->h->io_set(p->o, c->fd, PB_IO_READ | (c->out_len ? PB_IO_WRITE : 0u), conn_ready, c);
  return true;
}

/* The comma list of paths that a ping's answer has. */
static char *topics_text(const json_t *list) {
  char *text = NULL;
  size_t i, len;
  json_t *item;
  FILE *out = open_memstream(&text, &len);

  if (!out) return NULL;
  json_array_foreach(list, i, item) {
    const char *path = json_string_value(item);
    if (path) fprintf(out, "%s%s", i ? "," : "", path);
  }
  fclose(out);
  return text;
}

/* An answer to `r`. Its 207 list goes to the core, which looks for each job's id in it. */
static void answer_take(struct request *r, const json_t *answer) {
  const char *message = json_string_value(json_object_get(answer, "message"));
  const json_t *jobs = json_object_get(answer, "jobs");
  json_int_t code = json_integer_value(json_object_get(answer, "code"));
  char *list = jobs ? json_dumps(jobs, JSON_COMPACT) : NULL;
  char *topics = topics_text(json_object_get(answer, "topics"));
  struct pb_result result = {.outcome = PB_ANSWERED,
                             .code = code > 0 && code < 1000 ? (int32_t)code : 0, /* none */
                             .topics = topics,
                             .body = list      ? list
                                     : message ? message
                                               : ""};

  result.body_len = strlen(result.body);
  request_end(r, &result);
  free(topics);
  free(list);
}

/* One line. False: it is not of the protocol. */
static bool line_take(struct conn *c, const char *line, size_t len) {
  json_t *answer = json_loadb(line, len, 0, NULL);
  json_int_t id = json_integer_value(json_object_get(answer, "id"));
  struct request *r = c->requests;

  while (r && r->ticket != (pb_ticket)id) r = r->next;
  if (r) answer_take(r, answer);
  json_decref(answer);
  return r;
}

/* Reads once, so that one chatty service does not keep the others waiting. */
static void conn_read(struct conn *c) {
  struct pool *p = c->pool;
  char *start, *scan, *end;
  ssize_t n;

  if (c->in_cap - c->in_len < READ_SIZE) {
    char *more = realloc(c->in, c->in_len + READ_SIZE);
    if (!more) {
      conn_close(c, PB_LOST, "no memory for the service's answer");
      return;
    }
    c->in = more;
    c->in_cap = c->in_len + READ_SIZE;
  }
  n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    conn_close(c, PB_LOST, n ? strerror(errno) : "the service closed the connection");
    return;
  }
  start = c->in;
  scan = c->in + c->in_len; /* there is no line's end before it */
  c->in_len += (size_t)n;
  for (; (end = memchr(scan, '\n', c->in_len - (size_t)(scan - c->in))); scan = start = end + 1)
    if (!line_take(c, start, (size_t)(end - start))) {
      conn_close(c, PB_GARBLED, "the service answered a line that is no answer to a request");
      return;
    }
  c->in_len -= (size_t)(start - c->in);
  memmove(c->in, start, c->in_len);
  if (c->in_len > p->conf->max_answer) {
    conn_close(c, PB_GARBLED, "the service's answer is longer than max_answer");
    return;
  }
  pool_room(p);
}

static void conn_ready(int fd, unsigned events, void *arg) {
  struct conn *c = arg;

  (void)fd;
  if (events & PB_IO_WRITE && !conn_flush(c)) return;
  if (events & PB_IO_READ) conn_read(c);
}

/* --- the instance: one per topic --- */

/* Puts the request's line at the end of what is to be sent. False: no memory. */
static bool conn_put(struct conn *c, const struct instance *in, const struct pb_batch *b,
                     const struct request *r) {
  const struct pb_host *h = c->pool->h;
  char head[512];
  size_t jobs_len;
  const char *jobs = h->batch_json(b, &jobs_len); /* "[]" for a ping */
  /* Names of queues and topics need no escape: letters, digits, "_.:-". */
  int head_len = snprintf(
      head, sizeof head,
      "{\"id\":%" PRIu64 ",\"type\":\"%s\",\"queue\":\"%s\",\"topic\":\"%s\",\"trace\":\"%s\","
      "\"jobs\":",
      r->ticket, r->ping ? "ping" : "data", in->topic->queue, in->topic->topic, h->batch_trace(b));
  size_t len = (size_t)head_len + jobs_len + 2;

  if (c->out_at > c->out_len / 2) { /* what was sent makes room */
    c->out_len -= c->out_at;
    memmove(c->out, c->out + c->out_at, c->out_len);
    c->out_at = 0;
  }
  char *out = jobs ? realloc(c->out, c->out_len + len) : NULL;

  if (!out) return false;
  c->out = out;
  out += c->out_len;
  memcpy(out, head, (size_t)head_len);
  memcpy(out + head_len, jobs, jobs_len);
  memcpy(out + head_len + jobs_len, "}\n", 2);
  c->out_len += len;
  c->queued += len;
  return true;
}

static int unix_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  struct pool *p = in->pool;
  bool room, full = false;
  struct conn *c = conn_choose(p, &room, &full);

  if (!room) {
    in->waiting = true;
    return -EAGAIN;
  }
  if (!c) { /* an outcome as any other: complete() may be called from within submit() */
    struct pb_result result = {.size = sizeof result,
                               .outcome = full ? PB_BUSY : PB_UNREACHABLE,
                               .detail = p->why,
                               .detail_len = strlen(p->why)};
    p->h->complete(in->o, t, &result);
    return 0;
  }
  struct request *r = calloc(1, sizeof *r);
  if (r)
    *r = (struct request){.conn = c,
                          .in = in,
                          .ticket = t,
                          .at = c->queued,
                          .ping = p->h->batch_type(b) == PB_BATCH_PING};
  if (!r || !conn_put(c, in, b, r)) {
    free(r);
    snprintf(err->text, sizeof err->text, "no memory for the request");
    return -ENOMEM;
  }
  r->next = c->requests;
  r->prev = &c->requests;
  if (r->next) r->next->prev = &r->next;
  c->requests = r;
  c->in_flight++;
  in->running++;
  p->h->metric(in->o, REQUESTS_TOTAL, 1);
  conn_flush(c);
  return 0;
}

static void request_give_up(void *arg) {
  struct request *r = arg;
  struct pool *p = r->conn->pool;

  request_fail(r, PB_TIMEOUT, "the service never answered");
  pool_room(p);
}

/* The service cannot be told to stop. So the request keeps its place until it is answered: one that
 * works on a late request must not get the next on top of it. */
static void unix_cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;
  struct pool *p = in->pool;

  for (struct conn *c = p->conns; c; c = c->next)
    for (struct request *r = c->requests; r; r = r->next) {
      if (r->ticket != t || r->in != in) continue;
      if (r->give_up) return; /* cancelled before */
      r->give_up = p->h->timer_new(p->o, request_give_up, r);
      if (r->give_up)
        p->h->timer_start(r->give_up, p->conf->give_up_ms);
      else
        request_fail(r, PB_TIMEOUT, "no memory to wait for the service");
      return;
    }
}

static void unix_drain(void *inst) {
  struct instance *in = inst;

  in->draining = true;
  if (!in->running) in->pool->h->drained(in->o);
}

static void unix_destroy(void *inst) {
  struct instance *in = inst, **at = &in->pool->instances;

  for (struct conn *c = in->pool->conns; c; c = c->next)
    for (struct request *r = c->requests; r; r = r->next)
      if (r->in == in) r->in = NULL; /* its answer will be read and not told */
  while (*at != in) at = &(*at)->next;
  *at = in->next;
  free(in);
}

static int unix_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret_inst, struct pb_err *err) {
  struct pool *p = pool;
  struct instance *in = calloc(1, sizeof *in);

  (void)conf; /* no keys in [topic] */
  if (!in) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  *in = (struct instance){.next = p->instances, .pool = p, .o = o, .topic = topic};
  p->instances = in;
  *ret_inst = in;
  return 0;
}

static int unix_health(void *inst, char *ret, size_t size) {
  const struct instance *in = inst;

  snprintf(ret, size, "%u requests wait for the service%s", in->running,
           in->waiting ? ", more would not fit" : "");
  return PB_HEALTH_OK;
}

/* --- pools --- */

static int unix_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                          struct pb_err *err) {
  const struct plugin *pl = plugin;
  struct pool *p = calloc(1, sizeof *p);

  if (!p) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  *p = (struct pool){.h = pl->h, .o = o, .conf = conf};
  *ret_pool = p;
  return 0;
}

static void unix_pool_close(void *pool) {
  struct pool *p = pool;

  while (p->conns) conn_close(p->conns, PB_LOST, "the pool is closed");
  free(p);
}

static int unix_pool_health(void *pool, char *ret, size_t size) {
  const struct pool *p = pool;
  int64_t in_flight = 0;

  for (const struct conn *c = p->conns; c; c = c->next) in_flight += c->in_flight;
  if (p->why[0])
    snprintf(ret, size, "%s", p->why);
  else
    snprintf(ret, size, "%u of %" PRId64 " connections open, %" PRId64 " requests on them",
             p->n_conns, p->conf->connections, in_flight);
  return !p->why[0] ? PB_HEALTH_OK : p->n_conns ? PB_HEALTH_DEGRADED : PB_HEALTH_DOWN;
}

/* --- the plugin --- */

/* Runs for `pepperbusd -t` too, before load(): what the table of keys cannot say. */
static int unix_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct pool_conf *conf = pool_conf;
  const char *why = NULL;

  (void)topic_conf;
  if (!conf) return 0; /* asked about a [topic] */
  if (strncmp(conf->address, "unix:/", 6) != 0)
    why = "is not the address of a socket; write unix:/run/service.sock";
  else if (strlen(conf->address) - strlen("unix:") >= sizeof((struct sockaddr_un *)0)->sun_path)
    why = "is longer than the path of a socket can be (107 bytes)";
  if (!why) return 0;
  snprintf(err->option, sizeof err->option, "address");
  snprintf(err->text, sizeof err->text, "address \"%.200s\" %s", conf->address, why);
  return -EINVAL;
}

static int unix_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                     struct pb_err *err) {
  struct plugin *pl = calloc(1, sizeof *pl);

  (void)o;
  if (!pl) {
    snprintf(err->text, sizeof err->text, "no memory");
    return -ENOMEM;
  }
  pl->h = h;
  *ret_plugin = pl;
  return 0;
}

static void unix_unload(void *plugin) {
  free(plugin);
}

static const struct pb_transport transport = {
    .magic = PB_MAGIC,
    .size = sizeof(struct pb_transport),
    .abi_major = PB_ABI_MAJOR,
    .abi_minor = PB_ABI_MINOR,
    .option_size = sizeof(struct pb_option),
    .run_type = "unix",
    .name = "unix",
    .version = "1.0",
    .summary = "JSON lines to a service on a unix socket",
    .caps = PB_CAP_CHUNK,
    .pool_options = pool_options,
    .pool_conf_size = sizeof(struct pool_conf),
    .load = unix_load,
    .unload = unix_unload,
    .check = unix_check,
    .pool_open = unix_pool_open,
    .pool_close = unix_pool_close,
    .create = unix_create,
    .submit = unix_submit,
    .cancel = unix_cancel,
    .drain = unix_drain,
    .destroy = unix_destroy,
    .metrics = metrics,
    .metric_size = sizeof(struct pb_metric),
    .health = unix_health,
    .pool_health = unix_pool_health,
};

PB_TRANSPORT(unix, transport)
