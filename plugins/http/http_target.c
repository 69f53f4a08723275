/* The fixed part of a topic's requests. Calls libcurl; reads one file, at create() time.
 *
 * The Authorization value is a secret: it is in no message, and wiped when it goes.
 */
#include "http_target.h"

#include "common/fault.h"
#include "http_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "1.0"
#endif

#define ENTRY_MAX    2048 /* of a URL */
#define LINE_LONGEST 4096 /* of a header line */
#define SECRET_MAX   4096 /* of authorization_file */

/* --- checks --- */

static bool visible(const char *text) {
  for (; *text; text++)
    if ((unsigned char)*text <= ' ' || *text == 0x7f) return false;
  return true;
}

/* Letters, blanks and what else a header value may have: no line can be smuggled in. */
static bool value_ok(const char *text) {
  for (; *text; text++)
    if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f) return false;
  return true;
}

/* Header lines that a topic must not set: they are the transport's or the connection's. */
static const struct {
  const char *name, *instead;
} reserved[] = {
    {"Host", "write host = ..."},
    {"Authorization",
     "write authorization = ... or authorization_file = ..., which is kept secret"},
    {"Content-Type", "with body = content write content_type = ...; a form's is fixed"},
    {"Content-Length", "it follows from the body"},
    {"Transfer-Encoding", "it follows from the body"},
    {"Expect", "requests are sent at once"},
    {"Connection", "it belongs to the connection; see keepalive of the pool"},
    {"Keep-Alive", "it belongs to the connection"},
    {"Proxy-Connection", "it belongs to the connection"},
    {"Proxy-Authorization", "there is no proxy in between"},
    {"Proxy-Authenticate", "it belongs to answers"},
    {"TE", "it belongs to the connection"},
    {"Trailer", "it belongs to the connection"},
    {"Upgrade", "it belongs to the connection; see http_version"},
    {"HTTP2-Settings", "it belongs to the connection"},
    {"Idempotency-Key", "it carries the job's id"},
    {"traceparent", "it carries the delivery's trace"},
    {"IS-PEPPER-BUS-REQUEST", "it marks the broker's requests"},
};

bool http_header_ok(const char *line, char *ret_why, size_t size) {
  static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  size_t name_len = strspn(line, token);
  const char *value = line + name_len;

  if (!name_len || *value != ':') {
    snprintf(ret_why, size, "is not of the form Name: value");
    return false;
  }
  value++;
  value += strspn(value, " \t");
  if (!*value) {
    snprintf(ret_why, size, "has no value");
    return false;
  }
  if (!value_ok(value)) {
    snprintf(ret_why, size, "has a line break or another control character in it");
    return false;
  }
  if (strlen(line) > LINE_LONGEST) {
    snprintf(ret_why, size, "is longer than %d bytes", LINE_LONGEST);
    return false;
  }
  if (strncasecmp(line, "X-Pepperbus-", 12) == 0) {
    snprintf(ret_why, size, "is one of the broker's own (X-Pepperbus-...)");
    return false;
  }
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (strlen(reserved[i].name) == name_len &&
        strncasecmp(line, reserved[i].name, name_len) == 0) {
      snprintf(ret_why, size, "is not for a topic to set: %s", reserved[i].instead);
      return false;
    }
  return true;
}

