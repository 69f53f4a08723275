/* The transport of run type "cgi": jobs go to a FastCGI responder, usually php-fpm, as a form.
 *
 * This file is the descriptor, the keys, the instances (one per topic), and what the end of a
 * request means as an outcome. Connections are fcgi_pool's.
 */
#include "fcgi_pool.h"

#include "common/detail.h"
#include "common/fault.h"
#include "common/list.h"

#include <errno.h>
#include <pepperbus/text.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "1.0"
#endif

#define ENTRY_MAX   4095                         /* PATH_MAX without the NUL */
#define HEAD_MAX    (FCGI_BEGIN_LEN + 16 * 1024) /* the entry stands in it three times */
#define TEXT_MAX    1024                         /* our own words in a detail */
#define RESOLVED_MS 200 /* so long the entry's links are not looked at again */

struct plugin {
  const struct pb_host *h;
  struct pb_owner *o;
};

struct pool {
  struct plugin *plugin;
  struct pb_owner *o;
  struct fcgi_pool *conns;
  struct instance *instances;
};

struct topic_conf {
  const char *entry;
  int entry_realpath;
};

/* BEGIN_REQUEST and the PARAMS that are the same for every request; keeping the connection
 * afterwards, or not. Requests on their way point at it. */
struct head {
  struct head *next; /* of the instance's old ones */
  uint8_t *keep, *once;
  size_t len;
  char script[]; /* the entry, its links resolved */
};

struct instance {
  struct pool *pool;
  struct pb_owner *o;
  const struct pb_topic_info *topic;
  const char *entry;
  bool realpath;
  bool as_written; /* for php-fpm has no script where the links lead on this machine */
  uint64_t resolved_ms;
  struct head *head, *old_heads;
  struct fcgi_conn *running;
  bool draining;
  struct instance *next, **prev; /* in the list of its pool */
  uint64_t busy_ms;              /* run time of its requests since the last status page */
  /* The processes of that page whose last request was one of this entry: */
  unsigned processes;
  double cpu; /* cores, their sum */
  uint64_t memory;
};

enum figure {
  CONNECTIONS,
  UNREACHABLE_ADDRESSES,
  RELOADS,
  WORKERS,
  WORKERS_ACTIVE,
  WORKERS_IDLE,
  WAITING,
  MAX_CHILDREN_REACHED,
  SLOW_REQUESTS,
  START_TIME,
  CPU_SECONDS,
  MEMORY_PEAK
};

