/* The common part of all requests of one topic: where they go, the header lines that do not change,
 * how TLS is done. Reads the topic's keys, and reports their faults.
 */
#ifndef PB_HTTP_HTTP_TARGET_H
#define PB_HTTP_HTTP_TARGET_H

#include <curl/curl.h>
#include <pepperbus/transport.h>
#include <stdbool.h>

enum http_body { HTTP_BODY_FORM, HTTP_BODY_CONTENT };
enum http_version { HTTP_VERSION_AUTO, HTTP_VERSION_1_1, HTTP_VERSION_2, HTTP_VERSION_2_PRIOR };

/* The keys of a [topic] section, filled by the host. */
struct http_topic_conf {
  const char *entry, *host;
  const char *const *header;
  const char *authorization, *authorization_file;
  int body; /* enum http_body */
  const char *content_type;
  int verify;
  const char *ca_file, *client_cert, *client_key, *client_key_password;
  int http_version; /* enum http_version */
  uint64_t max_response, max_header;
};

struct http_tls; /* http_tls.h */
struct http_trusts;

struct http_target {
  const struct http_topic_conf *conf;
  char peer[300]; /* "http://host:port", for people */
  CURLU *url;     /* taken apart once, not by libcurl for each request */
  bool tls;
  struct http_tls *files;   /* NULL: no TLS */
  bool named;               /* the host is a name that must be resolved */
  bool fresh;               /* each of its requests needs a new connection */
  struct curl_slist *fixed; /* header lines; the Authorization among them */
  char *head;               /* of HTTP/1.1 in the clear: the request line and all lines that do not
                               change, each with its end. NULL: libcurl writes and reads */
  size_t head_len;
};

/* Are the keys sound? No I/O. 0 or -EINVAL, err->option names the key. */
int http_target_check(const struct http_topic_conf *conf, struct pb_err *err);
/* Are the files there that they name? 0 or -ENOENT. */
int http_target_check_files(const struct http_topic_conf *conf, struct pb_err *err);
/* 0 or -errno. Reads authorization_file and the files of TLS. `conf`, `topic` and `trusts` stay the
 * caller's and outlive it. */
int http_target_init(struct http_target *t, const struct http_topic_conf *conf,
                     const struct pb_topic_info *topic, struct http_trusts *trusts, bool keepalive,
                     struct pb_err *err);
void http_target_done(struct http_target *t); /* half-built is fine */
/* Sets the options of a handle that do not change. CURLE_OK or libcurl's complaint. */
CURLcode http_target_apply(const struct http_target *t, CURL *e, bool keepalive);

/* The header line of a configuration, "Name: value": may a topic send it? Else false and a
 * sentence. Pure. */
bool http_header_ok(const char *line, char *ret_why, size_t size);

#endif
