/* The transport of run type "http": jobs go to a URL, as the workers' form, or raw to a webhook.
 *
 * This file is the descriptor, the keys, the instances (one per topic), and what the end of a
 * request means as an outcome. Addresses and connections are http_pool's.
 */
#include "http_pool.h"

#include "common/detail.h"
#include "common/fault.h"
#include "http_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "1.0"
#endif

#define TEXT_MAX 2048 /* our own words in a detail, quotations included */

struct plugin {
  const struct pb_host *h;
  struct http_trusts *trusts;
};

struct pool {
  struct plugin *plugin;
  struct pb_owner *o;
  struct http_pool *requests;
};

struct instance {
  struct pool *pool;
  struct pb_owner *o;
  const struct pb_topic_info *topic;
  struct http_target target;
  char path[260]; /* "queue/topic" */
  struct http_request *running, *spare;
  bool draining;
};

static const struct pb_option pool_options[] = {
    {.name = "address",
     .type = PB_OPT_LIST,
     .offset = offsetof(struct http_pool_conf, address),
     .help = "Where connections go: HOST:PORT or unix:/path. The topic's URL still gives Host and "
             "the name in TLS. With several addresses, a request goes to the one with the fewest "
             "requests, and not to those that cannot be reached, are busy, or do not answer. "
             "Empty: to the host of the URL."},
    {.name = "connect_timeout",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct http_pool_conf, connect_timeout_ms),
     .min = 10,
     .max = 60000,
     .def = "3s",
     .help = "How long to wait for a connection, the name's address and TLS included, before the "
             "worker counts as unreachable; never more than half of the time that a request has "
             "left."},
    {.name = "keepalive",
     .type = PB_OPT_BOOL,
     .offset = offsetof(struct http_pool_conf, keepalive),
     .def = "yes",
     .help = "Send further requests on the same connection."},
    {.name = "idle_timeout",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct http_pool_conf, idle_timeout_ms),
     .max = 600000,
     .def = "4s",
     .help = "How long an idle connection is kept. It should be shorter than the server keeps it "
             "(5 s in Node, 75 s in nginx): a request that meets the end of the connection is a "
             "failed attempt."},
    {.name = "connection_max_age",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct http_pool_conf, max_age_ms),
     .max = 86400000,
     .def = "60s",
     .help = "How long a connection to a host name is used for further requests. Then the name is "
             "looked up again, so requests follow a name that has moved. 0: no limit. Connections "
             "to numeric addresses have no limit."},
    {.name = "hangup_after",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct http_pool_conf, hangup_after_ms),
     .min = 1,
     .def = "1m",
     .help = "A worker that timed out may still be running. Its slot stays taken until it answers, "
             "at most for this long."},
    {.name = "max_retry_after",
     .type = PB_OPT_DURATION,
     .offset = offsetof(struct http_pool_conf, max_retry_after_ms),
     .min = 1,
     .max = 86400000,
     .def = "5m",
     .help = "The longest pause that the broker makes for a Retry-After of a worker (with 429 or "
             "503)."},
    {0}};

