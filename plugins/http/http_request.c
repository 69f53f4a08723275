/* One request's way, through libcurl or over a connection that libcurl made. Calls libcurl,
 * curl_loop, http_conn, http_reply.
 */
#include "http_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRACE_MAX 256

static const char *const prefixes[HTTP_NODES] = {
    [HTTP_NODE_TRACE] = "X-Pepperbus-Trace: ",
    [HTTP_NODE_PARENT] = "traceparent: ",
    [HTTP_NODE_SIGNATURE] = "X-Pepperbus-Signature: ",
    [HTTP_NODE_KEY] = "Idempotency-Key: ",
    [HTTP_NODE_JOB] = "X-Pepperbus-Job-Id: ",
    [HTTP_NODE_ATTEMPT] = "X-Pepperbus-Attempt: ",
};

/* --- libcurl's callbacks --- */

/* Anything but the length ends the transfer; call_end() finds reply.bad. */
static size_t on_line(char *line, size_t size, size_t len, void *arg) {
  struct http_request *r = arg;

  (void)size;
  return http_reply_line(&r->reply, line, len) < 0 ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t len, void *arg) {
  struct http_request *r = arg;

  (void)size;
  if (r->cancelled) return len;
  return http_reply_body(&r->reply, data, len) < 0 ? 0 : len;
}

/* --- life --- */

struct http_request *http_request_new(struct curl_loop *l, const struct http_target *target,
                                      const struct http_settings *set) {
  struct http_request *r = calloc(1, sizeof *r);
  CURL *e;

  if (!r) return NULL;
  r->target = target;
  r->h = set->h;
  r->pool = set->pool;
  r->conns = set->conns;
  r->max_age_ms = set->max_age_ms;
  r->exchange.reply = &r->reply;
  r->exchange.keep = set->keepalive;
  http_reply_init(&r->reply, target->conf->max_header, target->conf->max_response);
  e = curl_call_init(&r->call, l);
  r->call.words = r->error;
  if (!e || http_target_apply(target, e, set->keepalive) != CURLE_OK) {
    http_request_free(r);
    return NULL;
  }
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
  if (set->max_age_ms) {
    curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT,
                     (long)(CURL_NAME_AGE_MS(set->max_age_ms) / 1000));
    if (!target->files)
      curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, (long)((set->max_age_ms + 999) / 1000));
  }
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_line);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
  if (target->conf->http_version != HTTP_VERSION_1_1 && !target->head) curl_call_trace(&r->call);
  if (target->head) {
    r->only_connects = r->call.hand_over = true;
    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
  } else {
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, &r->nodes[HTTP_NODE_TRACE]);
  }
  return r;
}

void http_request_free(struct http_request *r) {
  if (!r) return;
  if (r->hangup) r->h->timer_free(r->hangup);
  curl_easy_cleanup(r->call.easy);
  http_reply_done(&r->reply);
  free(r);
}

/* --- sending --- */

static void put(struct http_request *r, const char *text, size_t len) {
  memcpy(r->lines + r->lines_len, text, len);
  r->lines_len += len;
}

/* Hangs line `n` behind `last`, unless there is no value. */
static struct curl_slist *put_line(struct http_request *r, struct curl_slist *last,
                                   enum http_node n, const char *value) {
  size_t prefix = strlen(prefixes[n]), len = value ? strlen(value) : 0;

  if (!len || prefix + len + 2 > HTTP_LINE_MAX) return last;
  r->nodes[n].data = r->lines + r->lines_len;
  put(r, prefixes[n], prefix);
  put(r, value, len);
  if (r->target->head)
    put(r, "\r\n", 2);
  else
    put(r, "", 1);
  last->next = &r->nodes[n];
  return last->next;
}

void http_request_load(struct http_request *r, const struct http_work *w) {
  bool content = r->target->conf->body == HTTP_BODY_CONTENT;
  struct curl_slist before, *last = &before;
  char number[16];
  size_t n;

  r->work = *w;
  r->cancelled = false;
  r->fresh = false;
  r->visit = (struct http_visit){0};
  r->lines_len = 0;
  before.next = NULL;
  n = w->trace ? strlen(w->trace) : 0;
  last = put_line(r, last, HTTP_NODE_TRACE, n && n <= TRACE_MAX ? w->trace : "-");
  last = put_line(r, last, HTTP_NODE_PARENT, w->parent);
  last = put_line(r, last, HTTP_NODE_SIGNATURE, w->signature);
  last = put_line(r, last, HTTP_NODE_KEY, w->job_id);
  if (content && w->job_id) {
    snprintf(number, sizeof number, "%u", w->attempt);
    last = put_line(r, last, HTTP_NODE_JOB, w->job_id);
    last = put_line(r, last, HTTP_NODE_ATTEMPT, number);
  }
  last->next = r->target->fixed;
  if (!r->target->head) return;
  r->lines_len += (size_t)snprintf(r->lines + r->lines_len, sizeof r->lines - r->lines_len,
                                   "Content-Length: %zu\r\n\r\n", w->body_len);
  r->exchange.part[0] = (struct iovec){r->target->head, r->target->head_len};
  r->exchange.part[1] = (struct iovec){r->lines, r->lines_len};
  r->exchange.part[2] = (struct iovec){(char *)w->body, w->body_len};
}