static const struct pb_metric metrics[] = {
    [CONNECTIONS] = {"connections_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                     "Connections made to the workers."},
    [UNREACHABLE_ADDRESSES] = {"unreachable_addresses", PB_METRIC_GAUGE, PB_SCOPE_POOL,
                               "Addresses of the pool that were not reached the last time."},
    [RELOADS] = {"reloads_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                 "Restarts and reloads of php-fpm that its status page showed."},
    [WORKERS] = {"workers", PB_METRIC_GAUGE, PB_SCOPE_POOL,
                 "Children of php-fpm, by its status page."},
    [WORKERS_ACTIVE] = {"workers_active", PB_METRIC_GAUGE, PB_SCOPE_POOL,
                        "Children with a request (anybody's), or kept by a connection."},
    [WORKERS_IDLE] = {"workers_idle", PB_METRIC_GAUGE, PB_SCOPE_POOL, "Children that are free."},
    [WAITING] = {"waiting", PB_METRIC_GAUGE, PB_SCOPE_POOL,
                 "Connections (anybody's) that wait for a child, by the kernel."},
    [MAX_CHILDREN_REACHED] = {"max_children_reached_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                              "Times that pm.max_children kept php-fpm from starting a child."},
    [SLOW_REQUESTS] = {"slow_requests_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                       "Requests over php-fpm's request_slowlog_timeout."},
    [START_TIME] = {"start_time_seconds", PB_METRIC_GAUGE, PB_SCOPE_POOL,
                    "When php-fpm was started or last reloaded, Unix time."},
    [CPU_SECONDS] = {"cpu_seconds_total", PB_METRIC_COUNTER, PB_SCOPE_TOPIC,
                     "CPU time of the topic's requests: their run time by the share of it that "
                     "the status page's sample of last requests spent on the CPU."},
    [MEMORY_PEAK] = {"memory_peak_bytes", PB_METRIC_GAUGE, PB_SCOPE_TOPIC,
                     "Most memory that a request of the topic's used, of the status page's sample "
                     "of last requests."},
    {0}};

static const struct pb_option pool_options[] = {
    {.name = "address",
     .type = PB_OPT_LIST,
     .flags = PB_OPT_REQUIRED,
     .offset = offsetof(struct fcgi_pool_conf, address),
     .help = "Where the FastCGI workers listen: HOST:PORT with a numeric host or localhost, or "
             "unix:/path. With several addresses, requests go to each in turn."},
    {.name = "connect_timeout",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct fcgi_pool_conf, connect_timeout_ms),
     .min = 10,
     .max = 60000,
     .def = "1s",
     .help =
         "How long to wait for a connection before the worker counts as unreachable; never more "
         "than half of the time that a request has left."},
    {.name = "keepalive",
     .type = PB_OPT_BOOL,
     .offset = offsetof(struct fcgi_pool_conf, keepalive),
     .def = "yes",
     .help = "Send further requests on the same connection while there are any; a php-fpm child "
             "serves nobody else meanwhile."},
    {.name = "idle_timeout",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct fcgi_pool_conf, idle_timeout_ms),
     .max = 60000,
     .def = "5ms",
     .help = "How long an idle connection is kept. It occupies a php-fpm child for that time. 0: "
             "it is closed at once."},
    {.name = "hangup_after",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct fcgi_pool_conf, hangup_after_ms),
     .min = 1,
     .def = "5m",
     .help = "A script that timed out may still be running. Its connection stays counted until the "
             "script ends, at most for this long. Set it to php-fpm's request_terminate_timeout."},
    {.name = "max_response",
     .type = PB_OPT_SIZE,
     .offset = offsetof(struct fcgi_pool_conf, max_response),
     .min = 1024,
     .max = 1024 * 1024 * 1024,
     .def = "8mb",
     .help = "The most bytes that a worker may answer. Over it the attempt fails, and the "
             "connection is closed."},
    {.name = "status",
     .type = PB_OPT_LIST,
     .offset = offsetof(struct fcgi_pool_conf, watch.status),
     .help = "Address of php-fpm's status page (pm.status_listen): HOST:PORT or unix:/path. With "
             "several addresses, one for each. Empty: the page is not read."},
    {.name = "status_path",
     .type = PB_OPT_STRING,
     .offset = offsetof(struct fcgi_pool_conf, watch.path),
     .def = "/status",
     .help = "Path of the status page: php-fpm's pm.status_path."},
    {.name = "status_interval",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct fcgi_pool_conf, watch.interval_ms),
     .min = 100,
     .max = 3600000,
     .def = "1s",
     .help = "How often the status page is read while there is work, and at most when somebody "
             "looks. The page of an idle pool is not read."},
    {0}};

static const struct pb_option topic_options[] = {
    {.name = "entry",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_REQUIRED,
     .offset = offsetof(struct topic_conf, entry),
     .help = "The worker: absolute path of the PHP file, as php-fpm sees it."},
    {.name = "entry_realpath",
     .type = PB_OPT_BOOL,
     .offset = offsetof(struct topic_conf, entry_realpath),
     .def = "yes",
     .help =
         "Resolve symbolic links in entry before each request, as nginx' $realpath_root does: a "
         "deploy that switches a link takes effect at once. A path that is not on this machine "
         "(php-fpm in a container, a chroot, elsewhere) is sent as it is written."},
    {0}};

static bool instance_resolve(struct instance *in);
static void heads_drop(struct head **list);

/* --- configuration --- */

