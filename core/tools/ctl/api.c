/* Owns the way to the broker: where it is, the token, one HTTP request at a time.
 *
 * Must never happen: the token on a command line, in a message, or sent to another host than the
 * one it belongs to; a proxy of the environment in between.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"
#include "config/settings.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PB_SYSCONF_DIR
#define PB_SYSCONF_DIR "/etc"
#endif

#define CONNECT_MS 3000L
#define ANSWER_MS  45000L       /* the broker itself answers 504 after 30 s */
#define ANSWER_MAX (256u << 20) /* bytes of one answer */
#define TOKEN_MAX  512

struct api {
  CURL *curl;
  char *sock;       /* unix socket, or NULL */
  char *place;      /* "127.0.0.1:19840", for the URL and for people */
  char *place_sock; /* "unix:/path", for people */
  struct curl_slist *headers;
  char error[CURL_ERROR_SIZE];
};

const char *config_file(const struct ctl *x) {
  return x->args.config ? x->args.config : PB_SYSCONF_DIR "/pepperbus/pepperbus.ini";
}

/* Where the broker is, for people. */
static const char *api_place(const struct ctl *x) {
  if (!x->api) return "";
  return x->api->sock ? x->api->place_sock : x->api->place;
}

void api_free(struct api *a) {
  if (!a) return;
  curl_easy_cleanup(a->curl);
  for (struct curl_slist *h = a->headers; h; h = h->next) explicit_bzero(h->data, strlen(h->data));
  curl_slist_free_all(a->headers);
  free(a->sock);
  free(a->place);
  free(a->place_sock);
  free(a);
}

/* --- the token --- */

static int token_from_file(const char *path, char *ret) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
  if (f && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
    ctl_error("%s is not a regular file; the token must be in a regular file", path);
    fclose(f);
    return CTL_AUTH;
  }
  if (!f) {
    int rc = errno;
    ctl_error("cannot read the token from %s: %s%s", path, strerror(rc),
              rc == EACCES || rc == EPERM ? "; run this as the user of pepperbusd, or with sudo"
              : rc == ENOENT              ? "; has pepperbusd run with this state_dir yet?"
                                          : "");
    return rc == ENOENT ? CTL_UNREACHABLE : CTL_AUTH;
  }
  char *got = fgets(ret, TOKEN_MAX, f);
  fclose(f);
  if (got) ret[strcspn(ret, "\r\n")] = 0;
  if (got && *ret) return CTL_OK;
  ctl_error("%s is empty; it must contain the token", path);
  return CTL_AUTH;
}

/* From --token-file, the environment, or the state_dir of the configuration. */
static int token_find(struct ctl *x, const struct settings *s, char *ret) {
  const char *env = getenv("PEPPERBUS_TOKEN");
  char *path;
  if (x->args.token_file) return token_from_file(x->args.token_file, ret);
  if (env && *env) {
    snprintf(ret, TOKEN_MAX, "%s", env);
    return CTL_OK;
  }
  if (!s) {
    ctl_error(
        "-H needs a token: --token-file FILE, or PEPPERBUS_TOKEN in the environment (it is in "
        "admin.token under the broker's state_dir)");
    return CTL_AUTH;
  }
  if (asprintf(&path, "%s/admin.token", s->server.state_dir) < 0) out_of_memory();
  int code = token_from_file(path, ret);
  free(path);
  return code;
}

/* --- where --- */

