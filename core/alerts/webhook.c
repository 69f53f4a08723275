/* Owns libcurl in the broker itself. See webhook.h. */
#include "alerts/webhook.h"

#include "base/network.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ERROR_MAX 160

struct webhook {
  struct loop *loop;
  pthread_t thread;
  CURLM *multi;
  CURL *easy;
  struct curl_slist *fields;
  char *url, *body;
  size_t len;
  bool shared, refused;
  uint64_t timeout_ms;
  atomic_bool cancelled;
  char error[ERROR_MAX]; /* "": it was taken */
  webhook_fn fn;         /* the loop's */
  void *arg;
};

/* --- on the thread --- */

/* Nothing but IPv4 and IPv6 is asked for. */
static bool may_not(const struct sockaddr *sa) {
  struct network address;
  return !network_of(sa, &address) || network_is_link_local(&address);
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
  struct webhook *w = arg;
  (void)purpose;
  if (w->shared && may_not(&a->addr)) {
    w->refused = true;
    return CURL_SOCKET_BAD;
  }
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg) {
  (void)data;
  (void)arg;
  return size * n; /* nobody reads it */
}

static void result_take(struct webhook *w, CURLcode rc) {
  long status = 0;
  curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
  if (w->refused)
    snprintf(w->error, sizeof w->error,
             "its host has a link-local address, which a shared alert cannot use");
  else if (rc)
    snprintf(w->error, sizeof w->error, "%s", curl_easy_strerror(rc));
  else if (status < 200 || status > 299)
    snprintf(w->error, sizeof w->error, "the webhook answered %ld", status);
}

static void transfer(struct webhook *w) {
  int running = 1, left;
  CURLMsg *msg;
  while (running && !atomic_load(&w->cancelled)) {
    if (curl_multi_perform(w->multi, &running)) break;
    if (running) curl_multi_poll(w->multi, NULL, 0, 1000, NULL);
  }
  snprintf(w->error, sizeof w->error, "the request was broken off");
  while ((msg = curl_multi_info_read(w->multi, &left))) {
    if (msg->msg != CURLMSG_DONE) continue;
    *w->error = 0;
    result_take(w, msg->data.result);
  }
}

static void on_done(void *arg);

static void *run(void *arg) {
  struct webhook *w = arg;
  transfer(w);
  curl_multi_remove_handle(w->multi, w->easy);
  curl_easy_cleanup(w->easy);
  w->easy = NULL;
  loop_post(w->loop, on_done, w);
  return NULL;
}

/* --- on the loop --- */

static void webhook_free(struct webhook *w) {
  if (w->easy) curl_easy_cleanup(w->easy);
  if (w->multi) curl_multi_cleanup(w->multi);
  curl_slist_free_all(w->fields);
  curl_global_cleanup();
  free(w->url);
  free(w->body);
  free(w);
}

static void on_done(void *arg) {
  struct webhook *w = arg;
  pthread_join(w->thread, NULL);
  w->fn(w->arg, *w->error ? w->error : NULL);
  webhook_free(w);
}

static void field_add(struct webhook *w, const char *name, const char *value) {
  char line[256];
  snprintf(line, sizeof line, "%s: %s", name, value);
  struct curl_slist *more = curl_slist_append(w->fields, line);
  if (!more) out_of_memory();
  w->fields = more;
}

static void easy_set(struct webhook *w, const char *signature) {
  CURL *e = w->easy;
  field_add(w, "Content-Type", "application/json");
  if (*signature) field_add(w, "Pepperbus-Signature", signature);
  curl_easy_setopt(e, CURLOPT_URL, w->url);
  curl_easy_setopt(e, CURLOPT_POST, 1L);
  curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)w->len);
  curl_easy_setopt(e, CURLOPT_POSTFIELDS, w->body);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, w->fields);
  curl_easy_setopt(e, CURLOPT_USERAGENT, "pepperbus");
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)w->timeout_ms);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)w->timeout_ms);
  curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs holds up no stop */
  curl_easy_setopt(e, CURLOPT_PROXY, w->shared ? "" : NULL);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, w);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
}

static int thread_start(struct webhook *w) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
  int rc = pthread_create(&w->thread, NULL, run, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

struct webhook *webhook_send(struct loop *loop, const struct webhook_request *r, webhook_fn fn,
                             void *arg) {
  struct webhook *w = calloc(1, sizeof *w);
  if (!w) out_of_memory();
  *w = (struct webhook){.loop = loop, .len = r->len, .shared = r->shared, .fn = fn, .arg = arg};
  w->timeout_ms = r->timeout_ms;
  w->url = strdup(r->url);
  w->body = malloc(r->len + 1);
  curl_global_init(CURL_GLOBAL_DEFAULT); /* counted: no harm where a plugin did it */
  w->easy = curl_easy_init();
  w->multi = curl_multi_init();
  if (!w->url || !w->body || !w->easy || !w->multi) out_of_memory();
  memcpy(w->body, r->body, r->len);
  easy_set(w, r->signature);
  if (!curl_multi_add_handle(w->multi, w->easy) && !thread_start(w)) return w;
  webhook_free(w);
  return NULL;
}

void webhook_cancel(struct webhook *w) {
  atomic_store(&w->cancelled, true);
  curl_multi_wakeup(w->multi);
  pthread_join(w->thread, NULL);
  webhook_free(w);
}