static int check_entry(const char *entry, struct pb_err *err) {
  const char *why = NULL;

  if (!entry || !*entry)
    why = "is missing: it is the absolute path of the worker's PHP file";
  else if (entry[0] != '/')
    why = "is a relative path: php-fpm needs an absolute one, such as /srv/app/Worker.php";
  else if (strlen(entry) > ENTRY_MAX)
    why = "is longer than a path can be";
  else if (entry[strlen(entry) - 1] == '/')
    why = "is a directory: it must name the PHP file";
  else if (strpbrk(entry, "\r\n\t"))
    why = "has a line break or a tab in it";
  if (!why) return 0;
  if (!entry || !*entry) return fault(err, "entry", "entry %s", why);
  return fault(err, "entry", "entry \"%.200s\" %s", entry, why);
}

static int fastcgi_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct fcgi_pool_conf *pc = pool_conf;
  const struct topic_conf *tc = topic_conf;
  struct fcgi_addr addr;

  if (tc) return check_entry(tc->entry, err);
  if (!pc) return 0;
  for (size_t i = 0; pc->address && pc->address[i]; i++) {
    if (fcgi_addr_parse(&addr, pc->address[i], err) == 0) continue;
    snprintf(err->option, sizeof err->option, "address");
    return -EINVAL;
  }
  for (size_t i = 0; pc->watch.status && pc->watch.status[i]; i++) {
    if (fcgi_addr_parse(&addr, pc->watch.status[i], err) == 0) continue;
    snprintf(err->option, sizeof err->option, "status");
    return -EINVAL;
  }
  if (pc->watch.path && pc->watch.path[0] != '/')
    return fault(err, "status_path",
                 "status_path \"%.200s\" does not begin with /: write it as php-fpm's "
                 "pm.status_path has it, such as /status",
                 pc->watch.path);
  return 0;
}

/* --- outcomes --- */

/* The worker's own error text: whole characters, without blanks around it. */
static const char *tail_text(const struct fcgi_tail *t, size_t *ret_len) {
  size_t from = 0, to = t->len;

  if (t->cut)
    while (from < to && from < 3 && pb_text_within(t->buf[from])) from++;
  while (to > from && (unsigned char)t->buf[to - 1] <= ' ') to--;
  while (from < to && (unsigned char)t->buf[from] <= ' ') from++;
  *ret_len = to - from;
  return to > from ? t->buf + from : "";
}

static bool contains(const char *text, size_t len, const char *word) {
  size_t n = strlen(word);

  for (; text && len >= n; text++, len--)
    if (memcmp(text, word, n) == 0) return true;
  return false;
}

/* END_REQUEST came without a Code header: finds the most likely reason. */
static int explain(char *out, size_t cap, const struct instance *in, const struct fcgi_conn *c,
                   const char *body, size_t body_len) {
  size_t err_len;
  const char *err = tail_text(&c->tail, &err_len), *peer = c->addr->name;
  char quote[DETAIL_QUOTE_MAX + 1];

  if (c->reply.status == 404 && (contains(err, err_len, "Primary script unknown") ||
                                 contains(body, body_len, "File not found."))) {
    bool resolved = strcmp(in->head->script, in->entry) != 0;

    return snprintf(
        out, cap,
        "php-fpm at %s has no script %s: is the path right there (chroot, container), "
        "and may its user read it?%s%s%s",
        peer, in->head->script, resolved ? " It is what " : "", resolved ? in->entry : "",
        resolved ? " leads to on this machine; if it does not there, write entry_realpath = no"
                 : "");
  }
  if (c->reply.status >= 400) {
    detail_quote(quote, body, body_len);
    return snprintf(out, cap, "%s at %s failed with status %d: %.*s", in->entry, peer,
                    c->reply.status, err_len ? (int)err_len : DETAIL_QUOTE_MAX,
                    err_len ? err : quote);
  }
  detail_quote(quote, body, body_len);
  return snprintf(out, cap,
                  "%s at %s gave no verdict (no Code header): does it end with ->do(), and prints "
                  "nothing before? %s%s%s%.*s",
                  in->entry, peer, body_len ? "Its output begins: " : "It printed nothing.",
                  body_len ? quote : "", err_len ? "\n" : "", (int)err_len, err_len ? err : "");
}