/* Takes the URL apart. Fills `t` (may be NULL). 0 or -EINVAL. */
static int entry_read(const struct http_topic_conf *conf, struct http_target *t,
                      struct pb_err *err) {
  const char *entry = conf->entry;
  char *scheme = NULL, *host = NULL, *port = NULL, *zone = NULL, *part = NULL;
  struct in6_addr numeric;
  CURLU *url = NULL;
  CURLUcode rc;
  int ret = -EINVAL;

  if (!*entry)
    return fault(err, "entry",
                 "entry is missing: it is the worker's URL, such as "
                 "https://app.example/worker");
  if (strlen(entry) > ENTRY_MAX)
    return fault(err, "entry", "entry is longer than %d bytes", ENTRY_MAX);
  if (!visible(entry))
    return fault(err, "entry", "entry has a blank or a control character in it: write it as %%20");
  if (strncasecmp(entry, "http://", 7) != 0 && strncasecmp(entry, "https://", 8) != 0)
    return fault(err, "entry", "entry \"%.200s\" is no URL of http:// or https://", entry);
  url = curl_url();
  if (!url) goto out;
  rc = curl_url_set(url, CURLUPART_URL, entry, 0);
  if (rc) {
    fault(err, "entry", "entry \"%.200s\" is no URL: %s", entry, curl_url_strerror(rc));
    goto out;
  }
  if (!curl_url_get(url, CURLUPART_USER, &part, 0) ||
      !curl_url_get(url, CURLUPART_PASSWORD, &part, 0)) {
    fault(err, "entry",
          "entry holds a user or a password: write authorization = Basic ... "
          "instead, which is kept secret");
    goto out;
  }
  if (!curl_url_get(url, CURLUPART_FRAGMENT, &part, 0)) {
    fault(err, "entry", "entry ends with a fragment (#...), which no server ever sees");
    goto out;
  }
  if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
      curl_url_get(url, CURLUPART_HOST, &host, 0) ||
      curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
    fault(err, "entry", "entry \"%.200s\" names no host", entry);
    goto out;
  }
  ret = 0;
  if (!t) goto out;
  t->tls = strcasecmp(scheme, "https") == 0;
  t->named = host[0] != '[' && strcasecmp(host, "localhost") != 0 &&
             inet_pton(AF_INET, host, &numeric) != 1;
  /* The same address on another link is another machine, and its connections are not shared. */
  if (!curl_url_get(url, CURLUPART_ZONEID, &zone, 0))
    snprintf(t->peer, sizeof t->peer, "%s://%.*s%%25%.100s]:%s", scheme, (int)strcspn(host, "]"),
             host, zone, port);
  else
    snprintf(t->peer, sizeof t->peer, "%s://%.255s:%s", scheme, host, port);
  t->url = url;
  url = NULL;
out:
  if (ret < 0 && !err->text[0]) fault_memory(err);
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_free(zone);
  curl_free(part);
  curl_url_cleanup(url);
  return ret;
}

#define FILES 4

struct file {
  const char *key, *path;
};

static void files_of(const struct http_topic_conf *c, struct file ret[FILES]) {
  ret[0] = (struct file){"authorization_file", c->authorization_file};
  ret[1] = (struct file){"ca_file", c->ca_file};
  ret[2] = (struct file){"client_cert", c->client_cert};
  ret[3] = (struct file){"client_key", c->client_key};
}

/* A pipe, say, would be waited for when it is opened. */
static int regular(const char *key, const char *path, struct pb_err *err) {
  struct stat st;

  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
    return fault(err, key, "%s %.200s is not a regular file", key, path);
  if (stat(path, &st) < 0 && errno == ELOOP)
    return fault(err, key, "cannot read %s %.200s: %s", key, path, strerror(errno));
  return 0;
}

/* Of whom may not look, another may: http_target_init() tells. */
int http_target_check_files(const struct http_topic_conf *c, struct pb_err *err) {
  struct file files[FILES];
  int rc;

  files_of(c, files);
  for (size_t i = 0; i < FILES; i++)
    if (*files[i].path && access(files[i].path, F_OK) < 0 &&
        (errno == ENOENT || errno == ENOTDIR)) {
      fault(err, files[i].key, "there is no file %.200s on this machine", files[i].path);
      return -ENOENT;
    } else if (*files[i].path && (rc = regular(files[i].key, files[i].path, err)) < 0) {
      return rc;
    }
  return 0;
}