static const struct pb_option topic_options[] = {
    {.name = "entry",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_REQUIRED,
     .offset = offsetof(struct http_topic_conf, entry),
     .help = "The worker: its URL, http:// or https://."},
    {.name = "host",
     .type = PB_OPT_STRING,
     .offset = offsetof(struct http_topic_conf, host),
     .help = "The Host header, if it differs from the host of the URL. TLS still checks the name "
             "in the URL."},
    {.name = "header",
     .type = PB_OPT_LIST,
     .offset = offsetof(struct http_topic_conf, header),
     .help = "More request headers: \"Name: value\", several with commas between them. So a value "
             "cannot contain a comma."},
    {.name = "authorization",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_SECRET,
     .offset = offsetof(struct http_topic_conf, authorization),
     .help = "The Authorization header, such as \"Bearer ...\" or \"Basic ...\"."},
    {.name = "authorization_file",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = offsetof(struct http_topic_conf, authorization_file),
     .help = "Absolute path of a file whose first line is the Authorization header; read when the "
             "topic starts or changes."},
    {.name = "body",
     .type = PB_OPT_CHOICE,
     .offset = offsetof(struct http_topic_conf, body),
     .choices = "form,content",
     .def = "form",
     .help =
         "form: the workers' form, answered with the header Code. content: the job's own bytes, "
         "answered with any status 2xx, for webhooks; one job in a request."},
    {.name = "content_type",
     .type = PB_OPT_STRING,
     .offset = offsetof(struct http_topic_conf, content_type),
     .def = "application/octet-stream",
     .help = "The Content-Type of jobs with body = content."},
    {.name = "http_version",
     .type = PB_OPT_CHOICE,
     .offset = offsetof(struct http_topic_conf, http_version),
     .choices = "auto,1.1,2,2-prior",
     .def = "auto",
     .help = "auto: HTTP/2 where TLS agrees on it, else 1.1. 2: the same, and http:// is refused. "
             "2-prior: HTTP/2 without TLS as well, for servers that speak nothing else."},
    {.name = "verify",
     .type = PB_OPT_BOOL,
     .offset = offsetof(struct http_topic_conf, verify),
     .def = "yes",
     .help =
         "Check the server's certificate and its name. no: anybody in between can read and answer "
         "requests."},
    {.name = "ca_file",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = offsetof(struct http_topic_conf, ca_file),
     .help = "Absolute path of the authorities' certificates (PEM) that are trusted, instead of "
             "those of the system."},
    {.name = "client_cert",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = offsetof(struct http_topic_conf, client_cert),
     .help = "Absolute path of the certificate (PEM) that is shown to the server."},
    {.name = "client_key",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = offsetof(struct http_topic_conf, client_key),
     .help = "Absolute path of the key of client_cert (PEM). Empty: the key is in the same file."},
    {.name = "client_key_password",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_SECRET,
     .offset = offsetof(struct http_topic_conf, client_key_password),
     .help = "The password of client_key."},
    {.name = "max_response",
     .type = PB_OPT_SIZE,
     .offset = offsetof(struct http_topic_conf, max_response),
     .min = 1024,
     .max = 1024 * 1024 * 1024,
     .def = "8mb",
     .help = "The most bytes that a worker may answer. Over it the attempt fails, and the "
             "connection is closed."},
    {.name = "max_header",
     .type = PB_OPT_SIZE,
     .offset = offsetof(struct http_topic_conf, max_header),
     .min = 1024,
     .max = 256 * 1024,
     .def = "64kb",
     .help = "The most bytes in the header of a worker's answer. Over it the attempt fails, and "
             "the connection is closed."},
    {0}};

enum metric { METRIC_OPENED, METRIC_REUSED, METRIC_OVER_LIMIT };
static const struct pb_metric metrics[] = {
    [METRIC_OPENED] = {"connections_opened_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                       "Connections to workers that were opened."},
    [METRIC_REUSED] = {"connections_reused_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                       "Requests that went out on a connection that was there already."},
    [METRIC_OVER_LIMIT] = {"answers_over_limit_total", PB_METRIC_COUNTER, PB_SCOPE_POOL,
                           "Answers over max_response or max_header."},
    {0}};

/* --- configuration --- */

static int http_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct http_pool_conf *pc = pool_conf;
  int rc = topic_conf ? http_target_check(topic_conf, err) : 0;

  for (size_t i = 0; rc == 0 && pc && pc->address[i]; i++)
    rc = http_addr_check(pc->address[i], err);
  return rc;
}

static int http_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                            const void *topic_conf, struct pb_err *err) {
  const struct http_topic_conf *tc = topic_conf;

  (void)pool_conf;
  if (tc->body != HTTP_BODY_CONTENT || topic->chunk <= 1) return http_target_check_files(tc, err);
  return fault(err, "chunk",
               "body = content carries one job in a request: write chunk = 1, or body = form");
}

