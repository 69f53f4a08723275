/* Owns one HTTP request to the broker at a time.
 *
 * Must never happen: the token on a command line, in a message, or sent to another host than the
 * one it belongs to (no redirect is followed); a proxy of the environment in between.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_MS 3000L
#define ANSWER_MS  45000L       /* the broker itself answers 504 after 30 s */
#define ANSWER_MAX (256u << 20) /* bytes of one answer */
#define COOKIE_MAX 512
#define STALL_S    60L /* of an answer that takes as long as something comes */

struct api {
  CURL *curl;
  struct target target;
  char error[CURL_ERROR_SIZE];
};

void api_free(struct api *a) {
  if (!a) return;
  curl_easy_cleanup(a->curl);
  target_done(&a->target);
  free(a);
}

void api_use(struct ctl *x, struct target *t) {
  struct api *a = calloc(1, sizeof *a);
  if (!a || !(a->curl = curl_easy_init())) out_of_memory();
  a->target = *t;
  *t = (struct target){.url = NULL};
  api_free(x->api);
  x->api = a;
}

static int api_find(struct ctl *x) {
  struct target t;
  if (x->api) return CTL_OK;
  int code = target_find(x, &t);
  if (!code) api_use(x, &t);
  return code;
}

const struct target *api_target(struct ctl *x) {
  return api_find(x) ? NULL : &x->api->target;
}

/* Where the broker is, for people. */
static const char *people(const struct ctl *x) {
  return x->api ? x->api->target.people : "";
}

/* --- one request --- */

struct incoming {
  CURL *curl;
  const struct request *r;
  struct answer *to;
};

static bool is_for_sink(const struct incoming *in) {
  long status = 0;
  return in->r->sink && curl_easy_getinfo(in->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
         status == 200;
}

static size_t on_data(char *data, size_t one, size_t n, void *arg) {
  struct incoming *in = arg;
  struct answer *a = in->to;
  n *= one;
  if (is_for_sink(in)) return in->r->sink(in->r->sink_arg, data, n) ? n : 0;
  if (a->len + n > ANSWER_MAX) return 0;
  char *p = realloc(a->data, a->len + n + 1);
  if (!p) return 0;
  memcpy(p + a->len, data, n);
  a->data = p;
  a->len += n;
  p[a->len] = 0;
  return n;
}

/* Keeps "name=value" of the first cookie. */
static size_t on_header(char *data, size_t one, size_t n, void *arg) {
  static const char name[] = "set-cookie:";
  struct answer *a = arg;
  n *= one;
  size_t at = sizeof name - 1;
  if (a->cookie || n <= at || strncasecmp(data, name, at) != 0) return n;
  while (at < n && data[at] == ' ') at++;
  size_t len = 0;
  while (at + len < n && !strchr("; \r\n", data[at + len])) len++;
  if (len < COOKIE_MAX) a->cookie = strndup(data + at, len);
  return n;
}

void answer_done(struct answer *a) {
  if (a->data) explicit_bzero(a->data, a->len);
  if (a->cookie) explicit_bzero(a->cookie, strlen(a->cookie));
  free(a->data);
  free(a->cookie);
  json_decref(a->json);
  *a = (struct answer){.data = NULL};
}

static void header_add(struct curl_slist **list, const char *name, const char *value) {
  char *line;
  if (asprintf(&line, "%s: %s", name, value) < 0) out_of_memory();
  *list = curl_slist_append(*list, line);
  explicit_bzero(line, strlen(line));
  free(line);
  if (!*list) out_of_memory();
}

/* scheme://host of a URL, as a browser would say it. */
static char *origin_of(const char *url) {
  const char *host = strstr(url, "://") + 3;
  size_t len = (size_t)(host - url) + strcspn(host, "/");
  char *origin = strndup(url, len);
  if (!origin) out_of_memory();
  const char *usual = strncmp(url, "https:", 6) ? ":80" : ":443";
  if (len > strlen(usual) && !strcmp(origin + len - strlen(usual), usual))
    origin[len - strlen(usual)] = 0;
  return origin;
}

static struct curl_slist *headers_of(const struct api *a, const struct request *r) {
  struct curl_slist *list = NULL;
  char *token, *origin;
  if (r->cookie) {
    header_add(&list, "Cookie", r->cookie);
  } else if (!r->no_token) {
    if (asprintf(&token, "Bearer %s", a->target.token) < 0) out_of_memory();
    header_add(&list, "Authorization", token);
    explicit_bzero(token, strlen(token));
    free(token);
  }
  if (r->cookie || r->no_token) { /* the broker takes it for a browser */
    origin = origin_of(a->target.url);
    header_add(&list, "Origin", origin);
    free(origin);
  }
  list = curl_slist_append(list, "Expect:");
  header_add(&list, "Content-Type", r->json ? "application/json" : "application/octet-stream");
  return list;
}

static void headers_free(struct curl_slist *list) {
  for (struct curl_slist *h = list; h; h = h->next) explicit_bzero(h->data, strlen(h->data));
  curl_slist_free_all(list);
}

static void set_method(CURL *c, const struct request *r) {
  if (strcmp(r->method, "GET") == 0) return;
  if (strcmp(r->method, "POST") == 0 || r->body) {
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
  }
  if (strcmp(r->method, "POST") != 0) curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
}

static CURLcode perform(struct api *a, const struct request *r, struct answer *to) {
  CURL *c = a->curl;
  struct incoming in = {c, r, to};
  char *url;
  struct curl_slist *headers = headers_of(a, r);
  if (asprintf(&url, "%s%s", a->target.url, r->path) < 0) out_of_memory();
  answer_done(to);
  curl_easy_reset(c);
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* a queue may be called ".." */
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->error);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
  curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, r->patient || r->sink ? 0L : ANSWER_MS);
  if (r->sink) {
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_S);
  }
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &in);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, to);
  if (a->target.ca_file) curl_easy_setopt(c, CURLOPT_CAINFO, a->target.ca_file);
  if (a->target.sock) curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, a->target.sock);
  set_method(c, r);
  a->error[0] = 0;
  CURLcode rc = curl_easy_perform(c);
  if (rc == CURLE_OK) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &to->status);
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
  headers_free(headers);
  free(url);
  return rc;
}