/* Sets the handle up for the address where the request is. */
static int apply_address(struct http_request *r, uint64_t connect_ms) {
  const struct http_addr *addr = r->visit.addr;
  CURL *e = r->call.easy;

  if (r->applied != addr) {
    r->applied = NULL;
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, addr->connect_to);
    if (curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, addr->unix_path) != CURLE_OK) return -ENOMEM;
    r->applied = addr;
  }
  if (r->connect_ms != connect_ms) {
    r->connect_ms = connect_ms;
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
  }
  return 0;
}

/* ... and for what libcurl is to do there. */
static void apply_work(struct http_request *r) {
  CURL *e = r->call.easy;

  bool fresh = r->work.probe || r->fresh;

  if (r->only_connects != r->work.probe) {
    r->only_connects = r->work.probe;
    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, r->only_connects ? 1L : 0L);
  }
  if (r->fresh_connect != fresh) {
    r->fresh_connect = fresh;
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, fresh || r->target->fresh ? 1L : 0L);
  }
  curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->work.body_len);
  curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->work.body);
}

static bool is_named(const struct http_request *r) {
  const struct http_addr *addr = r->visit.addr;

  return addr && *addr->name ? addr->named : r->target->named;
}

/* How old the kept connection for a request may be; 0: any age. A name is looked up for each new
 * connection. libcurl remembers the address for a while, and this while is a part of the age. */
static uint64_t max_age_ms(const struct http_request *r) {
  return is_named(r) && r->max_age_ms ? r->max_age_ms - CURL_NAME_AGE_MS(r->max_age_ms) : 0;
}

int http_request_send(struct http_request *r, uint64_t now_ms, uint64_t connect_ms) {
  uint64_t age = max_age_ms(r), epoch;
  int rc;

  r->exchange.max_age_ms = age;
  http_reply_reset(&r->reply);
  r->error[0] = 0;
  r->why[0] = 0;
  r->wish_ms = r->granted_ms = 0;
  r->call.named = is_named(r);
  r->call.hand_over = r->target->head && !r->work.probe;
  if (r->call.hand_over && !r->fresh &&
      http_conns_reuse(r->conns, http_request_peer(r), &r->exchange))
    return 0;
  rc = apply_address(r, connect_ms);
  if (rc < 0) return rc;
  /* TLS connections are told apart by the period in which they were made: libcurl checks the age of
   * idle connections only, and an HTTP/2 connection may never be idle. */
  epoch = age ? now_ms / age : 0;
  if (r->target->files &&
      http_tls_apply(r->target->files, r->call.easy, epoch, &r->tls) != CURLE_OK)
    return -ENOMEM;
  if (!r->target->head) apply_work(r);
  return curl_loop_add(r->call.loop, &r->call);
}

bool http_request_sent(const struct http_request *r) {
  return r->exchange.conn || (r->call.sent && !r->only_connects);
}

void http_request_drop_answer(struct http_request *r) {
  http_reply_reset(&r->reply);
  http_exchange_drop(&r->exchange);
}

void http_request_hang_up(struct http_request *r) {
  curl_loop_remove(r->call.loop, &r->call);
  http_exchange_hang_up(&r->exchange);
}

/* --- its end --- */

const char *http_request_peer(const struct http_request *r) {
  const struct http_addr *addr = r->visit.addr;

  return addr && *addr->name ? addr->name : r->target->peer;
}

/* In TLS 1.3 a server refuses a client certificate only after the client believes that the
 * handshake is over. Bytes that were sent by then have not got beyond the other side's TLS. */
static bool refused_certificate(const char *error) {
  static const char *const alerts[] = {
      "alert certificate required",    "alert bad certificate",     "alert unknown ca",
      "alert certificate expired",     "alert certificate revoked", "alert certificate unknown",
      "alert unsupported certificate", "alert access denied"};

  for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
    if (strstr(error, alerts[i])) return true;
  return false;
}