/* An address that listens on all interfaces is reached on this machine. */
static char *place_of(const char *address) {
  static const struct {
    const char *prefix, *use;
  } any[] = {
      {"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}, {":", "127.0.0.1:"}, {"*:", "127.0.0.1:"}};
  char *place = NULL;
  for (size_t i = 0; i < sizeof any / sizeof *any && !place; i++) {
    size_t len = strlen(any[i].prefix);
    if (strncmp(address, any[i].prefix, len) == 0 &&
        asprintf(&place, "%s%s", any[i].use, address + len) < 0)
      out_of_memory();
  }
  if (!place) place = strdup(address);
  if (!place) out_of_memory();
  return place;
}

static void place_unix(struct api *a, const char *path) {
  free(a->sock);
  free(a->place_sock);
  a->sock = strdup(path);
  if (!a->sock || asprintf(&a->place_sock, "unix:%s", path) < 0) out_of_memory();
}

static int peek(struct ctl *x, struct settings **ret) {
  const char *file = config_file(x);
  if (access(file, R_OK) < 0) {
    ctl_error("cannot read %s: %s; say -c FILE, or -H HOST:PORT with --token-file", file,
              strerror(errno));
    return CTL_USAGE;
  }
  return settings_peek(file, stderr, ret) ? CTL_USAGE : CTL_OK;
}

static int api_new(struct ctl *x) {
  char token[TOKEN_MAX], *header = NULL, *sock = NULL;
  struct settings *s = NULL;
  int code;
  /* With -H the token of the configuration is only used when -c names that configuration. */
  if (!x->args.host || x->args.config) {
    code = peek(x, &s);
    if (code) return code;
  }
  struct api *a = calloc(1, sizeof *a);
  if (!a) out_of_memory();
  code = CTL_USAGE;
  const char *address = x->args.host ? x->args.host : s->server.admin;
  if (!*address) {
    ctl_error("%s has no admin port ([server] admin is empty)", config_file(x));
    goto out;
  }
  if (strncmp(address, "unix:", 5) == 0) {
    place_unix(a, address + 5);
    a->place = strdup("localhost");
  } else {
    a->place = place_of(address);
    if (!x->args.host) {
      if (asprintf(&sock, "%s/admin.sock", s->server.state_dir) < 0) out_of_memory();
      if (access(sock, R_OK | W_OK) == 0) place_unix(a, sock);
    }
  }
  code = token_find(x, s, token);
  if (code) goto out;
  code = CTL_USAGE;
  if (strpbrk(token, "\r\n")) {
    ctl_error("the token holds a line break");
    goto out;
  }
  if (asprintf(&header, "Authorization: Bearer %s", token) < 0) out_of_memory();
  a->headers = curl_slist_append(a->headers, header);
  a->headers = curl_slist_append(a->headers, "Expect:");
  a->headers = curl_slist_append(a->headers, "Content-Type: application/octet-stream");
  explicit_bzero(header, strlen(header));
  a->curl = curl_easy_init();
  if (!a->curl || !a->headers) out_of_memory();
  x->api = a;
  a = NULL;
  code = CTL_OK;
out:
  explicit_bzero(token, sizeof token);
  free(header);
  free(sock);
  settings_unref(s);
  api_free(a);
  return code;
}

/* --- one request --- */

struct answer {
  char *data;
  size_t len;
};

static size_t on_data(char *data, size_t one, size_t n, void *arg) {
  struct answer *a = arg;
  n *= one;
  if (a->len + n > ANSWER_MAX) return 0;
  char *p = realloc(a->data, a->len + n + 1);
  if (!p) return 0;
  memcpy(p + a->len, data, n);
  a->data = p;
  a->len += n;
  p[a->len] = 0;
  return n;
}

static CURLcode perform(struct api *a, const struct request *r, struct answer *to, long *status) {
  CURL *c = a->curl;
  char *url;
  if (asprintf(&url, "http://%s%s", a->place, r->path) < 0) out_of_memory();
  free(to->data);
  *to = (struct answer){.data = NULL};
  curl_easy_reset(c);
  curl_easy_setopt(c, CURLOPT_URL, url);
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* a queue may be called ".." */
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, a->headers);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->error);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
  curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, r->patient ? 0L : ANSWER_MS);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, to);
  if (a->sock) curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, a->sock);
  if (strcmp(r->method, "POST") == 0) {
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
  }
  a->error[0] = 0;
  CURLcode rc = curl_easy_perform(c);
  if (rc == CURLE_OK) curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
  free(url);
  return rc;
}