/* --- outcomes --- */

/* An answer without a verdict, by its status: says what it was and what would be right. */
static int explain(char *out, size_t cap, const struct instance *in, const struct http_request *r) {
  const struct http_reply *reply = &r->reply;
  bool content = in->target.conf->body == HTTP_BODY_CONTENT;
  const char *entry = in->target.conf->entry, *peer = http_request_peer(r), *hint, *location;
  char quote[DETAIL_QUOTE_MAX + 1], place[DETAIL_QUOTE_MAX + 1];
  int status = reply->status;

  detail_quote(quote, reply->body ? reply->body : "", reply->body_len);
  if (status >= 300 && status < 400) {
    location = http_reply_value(reply, reply->location);
    detail_quote(place, location ? location : "nowhere", location ? strlen(location) : 7);
    return snprintf(
        out, cap,
        "%.300s at %s answered status %d, a redirect to %s: redirects are not followed, "
        "for a job would become another request; write the final URL as entry",
        entry, peer, status, place);
  }
  switch (status) {
  case 400:
    hint = " (not understood; with TLS, perhaps it wants a client certificate)";
    break;
  case 401:
  case 403:
    hint = " (it does not let the broker in: see authorization)";
    break;
  case 404:
    hint = " (there is nothing at this path)";
    break;
  case 405:
    hint = " (nothing there takes a POST)";
    break;
  case 413:
    hint = " (it does not take bodies this large: raise its limit, or lower chunk)";
    break;
  case 502:
    hint = " (a gateway: the worker behind it cannot be reached, or died; whether the job ran "
           "is unknown)";
    break;
  case 504:
    hint = " (a gateway: the worker behind it did not answer in time; whether the job ran is "
           "unknown)";
    break;
  default:
    hint = "";
    break;
  }
  if (status >= 200 && status < 300 && !content)
    return snprintf(
        out, cap,
        "%.300s at %s gave no verdict (status %d, no Code header): does the worker end "
        "with ->do(), and prints nothing before? For a webhook write body = content. %s%s",
        entry, peer, status, reply->body_len ? "Its answer begins: " : "Its answer is empty.",
        reply->body_len ? quote : "");
  return snprintf(out, cap, "%.300s at %s answered status %d%s%s%s", entry, peer, status, hint,
                  reply->body_len ? ": " : "", reply->body_len ? quote : "");
}

/* The other side answered. Returns the length of `text`, if that is to be the detail. */
static int answer(struct pb_result *r, const struct instance *in, const struct http_request *req,
                  char *text, size_t cap) {
  const struct http_reply *reply = &req->reply;
  bool content = in->target.conf->body == HTTP_BODY_CONTENT;

  if (req->work.probe) { /* it can be reached; more cannot be asked of a webhook */
    r->code = 200;
    r->topics = in->path;
    return snprintf(text, cap, "connected to %s", http_request_peer(req));
  }
  if (!content && reply->code) {
    r->code = reply->code;
    r->error_code = http_reply_value(reply, reply->error_code);
    r->topics = http_reply_value(reply, reply->topics);
    r->body = reply->body;
    r->body_len = reply->body_len;
    return 0;
  }
  if (content && reply->status >= 200 && reply->status < 300) {
    r->code = 200;
    r->body = reply->body;
    r->body_len = reply->body_len;
    return 0;
  }
  /* 404 would mean "not registered" to the core; a webhook's is a failed attempt. */
  if (content && reply->status != 404) r->code = reply->status;
  return explain(text, cap, in, req);
}

