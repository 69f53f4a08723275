/* One request's way through libcurl. Calls libcurl, curl_loop, http_reply. */
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

/* Anything but the length ends the transfer; http_request_end() finds reply.bad. */
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
  http_reply_init(&r->reply, target->conf->max_header, target->conf->max_response);
  e = curl_call_init(&r->call, l);
  if (!e || http_target_apply(target, e, set->keepalive) != CURLE_OK) {
    http_request_free(r);
    return NULL;
  }
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_line);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
  for (int i = 0; i < HTTP_NODES; i++) {
    strcpy(r->lines[i], prefixes[i]); /* far shorter */
    r->nodes[i].data = r->lines[i];
  }
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, &r->nodes[HTTP_NODE_TRACE]);
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

/* Hangs line `n` behind `last`, unless there is no value. */
static struct curl_slist *put_line(struct http_request *r, struct curl_slist *last,
                                   enum http_node n, const char *value) {
  size_t at = strlen(prefixes[n]), len = value ? strlen(value) : 0;

  if (!len || at + len >= HTTP_NODE_MAX) return last;
  memcpy(r->lines[n] + at, value, len + 1);
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
  r->visit = (struct http_visit){0};
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
}

int http_request_send(struct http_request *r, uint64_t connect_ms) {
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
  if (r->probing != r->work.probe) {
    r->probing = r->work.probe;
    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, r->probing ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, r->probing || r->target->fresh ? 1L : 0L);
  }
  curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->work.body_len);
  curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->work.body ? r->work.body : "");
  http_reply_reset(&r->reply);
  r->error[0] = 0;
  r->why[0] = 0;
  r->wish_ms = r->granted_ms = 0;
  return curl_loop_add(r->call.loop, &r->call);
}

/* --- its end --- */

const char *http_request_peer(const struct http_request *r) {
  const struct http_addr *addr = r->visit.addr;

  return addr && *addr->name ? addr->name : r->target->peer;
}

/* In TLS 1.3 a server refuses a client certificate only after the client believes the handshake is
 * over. What was sent by then has not got beyond the other side's TLS. */
static bool refused_certificate(const char *error) {
  static const char *const alerts[] = {
      "alert certificate required",    "alert bad certificate",     "alert unknown ca",
      "alert certificate expired",     "alert certificate revoked", "alert certificate unknown",
      "alert unsupported certificate", "alert access denied"};

  for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
    if (strstr(error, alerts[i])) return true;
  return false;
}

/* What the stage of TLS says in front of libcurl's words; NULL: it is not about TLS. */
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

static enum http_end answered(struct http_request *r) {
  const char *after = http_reply_value(&r->reply, r->reply.retry_after);
  int n;

  if (r->probing || r->cancelled || !says_busy(r)) return HTTP_ANSWERED;
  n = snprintf(r->why, sizeof r->why, "status %d", r->reply.status);
  if (after) r->wish_ms = http_retry_after_ms(after, (int64_t)time(NULL));
  if (r->wish_ms)
    snprintf(r->why + n, sizeof r->why - (size_t)n, ", Retry-After %llu s",
             (unsigned long long)(r->wish_ms / 1000));
  return HTTP_BUSY;
}

enum http_end http_request_end(struct http_request *r, CURLcode rc) {
  const char *words = r->error[0] ? r->error : curl_easy_strerror(rc), *tls = tls_text(rc);
  long os_errno = 0;
  int wrong = r->call.connect_errno;

  if (rc == CURLE_OK && (r->probing || r->reply.over || r->cancelled)) return answered(r);
  if (rc == CURLE_OK) { /* libcurl is content with any part of a head */
    snprintf(r->why, sizeof r->why,
             "the answer ended within its header; whether the job ran is "
             "unknown");
    return HTTP_LOST;
  }
  if (r->reply.bad[0]) {
    snprintf(r->why, sizeof r->why, "%s", r->reply.bad);
    return HTTP_GARBLED;
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
  if (!r->call.sent) {
    if (!wrong && rc == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(r->call.easy, CURLINFO_OS_ERRNO, &os_errno) == CURLE_OK)
      /* The EAGAIN of a unix socket's full queue gets lost in libcurl; it alone does. */
      wrong = os_errno || !r->call.unix_socket ? (int)os_errno : EAGAIN;
    if (wrong == EAGAIN || wrong == EMFILE || wrong == ENFILE || wrong == ENOMEM) {
      snprintf(r->why, sizeof r->why, "%s",
               wrong == EAGAIN ? "its listen queue is full: it is busy" : strerror(wrong));
      return HTTP_FULL;
    }
    if (wrong)
      snprintf(r->why, sizeof r->why, "%s", strerror(wrong));
    else
      snprintf(r->why, sizeof r->why, "%s%s%s", tls ? tls : "", words,
               strstr(words, "wrong version number")
                   ? " (it does not speak TLS at this port: http://?)"
                   : "");
    return HTTP_UNREACHABLE;
  }
  if (rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_WEIRD_SERVER_REPLY) {
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