static int code_of(long status) {
  if (status == 401) return CTL_AUTH;
  if (status == 404) return CTL_NOT_FOUND;
  if (status == 400 || status == 405) return CTL_USAGE;
  return CTL_NO;
}

static int tell_refusal(struct ctl *x, long status, json_t *o) {
  const char *error = get_text(o, "error"), *faults = get_text(o, "faults");
  char *plain = text_plain(error, false);
  if (status == 401)
    ctl_error("the broker at %s does not take this token", api_place(x));
  else if (*plain)
    ctl_error("%s", plain);
  else if (status == 413)
    ctl_error("the content is much larger than the broker's max_job_size");
  else
    ctl_error("the server at %s refuses (HTTP %ld); is it a Pepperbus broker?", api_place(x),
              status);
  free(plain);
  if (*faults) {
    plain = text_plain(faults, true);
    fputs(plain, stderr);
    free(plain);
  }
  if (status == 401)
    fputs(
        "  the token is not the broker's: is another broker at this address, or was its state_dir "
        "made again?\n",
        stderr);
  if (x->args.json && o) print_json(json_incref(o), 0);
  return code_of(status);
}

int api_ask(struct ctl *x, const struct request *r, json_t **ret) {
  struct answer got = {.data = NULL};
  long status = 0;
  int code = x->api ? CTL_OK : api_new(x);
  if (code) return code;
  struct api *a = x->api;
  CURLcode rc = perform(a, r, &got, &status);
  if (rc == CURLE_COULDNT_CONNECT && a->sock && strcmp(a->place, "localhost") != 0) {
    /* The socket of a broker that is gone; the port tells for certain. */
    free(a->sock);
    a->sock = NULL;
    rc = perform(a, r, &got, &status);
  }
  json_t *o = NULL;
  code = CTL_UNREACHABLE;
  if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST) {
    ctl_error("cannot reach the broker at %s: %s", api_place(x), a->error);
    fputs("  is pepperbusd running? Another broker: -c FILE, or -H HOST:PORT with --token-file\n",
          stderr);
  } else if (rc == CURLE_OPERATION_TIMEDOUT) {
    ctl_error("the broker at %s did not answer in time: %s", api_place(x), a->error);
  } else if (rc != CURLE_OK) {
    ctl_error("%s, while talking to the broker at %s",
              *a->error ? a->error : curl_easy_strerror(rc), api_place(x));
    if (r->body_len)
      fputs("  it cuts off requests that are larger than its max_job_size\n", stderr);
  } else {
    o = got.len ? json_loadb(got.data, got.len, JSON_ALLOW_NUL, NULL) : NULL;
    if (!x->args.json) json_plain(o);
    if (status >= 400)
      code = tell_refusal(x, status, o);
    else if (!o)
      ctl_error("the server at %s is not a Pepperbus broker", api_place(x));
    else
      code = CTL_OK;
  }
  free(got.data);
  if (code)
    json_decref(o);
  else
    *ret = o;
  return code;
}

int api_get(struct ctl *x, const char *path, json_t **ret) {
  return api_ask(x, &(struct request){.method = "GET", .path = path}, ret);
}

int api_post(struct ctl *x, const char *path, json_t *body, json_t **ret) {
  char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
  struct request r = {
      .method = "POST", .path = path, .body = text, .body_len = text ? strlen(text) : 0};
  int code = api_ask(x, &r, ret);
  json_decref(body);
  free(text);
  return code;
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

char *path_queue(const char *queue, const char *tail) {
  char *text = NULL;
  size_t len;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  fputs("/api/v1/queues/", out);
  encode(out, queue, strlen(queue));
  fputs(tail, out);
  fclose(out);
  return text;
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