static void tell_unreached(struct ctl *x, CURLcode rc, const struct request *r) {
  const char *error = *x->api->error ? x->api->error : curl_easy_strerror(rc);
  if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST) {
    ctl_error("cannot reach the broker at %s: %s", people(x), error);
    fputs(x->api->target.named
              ? "  does it run, and is the url of the context right?\n"
              : "  is pepperbusd running? Another broker: -c FILE, or -H HOST:PORT with "
                "--token-file\n",
          stderr);
  } else if (rc == CURLE_OPERATION_TIMEDOUT) {
    ctl_error("the broker at %s did not answer in time: %s", people(x), error);
  } else if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE) {
    ctl_error("the server at %s did not show a certificate that is trusted: %s", people(x), error);
    fputs("  nothing was sent. --ca-file, or ca_file of the context, names who signed it\n",
          stderr);
  } else {
    ctl_error("%s, while talking to the broker at %s", error, people(x));
    if (r->body_len)
      fputs("  it cuts off requests that are larger than its max_job_size\n", stderr);
  }
}

int api_call(struct ctl *x, const struct request *r, struct answer *ret) {
  int code = api_find(x);
  *ret = (struct answer){.data = NULL};
  if (code) return code;
  struct target *t = &x->api->target;
  CURLcode rc = perform(x->api, r, ret);
  if (rc == CURLE_COULDNT_CONNECT && t->sock && t->or_port) {
    /* The socket of a broker that is gone; the port tells for certain. */
    free(t->sock);
    free(t->people);
    t->sock = NULL;
    if (!(t->people = strdup(strstr(t->url, "://") + 3))) out_of_memory();
    rc = perform(x->api, r, ret);
  }
  if (rc != CURLE_OK) {
    tell_unreached(x, rc, r);
    answer_done(ret);
    return CTL_UNREACHABLE;
  }
  ret->json = ret->len ? json_loadb(ret->data, ret->len, JSON_ALLOW_NUL, NULL) : NULL;
  if (!x->args.json) json_plain(ret->json);
  return CTL_OK;
}

/* --- refusals --- */

static int code_of(long status) {
  if (status == 401) return CTL_AUTH;
  if (status == 404) return CTL_NOT_FOUND;
  if (status == 400 || status == 405) return CTL_USAGE;
  return CTL_NO;
}