static void pool_metrics(struct pool *p) {
  const struct pb_host *h = p->plugin->h;
  struct http_pool_counts counts = http_pool_take_counts(p->requests);

  if (counts.opened) h->metric(p->o, METRIC_OPENED, (double)counts.opened);
  if (counts.reused) h->metric(p->o, METRIC_REUSED, (double)counts.reused);
  if (counts.over_limit) h->metric(p->o, METRIC_OVER_LIMIT, (double)counts.over_limit);
}

static enum pb_outcome end_outcome(enum http_end end) {
  switch (end) {
  case HTTP_ANSWERED:
    return PB_ANSWERED;
  case HTTP_BUSY:
  case HTTP_DECLINED:
  case HTTP_FULL:
    return PB_BUSY;
  case HTTP_UNREACHABLE:
    return PB_UNREACHABLE;
  case HTTP_GARBLED:
    return PB_GARBLED;
  case HTTP_LOST:
    break;
  }
  return PB_LOST;
}

static void instance_done(void *inst, const struct http_request *req, enum http_end end) {
  struct instance *in = inst;
  const char *peer = http_request_peer(req);
  struct pb_result r = {.size = sizeof r, .outcome = end_outcome(end)};
  char text[TEXT_MAX];
  int n;

  if (req->cancelled) {
    r.outcome = PB_TIMEOUT;
    n = detail_late(text, sizeof text, peer, end == HTTP_ANSWERED ? NULL : req->why);
  } else if (end == HTTP_ANSWERED) {
    n = answer(&r, in, req, text, sizeof text);
  } else if (end == HTTP_BUSY) {
    r.retry_after_ms = req->granted_ms;
    n = snprintf(text, sizeof text, "%s is busy: %s", peer, req->why);
  } else {
    n = detail_unanswered(text, sizeof text, r.outcome, "", peer, req->why);
  }
  detail_set(&r, text, sizeof text, n);
  pool_metrics(in->pool);
  in->pool->plugin->h->complete(in->o, req->work.ticket, &r);
}

static void instance_released(void *inst) {
  struct instance *in = inst;

  /* The last thing: destroy() may follow from within. */
  if (in->draining && !in->running) in->pool->plugin->h->drained(in->o);
}

static const struct http_pool_ops instance_ops = {instance_done, instance_released};

/* --- instances --- */

static void http_destroy(void *inst) {
  struct instance *in = inst;

  if (!in) return;
  http_pool_drop(&in->running);
  http_pool_drop(&in->spare);
  http_target_done(&in->target);
  free(in);
}

static int http_create(void *pool, struct pb_owner *o, const struct pb_topic_info *topic,
                       const void *conf, void **ret_inst, struct pb_err *err) {
  struct instance *in = calloc(1, sizeof *in);
  int rc;

  if (!in) return fault_memory(err);
  in->pool = pool;
  in->o = o;
  in->topic = topic;
  snprintf(in->path, sizeof in->path, "%s/%s", topic->queue, topic->topic);
  rc = http_target_init(&in->target, conf, topic, in->pool->plugin->trusts,
                        http_pool_conf(in->pool->requests)->keepalive, err);
  if (rc < 0) {
    http_destroy(in);
    return rc;
  }
  if (in->target.tls && !in->target.conf->verify)
    in->pool->plugin->h->log(
        o, PB_LOG_WARNING, "verify = no: anybody between here and %s can read and answer requests",
        in->target.peer);
  if (in->target.named) http_pool_resolves(in->pool->requests);
  *ret_inst = in;
  return 0;
}