/* The stage of TLS, to stand before libcurl's words; NULL: the error is not about TLS. */
static const char *tls_text(CURLcode rc) {
  switch (rc) {
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_ISSUER_ERROR:
  case CURLE_SSL_INVALIDCERTSTATUS:
  case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    return "TLS: its certificate did not pass: ";
  case CURLE_SSL_CERTPROBLEM:
    return "TLS: our client certificate cannot be used: ";
  case CURLE_SSL_CACERT_BADFILE:
    return "TLS: ca_file cannot be used: ";
  case CURLE_SSL_CLIENTCERT:
    return "TLS: it asks for a client certificate: ";
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_SSL_CIPHER:
  case CURLE_USE_SSL_FAILED:
    return "TLS: no handshake: ";
  default:
    return NULL;
  }
}

/* The header Code makes any answer a worker's own; a webhook's has none that counts. */
static bool says_busy(const struct http_request *r) {
  bool content = r->target->conf->body == HTTP_BODY_CONTENT;

  return (r->reply.status == 429 || r->reply.status == 503) && (content || !r->reply.code);
}

/* 408 says that no whole request came in time. When it comes with the end of a connection that was
 * idle before, it was on its way already when the request was sent. */
static bool crossed(const struct http_request *r) {
  bool reused = r->target->head ? r->exchange.reused : r->call.sent && !r->call.opened;

  return r->reply.status == 408 && reused && !r->reply.code && r->reply.closes;
}

static enum http_end answered(struct http_request *r) {
  const char *after = http_reply_value(&r->reply, r->reply.retry_after);
  int n;

  if (r->work.probe || r->cancelled) return HTTP_ANSWERED;
  if (crossed(r)) {
    snprintf(r->why, sizeof r->why, "its kept connection had run into a timeout (status 408)");
    return HTTP_DECLINED;
  }
  if (!says_busy(r)) return HTTP_ANSWERED;
  n = snprintf(r->why, sizeof r->why, "status %d", r->reply.status);
  if (after) r->wish_ms = http_retry_after_ms(after, (int64_t)time(NULL));
  if (r->wish_ms)
    snprintf(r->why + n, sizeof r->why - (size_t)n, ", Retry-After %llu s",
             (unsigned long long)(r->wish_ms / 1000));
  return HTTP_BUSY;
}

static enum http_end garbled(struct http_request *r) {
  snprintf(r->why, sizeof r->why, "%s", r->reply.bad);
  return HTTP_GARBLED;
}

static enum http_end full(struct http_request *r, const char *why) {
  snprintf(r->why, sizeof r->why, "%s", why);
  return HTTP_FULL;
}

/* Was the request declined over HTTP/2 too often to be sent again? libcurl has a limit of its own,
 * over all requests of a handle. It reports this only if the last end had no words. */
static bool declined(const struct http_request *r, CURLcode rc) {
  const struct curl_call *c = &r->call;

  if (c->again) return !c->unknown;
  /* All that is left on its connection was sent away: libcurl then takes that for a broken one. */
  if (rc == CURLE_HTTP2 && !r->error[0] && !r->reply.status) return curl_call_sent_away(c);
  return curl_call_declined(c) && strncmp(r->error, "Connection died, tried", 22) == 0;
}