/* Did the request meet a release that a deploy has deleted since its path was resolved? Then
 * nothing of the job was run. */
static bool moved(struct instance *in, const struct fcgi_conn *c) {
  size_t len;
  const char *err = tail_text(&c->tail, &len);
  const uint8_t *sent = c->work.head;

  if (!in->realpath || !contains(err, len, "Primary script unknown")) return false;
  instance_resolve(in);
  if (sent != in->head->keep && sent != in->head->once) return true;
  /* Another machine, container or root, where the links lead elsewhere: the next one, a ping
   * mostly, tries the other way. */
  if (in->as_written || strcmp(in->head->script, in->entry) != 0) in->as_written = !in->as_written;
  return false;
}

/* The other side answered. Returns the length of `text`, if that is to be the detail. */
static int answer(struct pb_result *r, struct instance *in, const struct fcgi_conn *c, char *text,
                  size_t cap) {
  const struct fcgi_reply *reply = &c->reply;

  if (c->reader.status == FCGI_OVERLOADED) {
    r->outcome = PB_BUSY;
    return snprintf(text, cap, "the FastCGI server at %s says that it is overloaded",
                    c->addr->name);
  }
  if (c->reader.status != FCGI_REQUEST_COMPLETE) {
    r->outcome = PB_GARBLED;
    return snprintf(text, cap,
                    "the FastCGI server at %s refused the request with protocol status %u",
                    c->addr->name, c->reader.status);
  }
  r->code = reply->code;
  if (reply->error_code) r->error_code = reply->buf + reply->error_code;
  if (reply->topics) r->topics = reply->buf + reply->topics;
  if (reply->body) {
    r->body = reply->buf + reply->body;
    r->body_len = reply->len - reply->body;
  }
  if (!r->code && reply->status == 404 && moved(in, c)) {
    r->outcome = PB_BUSY;
    return snprintf(text, cap, "%s was switched to another release just now", in->entry);
  }
  if (!r->code) return explain(text, cap, in, c, r->body ? r->body : "", r->body_len);
  if (c->tail.len) r->detail = tail_text(&c->tail, &r->detail_len);
  if (!r->detail_len) r->detail = NULL;
  return 0;
}

static enum pb_outcome end_outcome(enum fcgi_end end) {
  switch (end) {
  case FCGI_PENDING:
  case FCGI_ANSWERED:
    return PB_ANSWERED;
  case FCGI_UNREACHABLE:
    return PB_UNREACHABLE;
  case FCGI_FULL:
    return PB_BUSY;
  case FCGI_GARBLED:
    return PB_GARBLED;
  case FCGI_UNSENT:
  case FCGI_LOST:
  case FCGI_HUNG_UP:
    break;
  }
  return PB_LOST;
}

static void instance_done(void *inst, const struct fcgi_conn *c, enum fcgi_end end) {
  struct instance *in = inst;
  const char *peer = c->addr->name;
  struct pb_result r = {.size = sizeof r, .outcome = end_outcome(end)};
  char text[TEXT_MAX + ENTRY_MAX + FCGI_STDERR_MAX];
  int n;

  if (c->cancelled) {
    r.outcome = PB_TIMEOUT;
    n = detail_late(text, sizeof text, peer, end == FCGI_ANSWERED ? NULL : c->why);
  } else if (r.outcome == PB_ANSWERED) {
    in->busy_ms += in->pool->plugin->h->now_ms(in->o) - c->sent_ms;
    n = answer(&r, in, c, text, sizeof text);
  } else {
    n = detail_unanswered(text, sizeof text, r.outcome, "php-fpm at ", peer, c->why);
  }
  detail_set(&r, text, sizeof text, n);
  in->pool->plugin->h->complete(in->o, c->work.ticket, &r);
}