int api_refused(struct ctl *x, struct answer *a) {
  json_t *o = a->json;
  const char *error = get_text(o, "error"), *faults = get_text(o, "faults");
  char *plain = text_plain(error, false);
  for (size_t len = strlen(plain); len && plain[len - 1] == ' ';) plain[--len] = 0;
  if (a->status == 401)
    ctl_error("the broker at %s does not take this token", people(x));
  else if (*plain)
    ctl_error("%s", plain);
  else if (a->status == 413)
    ctl_error("the content is much larger than the broker's max_job_size");
  else if (a->status >= 300 && a->status < 400)
    ctl_error("the server at %s sends elsewhere (HTTP %ld); a token is not sent after it",
              people(x), a->status);
  else
    ctl_error("the server at %s refuses (HTTP %ld); is it a Pepperbus broker?", people(x),
              a->status);
  free(plain);
  if (*faults) {
    plain = text_plain(faults, true);
    fputs(plain, stderr);
    free(plain);
  }
  if (a->status == 401)
    fputs(x->api->target.named
              ? "  it has ended, or was taken back; pepperbusctl login gets another one\n"
              : "  the token is not the broker's: is another broker at this address, or was its "
                "state_dir made again?\n",
          stderr);
  if (x->args.json && o) print_json(json_incref(o), 0);
  return code_of(a->status);
}

/* The JSON of a good answer. Ends the answer. */
static int answer_take(struct ctl *x, struct answer *a, json_t **ret) {
  int code = CTL_OK;
  if (a->status >= 300) {
    code = api_refused(x, a);
  } else if (!a->json) {
    ctl_error("the server at %s is not a Pepperbus broker", people(x));
    code = CTL_UNREACHABLE;
  } else {
    *ret = json_incref(a->json);
  }
  answer_done(a);
  return code;
}

int api_ask(struct ctl *x, const struct request *r, json_t **ret) {
  struct answer a;
  int code = api_call(x, r, &a);
  return code ? code : answer_take(x, &a, ret);
}

int api_get(struct ctl *x, const char *path, json_t **ret) {
  return api_ask(x, &(struct request){.method = "GET", .path = path}, ret);
}

static int json_call(struct ctl *x, struct request r, json_t *body, struct answer *ret) {
  char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
  r.body = text;
  r.body_len = text ? strlen(text) : 0;
  r.json = true;
  int code = api_call(x, &r, ret);
  json_decref(body);
  if (text) explicit_bzero(text, strlen(text));
  free(text);
  return code;
}

int api_send_any(struct ctl *x, const char *method, const char *path, json_t *body,
                 struct answer *ret) {
  return json_call(x, (struct request){.method = method, .path = path}, body, ret);
}

int api_send_session(struct ctl *x, const char *method, const char *path, json_t *body,
                     const char *cookie, struct answer *ret) {
  struct request r = {.method = method, .path = path, .cookie = cookie, .no_token = !cookie};
  return json_call(x, r, body, ret);
}

int api_send(struct ctl *x, const char *method, const char *path, json_t *body, json_t **ret) {
  struct answer a;
  int code = api_send_any(x, method, path, body, &a);
  return code ? code : answer_take(x, &a, ret);
}

int api_post(struct ctl *x, const char *path, json_t *body, json_t **ret) {
  return api_send(x, "POST", path, body, ret);
}

/* --- paths --- */

/* Everything but letters, digits and "-_~": a name may be "..", which a URL must not show. */
static void encode(FILE *out, const char *text, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
        c == '_' || c == '~')
      fputc(c, out);
    else
      fprintf(out, "%%%02X", c);
  }
}

char *path_named(const char *noun, const char *name, const char *tail) {
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  fprintf(out, "/api/v1/%s/", noun);
  encode(out, name, strlen(name));
  fputs(tail, out);
  fclose(out);
  return text;
}

char *path_queue(const char *queue, const char *tail) {
  return path_named("queues", queue, tail);
}

char *path_topic(struct ctl *x, const char *tail) {
  char *text = NULL;
  size_t len;
  const char *name = x->args.rest[0], *slash = strchr(name, '/');
  if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/')) {
    ctl_error("%s needs QUEUE/TOPIC, not \"%s\"; pepperbusctl topic ls shows them", x->verb, name);
    return NULL;
  }
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  fputs("/api/v1/topics/", out);
  encode(out, name, (size_t)(slash - name));
  fputc('/', out);
  encode(out, slash + 1, strlen(slash + 1));
  fputs(tail, out);
  fclose(out);
  return text;
}

char *path_query(char *path, const char *name, const char *value) {
  char *text = NULL;
  size_t len;
  if (!path || !value) return path;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  fprintf(out, "%s%c%s=", path, strchr(path, '?') ? '&' : '?', name);
  encode(out, value, strlen(value));
  fclose(out);
  free(path);
  return text;
}