static int http_submit(void *inst, const struct pb_batch *b, pb_ticket t, struct pb_err *err) {
  struct instance *in = inst;
  const struct pb_host *h = in->pool->plugin->h;
  bool content = in->target.conf->body == HTTP_BODY_CONTENT;
  struct http_work work = {.inst = in,
                           .ticket = t,
                           .deadline_ms = h->batch_deadline_ms(b),
                           .trace = h->batch_trace(b),
                           .parent = h->batch_traceparent(b)};
  char signature[PB_SIGNATURE_MAX] = "";
  int rc = -ENOMEM;

  if (h->batch_count(b) == 1) {
    work.job_id = h->job_id(b, 0);
    work.attempt = h->job_attempt(b, 0);
  }
  if (content && h->batch_type(b) == PB_BATCH_PING) {
    work.probe = true;
    work.body = "";
  } else if (content) {
    work.body = h->job_body(b, 0, &work.body_len); /* "" of an empty one */
  } else {
    work.body = h->batch_form(b, &work.body_len);
  }
  if (work.body) {
    if (!work.probe) h->sign(in->o, work.body, work.body_len, signature);
    work.signature = signature;
    rc = http_pool_submit(in->pool->requests, &in->spare, &in->running, &in->target, &work);
  }
  if (rc < 0) snprintf(err->text, sizeof err->text, "no memory for the request");
  return rc;
}

static void http_cancel(void *inst, pb_ticket t) {
  struct instance *in = inst;

  http_pool_cancel(in->pool->requests, &in->running, t);
}

static void http_drain(void *inst) {
  struct instance *in = inst;

  in->draining = true;
  instance_released(in);
}

/* --- pools, the plugin --- */

static void http_close(void *pool) {
  struct pool *p = pool;

  if (!p) return;
  http_pool_free(p->requests);
  free(p);
}

static int http_open(void *plugin, struct pb_owner *o, const void *conf, void **ret_pool,
                     struct pb_err *err) {
  struct plugin *pl = plugin;
  struct pool *p = calloc(1, sizeof *p);
  int rc;

  if (!p) return fault_memory(err);
  p->plugin = pl;
  p->o = o;
  rc = http_pool_new(pl->h, o, conf, &instance_ops, &p->requests, err);
  if (rc < 0) {
    free(p);
    return rc;
  }
  *ret_pool = p;
  return 0;
}

static int http_health(void *pool, char *ret, size_t size) {
  struct pool *p = pool;

  return http_pool_health(p->requests, ret, size);
}

static int http_load(const struct pb_host *h, struct pb_owner *o, void **ret_plugin,
                     struct pb_err *err) {
  struct plugin *pl = calloc(1, sizeof *pl);

  if (!pl || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    snprintf(err->text, sizeof err->text, pl ? "libcurl does not start" : "no memory");
    free(pl);
    return -ENOMEM;
  }
  pl->h = h;
  pl->trusts = http_trusts_new(h, o);
  if (!pl->trusts) {
    curl_global_cleanup();
    free(pl);
    return fault_memory(err);
  }
  *ret_plugin = pl;
  return 0;
}

static void http_unload(void *plugin) {
  struct plugin *pl = plugin;

  http_trusts_free(pl->trusts);
  curl_global_cleanup();
  free(pl);
}

static const struct pb_transport http = {
    .magic = PB_MAGIC,
    .size = sizeof(struct pb_transport),
    .abi_major = PB_ABI_MAJOR,
    .abi_minor = PB_ABI_MINOR,
    .option_size = sizeof(struct pb_option),
    .run_type = "http",
    .name = "http",
    .version = PACKAGE_VERSION,
    .summary = "jobs to URLs: workers behind a web server, and webhooks",
    .caps = PB_CAP_CHUNK,
    .pool_options = pool_options,
    .pool_conf_size = sizeof(struct http_pool_conf),
    .topic_options = topic_options,
    .topic_conf_size = sizeof(struct http_topic_conf),
    .load = http_load,
    .unload = http_unload,
    .check = http_check,
    .pool_open = http_open,
    .pool_close = http_close,
    .create = http_create,
    .submit = http_submit,
    .cancel = http_cancel,
    .drain = http_drain,
    .destroy = http_destroy,
    .metrics = metrics,
    .metric_size = sizeof(struct pb_metric),
    .check_topic = http_check_topic,
    .pool_health = http_health,
};

PB_TRANSPORT(http, http)