static void instance_released(void *inst) {
  struct instance *in = inst;

  if (!in->running) heads_drop(&in->old_heads);

  /* The last thing: destroy() may follow from within. */
  if (in->draining && !in->running) in->pool->plugin->h->drained(in->o);
}

/* --- figures of the workers --- */

static void pool_load(void *arg, int waiting, const struct fcgi_page *all) {
  struct pool *p = arg;
  const struct pb_host *h = p->plugin->h;
  struct pb_pool_load load = {.size = sizeof load, .workers = -1, .idle = -1, .queued = waiting};

  if (waiting >= 0) h->metric(p->o, WAITING, waiting);
  h->metric(p->o, CONNECTIONS, fcgi_pool_opened(p->conns));
  h->metric(p->o, UNREACHABLE_ADDRESSES, (double)fcgi_pool_failing(p->conns));
  if (all) {
    load.workers = (int32_t)all->total;
    /* Of a pool that grows when it must, idle children are not all that there could be. */
    if (all->fixed) load.idle = (int32_t)all->idle;
    h->metric(p->o, WORKERS, (double)all->total);
    h->metric(p->o, WORKERS_ACTIVE, (double)all->active);
    h->metric(p->o, WORKERS_IDLE, (double)all->idle);
    h->metric(p->o, START_TIME, (double)all->start_time);
  }
  if (all || waiting >= 0) h->pool_load(p->o, &load);
}

static void pool_process(void *arg, const struct fcgi_process *proc) {
  struct pool *p = arg;

  for (struct instance *in = p->instances; in; in = in->next) {
    if (strcmp(in->entry, proc->script) != 0 && strcmp(in->head->script, proc->script) != 0)
      continue;
    in->processes++;
    in->cpu += proc->cpu;
    if (proc->memory > in->memory) in->memory = proc->memory;
  }
}

/* The page tells for the last request of each process which part of its time was spent on the CPU.
 * These requests are a sample of all requests since the last page. */
static void pool_page(void *arg, const struct fcgi_page *delta, bool reloaded) {
  struct pool *p = arg;
  const struct pb_host *h = p->plugin->h;

  if (reloaded) {
    h->metric(p->o, RELOADS, 1);
    h->log(p->o, PB_LOG_INFO, "php-fpm was restarted, with %" PRIu64 " children", delta->total);
  }
  h->metric(p->o, MAX_CHILDREN_REACHED, (double)delta->max_children_reached);
  h->metric(p->o, SLOW_REQUESTS, (double)delta->slow_requests);
  for (struct instance *in = p->instances; in; in = in->next) {
    if (in->processes) {
      h->metric(in->o, CPU_SECONDS, (double)in->busy_ms / 1000 * in->cpu / in->processes);
      h->metric(in->o, MEMORY_PEAK, (double)in->memory);
      in->busy_ms = 0;
    }
    in->processes = 0;
    in->cpu = 0;
    in->memory = 0;
  }
}

static const struct fcgi_pool_ops instance_ops = {
    .done = instance_done,
    .released = instance_released,
    .watch = {.load = pool_load, .page = pool_page, .process = pool_process},
};

/* --- instances --- */

static void put_param(struct fcgi_params *p, const char *name, const char *value) {
  fcgi_params_add(p, name, value, strlen(value));
}

static void head_free(struct head *head) {
  if (!head) return;
  free(head->keep);
  free(head->once);
  free(head);
}

static void heads_drop(struct head **list) {
  while (*list) {
    struct head *head = *list;

    *list = head->next;
    head_free(head);
  }
}