int http_target_check(const struct http_topic_conf *c, struct pb_err *err) {
  struct file files[FILES];
  bool plain = strncasecmp(c->entry, "https://", 8) != 0;
  char why[160];
  int rc = entry_read(c, NULL, err);

  if (rc < 0) return rc;
  if (!visible(c->host) || strpbrk(c->host, "/@,?#"))
    return fault(err, "host", "host \"%.200s\" is no host: write name or name:port", c->host);
  for (size_t i = 0; c->header[i]; i++)
    if (!http_header_ok(c->header[i], why, sizeof why))
      return fault(err, "header", "header \"%.*s\" %s", (int)strcspn(c->header[i], ":\r\n"),
                   c->header[i], why);
  if (*c->authorization && *c->authorization_file)
    return fault(err, "authorization_file",
                 "authorization and authorization_file are both given; keep one of them");
  if (!value_ok(c->authorization))
    return fault(err, "authorization", "authorization has a control character in it");
  if (!value_ok(c->content_type) || !*c->content_type)
    return fault(err, "content_type", "content_type is no media type, such as application/json");
  files_of(c, files);
  for (size_t i = 0; i < FILES; i++)
    if (*files[i].path && files[i].path[0] != '/')
      return fault(err, files[i].key, "%s \"%.200s\" is a relative path: write an absolute one",
                   files[i].key, files[i].path);
  if (*c->client_key && !*c->client_cert)
    return fault(err, "client_key", "client_key is of no use without client_cert");
  if (plain && (*c->ca_file || *c->client_cert))
    return fault(err, *c->ca_file ? "ca_file" : "client_cert",
                 "%s is for TLS, and entry is http://: write https://, or leave it out",
                 *c->ca_file ? "ca_file" : "client_cert");
  if (plain && c->http_version == HTTP_VERSION_2)
    return fault(err, "http_version",
                 "http_version = 2 is agreed on within TLS, and entry is http://: write 2-prior "
                 "for a server that speaks HTTP/2 without TLS");
  return 0;
}

/* --- the fixed part --- */

static int add_line(struct http_target *t, const char *name, const char *value) {
  char line[LINE_LONGEST + 64];
  struct curl_slist *list;

  snprintf(line, sizeof line, "%s%s%s", name, *name ? ": " : "", value);
  list = curl_slist_append(t->fixed, line);
  explicit_bzero(line, sizeof line); /* it may be the Authorization */
  if (!list) return -ENOMEM;
  t->fixed = list;
  return 0;
}

/* The file's first line. */
static int read_secret(const char *path, char out[SECRET_MAX], struct pb_err *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe would wait */
  struct stat st;
  bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  ssize_t n = fd < 0 ? -1 : regular ? read(fd, out, SECRET_MAX - 1) : 0;
  int rc = errno;

  if (fd >= 0) close(fd);
  if (fd >= 0 && !regular)
    return fault(err, "authorization_file", "authorization_file %.200s is not a regular file",
                 path);
  if (n < 0)
    return fault(err, "authorization_file", "cannot read authorization_file %.200s: %s", path,
                 strerror(rc));
  out[n] = 0;
  out[strcspn(out, "\r\n")] = 0;
  if (!*out)
    return fault(err, "authorization_file",
                 "the first line of authorization_file %.200s is empty; "
                 "it is the header's value, such as Bearer abc",
                 path);
  if (n == SECRET_MAX - 1 || !value_ok(out))
    return fault(err, "authorization_file",
                 "the first line of authorization_file %.200s is longer "
                 "than %d bytes, or has a control character in it",
                 path, SECRET_MAX - 2);
  return 0;
}

/* libcurl reports a file that it cannot read only when a job is sent. */
static int readable(const char *key, const char *path, struct pb_err *err) {
  int rc = *path ? regular(key, path, err) : 0;

  if (rc < 0) return rc;
  if (!*path || access(path, R_OK) == 0) return 0;
  return fault(err, key, "cannot read %s %.200s: %s", key, path, strerror(errno));
}