/* No byte of the request was sent. */
static enum http_end unsent(struct http_request *r, CURLcode rc, const char *words) {
  const char *tls = tls_text(rc);
  long os_errno = 0;
  int wrong = r->call.connect_errno;
  if (!wrong && rc == CURLE_COULDNT_CONNECT &&
      curl_easy_getinfo(r->call.easy, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK)
    /* The EAGAIN of a unix socket's full queue gets lost in libcurl; it alone does. */
    wrong = os_errno || !r->call.unix_socket ? (int)os_errno : EAGAIN;
  if (wrong == EAGAIN || wrong == EMFILE || wrong == ENFILE || wrong == ENOMEM)
    return full(r, wrong == EAGAIN ? "its listen queue is full: it is busy" : strerror(wrong));
  if (wrong)
    snprintf(r->why, sizeof r->why, "%s", strerror(wrong));
  else
    snprintf(r->why, sizeof r->why, "%s%s%s", tls ? tls : "", words,
             strstr(words, "wrong version number")
                 ? " (it does not speak TLS at this port: http://?)"
                 : "");
  return HTTP_UNREACHABLE;
}

/* Is the answer whole though libcurl ended with an error? A server may answer over HTTP/2 before it
 * has read the request, and then resets the stream with NO_ERROR; the answer counts (RFC
 * 9113, 8.1). libcurl 7.88 takes this for an error when it has not sent the whole
 * request yet. */
static bool whole(const struct http_request *r, CURLcode rc) {
  curl_off_t length = -1;
  long version = 0;

  if (rc != CURLE_HTTP2_STREAM && rc != CURLE_HTTP2 && rc != CURLE_SEND_ERROR) return false;
  curl_easy_getinfo(r->call.easy, CURLINFO_HTTP_VERSION, &version);
  curl_easy_getinfo(r->call.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return version == CURL_HTTP_VERSION_2_0 && r->reply.over && !r->reply.bad[0] && length >= 0 &&
         r->reply.body_len == (size_t)length;
}

/* What libcurl's end means. */
static enum http_end call_end(struct http_request *r, CURLcode rc) {
  const char *words = r->error[0] ? r->error : curl_easy_strerror(rc);
  const char *files = r->target->files ? http_tls_why(r->target->files) : "";

  if (*files && (rc == CURLE_SSL_CACERT_BADFILE || rc == CURLE_SSL_CERTPROBLEM)) words = files;
  if (rc == CURLE_OK && (r->work.probe || r->reply.over || r->cancelled)) return answered(r);
  if (whole(r, rc)) return answered(r);
  if (rc == CURLE_OK) { /* libcurl is content with any part of a head */
    snprintf(r->why, sizeof r->why,
             "the answer ended within its header; whether the job ran is "
             "unknown");
    return HTTP_LOST;
  }
  if (r->reply.bad[0]) return garbled(r);
  if (declined(r, rc)) {
    snprintf(r->why, sizeof r->why,
             "it declined the request again and again (HTTP/2 GOAWAY or REFUSED_STREAM)");
    return HTTP_DECLINED;
  }
  if (r->call.again) {
    snprintf(r->why, sizeof r->why,
             "the kept connection was closed before any byte of the answer; "
             "whether the job ran is unknown");
    return HTTP_LOST;
  }
  if (r->call.sent && refused_certificate(words)) {
    snprintf(r->why, sizeof r->why, "TLS: it refuses our client certificate: %s", words);
    return HTTP_UNREACHABLE;
  }
  if (r->call.link_local && !r->call.opened) {
    snprintf(r->why, sizeof r->why,
             "its name has a link-local address (169.254.0.0/16, fe80::/10), which a name must not "
             "lead to");
    return HTTP_UNREACHABLE;
  }
  if (!r->call.sent) return unsent(r, rc, words);
  if (rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY ||
      (rc == CURLE_RECV_ERROR && strstr(words, "chunk"))) {
    snprintf(r->why, sizeof r->why, "it is not HTTP: %s", words);
    return HTTP_GARBLED;
  }
  if (rc == CURLE_PARTIAL_FILE)
    snprintf(r->why, sizeof r->why,
             "the answer ended too early (%s); whether the job ran is "
             "unknown",
             words);
  else if (rc == CURLE_GOT_NOTHING)
    snprintf(r->why, sizeof r->why,
             "the connection was closed without an answer; whether the job "
             "ran is unknown");
  else
    snprintf(r->why, sizeof r->why, "the connection broke: %s; whether the job ran is unknown",
             words);
  return HTTP_LOST;
}

bool http_request_called(struct http_request *r, CURLcode rc, enum http_end *ret_end) {
  int wrong;

  if (rc != CURLE_OK || !r->call.hand_over) {
    *ret_end = call_end(r, rc);
    return true;
  }
  if (r->call.fd < 0) {
    *ret_end = full(r, strerror(r->call.connect_errno));
    return true;
  }
  wrong = http_conns_open(r->conns, r->call.fd, http_request_peer(r), &r->exchange);
  if (wrong == 0) return false;
  if (wrong == -ENOMEM) {
    *ret_end = full(r, strerror(ENOMEM));
    return true;
  }
  snprintf(r->why, sizeof r->why, "%s", strerror(-wrong));
  *ret_end = HTTP_UNREACHABLE;
  return true;
}

enum http_end http_request_exchanged(struct http_request *r, enum http_conn_end end,
                                     const char *why) {
  switch (end) {
  case HTTP_CONN_ANSWERED:
    return answered(r);
  case HTTP_CONN_GARBLED:
    return garbled(r);
  default:
    snprintf(r->why, sizeof r->why, "%s; whether the job ran is unknown", why);
    return HTTP_LOST;
  }
}