/* The PARAMS for `script`, behind a BEGIN_REQUEST. Their length, or -errno. */
static int head_write(const struct instance *in, const char *script, uint8_t *out) {
  const char *slash = strrchr(script, '/');
  size_t root_len = slash > script ? (size_t)(slash - script) : 1;
  struct fcgi_params p;
  char timeout[24];

  fcgi_put_begin(out, true);
  fcgi_params_init(&p, out + FCGI_BEGIN_LEN, HEAD_MAX - FCGI_BEGIN_LEN);
  put_param(&p, "SCRIPT_FILENAME", script);
  put_param(&p, "SCRIPT_NAME", slash);
  fcgi_params_add(&p, "DOCUMENT_ROOT", script, root_len);
  put_param(&p, "REQUEST_URI", slash);
  put_param(&p, "REQUEST_METHOD", "POST"); /* without it php answers an empty 200 at once */
  put_param(&p, "QUERY_STRING", "");
  put_param(&p, "CONTENT_TYPE", "application/x-www-form-urlencoded");
  put_param(&p, "GATEWAY_INTERFACE", "CGI/1.1");
  put_param(&p, "SERVER_PROTOCOL", "HTTP/1.1");
  put_param(&p, "SERVER_SOFTWARE", "pepperbus/" PACKAGE_VERSION);
  put_param(&p, "SERVER_NAME", "pepperbus");
  put_param(&p, "REMOTE_ADDR", "127.0.0.1");
  put_param(&p, "HTTP_IS_PEPPER_BUS_REQUEST", "true");
  put_param(&p, "HTTP_X_PEPPERBUS_QUEUE", in->topic->queue);
  put_param(&p, "HTTP_X_PEPPERBUS_TOPIC", in->topic->topic);
  snprintf(timeout, sizeof timeout, "%" PRIu64, in->topic->timeout_ms);
  put_param(&p, "HTTP_X_PEPPERBUS_TIMEOUT", timeout); /* in ms; workers plan by it */
  return fcgi_params_end(&p);
}

static int head_new(const struct instance *in, const char *script, struct head **ret,
                    struct pb_err *err) {
  struct head *head = calloc(1, sizeof *head + strlen(script) + 1);
  int n = -ENOMEM;

  if (head) head->keep = malloc(HEAD_MAX);
  if (!head || !head->keep) goto failed;
  strcpy(head->script, script);
  n = head_write(in, script, head->keep);
  if (n < 0) goto failed;
  head->len = FCGI_BEGIN_LEN + (size_t)n;
  n = -ENOMEM;
  head->once = malloc(head->len);
  if (!head->once) goto failed;
  memcpy(head->once, head->keep, head->len);
  fcgi_put_begin(head->once, false);
  *ret = head;
  return 0;
failed:
  head_free(head);
  if (n == -ENOMEM) return fault_memory(err);
  fault(err, "entry", "entry is too long for a FastCGI request");
  return n;
}

/* Where the entry's links lead now. A path that is not here is php-fpm's alone. True: elsewhere
 * than before. */
static bool instance_resolve(struct instance *in) {
  char resolved[PATH_MAX];
  const char *script = in->entry;
  struct pb_err err;
  struct head *head;

  in->resolved_ms = in->pool->plugin->h->now_ms(in->o);
  if (in->realpath && !in->as_written && realpath(in->entry, resolved)) script = resolved;
  if (in->head && strcmp(in->head->script, script) == 0) return false;
  if (head_new(in, script, &head, &err) < 0) return false; /* the old one stays in use */
  if (in->head) {
    in->head->next = in->old_heads;
    in->old_heads = in->head;
  }
  in->head = head;
  return true;
}

static void fastcgi_destroy(void *inst) {
  struct instance *in = inst;

  if (!in) return;
  if (in->prev) LIST_REMOVE(in);
  fcgi_pool_drop(in->pool->conns, &in->running);
  head_free(in->head);
  heads_drop(&in->old_heads);
  free(in);
}

static int fastcgi_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                          const void *conf, void **ret_inst, struct pb_err *err) {
  const struct topic_conf *tc = conf;
  struct instance *in;
  int rc = check_entry(tc->entry, err);

  if (rc < 0) return rc;
  in = calloc(1, sizeof *in);
  if (!in) return fault_memory(err);
  in->pool = pool;
  in->o = o;
  in->topic = topic;
  in->entry = tc->entry;
  in->realpath = tc->entry_realpath;
  rc = head_new(in, in->entry, &in->head, err);
  if (rc < 0) {
    fastcgi_destroy(in);
    return rc;
  }
  instance_resolve(in);
  LIST_PUSH(&in->pool->instances, in);
  *ret_inst = in;
  return 0;
}