static int fixed_lines(struct http_target *t, const struct pb_topic_info *topic, bool keepalive,
                       const char *authorization) {
  const struct http_topic_conf *c = t->conf;
  bool content = c->body == HTTP_BODY_CONTENT;
  char timeout[24];

  snprintf(timeout, sizeof timeout, "%" PRIu64, topic->timeout_ms);
  /* The Content-Type of the form is libcurl's default for a POST, which costs it less than a line
   * of ours.
   */
  if ((content && add_line(t, "Content-Type", c->content_type) < 0) ||
      add_line(t, "X-Pepperbus-Queue", topic->queue) < 0 ||
      add_line(t, "X-Pepperbus-Topic", topic->topic) < 0 ||
      add_line(t, "X-Pepperbus-Timeout", timeout) < 0 || /* in ms; workers plan by it */
      add_line(t, "", "Expect:") < 0 ||                  /* no pause before a large body */
      (!content && add_line(t, "IS-PEPPER-BUS-REQUEST", "true") < 0) ||
      (!keepalive && add_line(t, "Connection", "close") < 0) ||
      (*c->host && add_line(t, "Host", c->host) < 0) ||
      (*authorization && add_line(t, "Authorization", authorization) < 0))
    return -ENOMEM;
  for (size_t i = 0; c->header[i]; i++)
    if (add_line(t, "", c->header[i]) < 0) return -ENOMEM;
  return 0;
}

static bool has_line(const struct curl_slist *l, const char *name) {
  size_t len = strlen(name);

  while (l && (strncasecmp(l->data, name, len) != 0 || l->data[len] != ':')) l = l->next;
  return l != NULL;
}

/* Host as it stands in a head, and the target of the request line: both as libcurl would write
 * them. */
static int url_parts(const struct http_target *t, char **ret_host, char **ret_path,
                     char **ret_query) {
  char *host = NULL, *port = NULL;
  int rc = -ENOMEM;

  *ret_host = *ret_path = *ret_query = NULL;
  if (curl_url_get(t->url, CURLUPART_HOST, &host, 0) ||
      curl_url_get(t->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
      curl_url_get(t->url, CURLUPART_PATH, ret_path, CURLU_URLENCODE))
    goto out;
  curl_url_get(t->url, CURLUPART_QUERY, ret_query, 0); /* there may be none */
  if (*t->conf->host)
    *ret_host = strdup(t->conf->host);
  else if (strcmp(port, "80") == 0)
    *ret_host = strdup(host);
  else if (asprintf(ret_host, "%s:%s", host, port) < 0)
    *ret_host = NULL;
  if (*ret_host) rc = 0;
out:
  curl_free(host);
  curl_free(port);
  return rc;
}

/* Writes the lines in `fixed`, and the lines that libcurl would add. */
static int head_write(struct http_target *t) {
  static const char agent[] = "User-Agent: pepperbus/" PACKAGE_VERSION "\r\n",
                    accept[] = "Accept: */*\r\n",
                    form[] = "Content-Type: application/x-www-form-urlencoded\r\n";
  char *host, *path, *query, *at, *end;
  size_t cap = 128;
  int rc = url_parts(t, &host, &path, &query);

  if (rc < 0) goto out;
  rc = -ENOMEM;
  cap += strlen(host) + strlen(path) + (query ? strlen(query) : 0);
  cap += sizeof agent + sizeof accept + sizeof form;
  for (const struct curl_slist *l = t->fixed; l; l = l->next) cap += strlen(l->data) + 2;
  t->head = malloc(cap);
  if (!t->head) goto out;
  at = t->head;
  end = at + cap;
  at += snprintf(
      at, (size_t)(end - at), "POST %s%s%s HTTP/1.1\r\nHost: %s\r\n%s%s%s", path, query ? "?" : "",
      query ? query : "", host, has_line(t->fixed, "User-Agent") ? "" : agent,
      has_line(t->fixed, "Accept") ? "" : accept, has_line(t->fixed, "Content-Type") ? "" : form);
  for (const struct curl_slist *l = t->fixed; l; l = l->next)
    /* Host is there already; an Expect without a value is libcurl's way to leave it out. */
    if (strncasecmp(l->data, "Host:", 5) != 0 && strcmp(l->data, "Expect:") != 0)
      at += snprintf(at, (size_t)(end - at), "%s\r\n", l->data);
  t->head_len = (size_t)(at - t->head);
  rc = 0;
out:
  free(host);
  curl_free(path);
  curl_free(query);
  return rc;
}

/* HTTP/1.1 without TLS, and a name that libcurl would not have to rewrite. */
static bool in_the_clear(const struct http_target *t) {
  for (const char *p = t->conf->entry; *p; p++)
    if ((unsigned char)*p >= 0x80) return false;
  return !t->tls && t->conf->http_version != HTTP_VERSION_2_PRIOR;
}

int http_target_init(struct http_target *t, const struct http_topic_conf *conf,
                     const struct pb_topic_info *topic, struct http_trusts *trusts, bool keepalive,
                     struct pb_err *err) {
  char secret[SECRET_MAX] = "";
  int rc;

  *t = (struct http_target){.conf = conf};
  rc = http_target_check(conf, err);
  if (rc == 0) rc = entry_read(conf, t, err);
  /* curl#10634: on a connection that is used again, libcurl begins HTTP/2 again within HTTP/2.
   * Fixed in 8.0. Before 8.0, each request gets a new connection. */
  t->fresh = conf->http_version == HTTP_VERSION_2_PRIOR && !t->tls &&
             curl_version_info(CURLVERSION_NOW)->version_num < 0x080000;
  if (rc == 0) rc = readable("ca_file", conf->ca_file, err);
  if (rc == 0) rc = readable("client_cert", conf->client_cert, err);
  if (rc == 0) rc = readable("client_key", conf->client_key, err);
  if (rc == 0 && *conf->authorization_file) rc = read_secret(conf->authorization_file, secret, err);
  if (rc == 0) {
    rc = fixed_lines(t, topic, keepalive, *secret ? secret : conf->authorization);
    if (rc == 0 && in_the_clear(t)) rc = head_write(t);
    if (rc == 0 && t->tls) rc = http_tls_new(trusts, conf, &t->files);
    if (rc < 0) fault_memory(err);
  }
  explicit_bzero(secret, sizeof secret);
  return rc;
}

void http_target_done(struct http_target *t) {
  for (struct curl_slist *l = t->fixed; l; l = l->next) explicit_bzero(l->data, strlen(l->data));
  curl_slist_free_all(t->fixed);
  if (t->head) explicit_bzero(t->head, t->head_len);
  free(t->head);
  curl_url_cleanup(t->url);
  http_tls_free(t->files);
  *t = (struct http_target){0};
}

CURLcode http_target_apply(const struct http_target *t, CURL *e, bool keepalive) {
  static const long versions[] = {
      [HTTP_VERSION_AUTO] = CURL_HTTP_VERSION_2TLS,
      [HTTP_VERSION_1_1] = CURL_HTTP_VERSION_1_1,
      [HTTP_VERSION_2] = CURL_HTTP_VERSION_2TLS,
      [HTTP_VERSION_2_PRIOR] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
  };
  const struct http_topic_conf *c = t->conf;
  /* Within TLS there is no need to know beforehand: it is agreed on. */
  enum http_version version =
      t->tls && c->http_version == HTTP_VERSION_2_PRIOR ? HTTP_VERSION_2 : c->http_version;
  CURLcode rc = curl_easy_setopt(e, CURLOPT_CURLU, t->url);

  if (!rc) rc = curl_easy_setopt(e, CURLOPT_USERAGENT, "pepperbus/" PACKAGE_VERSION);
  if (!rc) rc = curl_easy_setopt(e, CURLOPT_HTTP_VERSION, versions[version]);
  if (rc) return rc;
  curl_easy_setopt(e, CURLOPT_POST, 1L);
  if (t->head) return CURLE_OK; /* it is only to connect */
  if (!keepalive || t->fresh) curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, t->fresh ? 1L : 0L);
  /* Requests of a burst wait for the first connection: it may be able to carry all of them. */
  if (version != HTTP_VERSION_1_1 && (t->tls || version == HTTP_VERSION_2_PRIOR) && !t->fresh)
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
  return CURLE_OK;
}