static int fastcgi_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  const struct pb_host *h = in->pool->plugin->h;
  bool keep = fcgi_pool_keeps(in->pool->conns);
  struct fcgi_work work;
  char signature[PB_SIGNATURE_MAX] = "";
  int rc = -ENOMEM;

  if (in->realpath && h->now_ms(in->o) - in->resolved_ms >= RESOLVED_MS) instance_resolve(in);
  work = (struct fcgi_work){.inst = in,
                            .ticket = t,
                            .deadline_ms = h->batch_deadline_ms(b),
                            .head = keep ? in->head->keep : in->head->once,
                            .head_len = in->head->len,
                            .keep = keep,
                            .trace = h->batch_trace(b),
                            .traceparent = h->batch_traceparent(b)};
  work.body = h->batch_form(b, &work.body_len);
  if (work.body && h->sign(in->o, work.body, work.body_len, signature)) work.signature = signature;
  if (work.body) rc = fcgi_pool_submit(in->pool->conns, &in->running, &work);
  if (rc < 0) snprintf(err->text, sizeof err->text, "no memory for the request");
  return rc;
}

static void fastcgi_cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;

  fcgi_pool_cancel(in->pool->conns, &in->running, t);
}

static void fastcgi_drain(void *inst) {
  struct instance *in = inst;

  in->draining = true;
  instance_released(in);
}

/* --- pools, the plugin --- */

static void fastcgi_pool_close(void *pool) {
  struct pool *p = pool;

  if (!p) return;
  fcgi_pool_free(p->conns);
  free(p);
}

static int fastcgi_pool_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                             struct pb_err *err) {
  struct plugin *pl = plugin;
  struct pool *p = calloc(1, sizeof *p);
  int rc;

  if (!p) return fault_memory(err);
  p->plugin = pl;
  p->o = o;
  rc = fcgi_pool_new(pl->h, o, conf, &instance_ops, p, &p->conns, err);
  if (rc < 0) {
    free(p);
    return rc;
  }
  *ret_pool = p;
  return 0;
}

static int fastcgi_pool_health(void *pool, char *ret, size_t size) {
  struct pool *p = pool;

  return fcgi_pool_health(p->conns, ret, size);
}

static int fastcgi_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                        struct pb_err *err) {
  struct plugin *pl = calloc(1, sizeof *pl);

  if (!pl) return fault_memory(err);
  pl->h = h;
  pl->o = o;
  *ret_plugin = pl;
  return 0;
}

static void fastcgi_unload(void *plugin) {
  free(plugin);
}

static const struct pb_transport fastcgi = {
    .magic = PB_MAGIC,
    .size = sizeof(struct pb_transport),
    .abi_major = PB_ABI_MAJOR,
    .abi_minor = PB_ABI_MINOR,
    .option_size = sizeof(struct pb_option),
    .run_type = "cgi",
    .name = "fastcgi",
    .version = PACKAGE_VERSION,
    .summary = "jobs to PHP files behind php-fpm, or any FastCGI responder",
    .caps = PB_CAP_CHUNK,
    .pool_options = pool_options,
    .pool_conf_size = sizeof(struct fcgi_pool_conf),
    .topic_options = topic_options,
    .topic_conf_size = sizeof(struct topic_conf),
    .load = fastcgi_load,
    .unload = fastcgi_unload,
    .check = fastcgi_check,
    .pool_open = fastcgi_pool_open,
    .pool_close = fastcgi_pool_close,
    .create = fastcgi_create,
    .submit = fastcgi_submit,
    .cancel = fastcgi_cancel,
    .drain = fastcgi_drain,
    .destroy = fastcgi_destroy,
    .metrics = metrics,
    .metric_size = sizeof(struct pb_metric),
    .pool_health = fastcgi_pool_health,
};

PB_TRANSPORT(fastcgi, fastcgi)
