/* Owns parsed certificates and keys. Calls OpenSSL, the host's clock and log; reads files at
 * create() time and when they have changed.
 *
 * libcurl shares a connection among requests with the same TLS settings, as far as it knows them.
 * It does not know the settings of this file. So they are written into the one text that libcurl
 * compares and that has no other use: CURLOPT_CAPATH names the files and their state. OpenSSL would
 * look at this path for missing certificates, but the store that libcurl gives the path to is
 * replaced.
 */
#include "http_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME_MAX 300 /* shown of a path */

/* The facts about a file that change when the file changes. */
struct mark {
  bool there;
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec changed;
};

struct trust {
  struct trust *next;
  struct http_trusts *set;
  char *ca_file; /* "": the system's */
  unsigned users;
  unsigned generation; /* raised each time that it was read */
  X509_STORE *store;   /* NULL: it cannot be used */
  struct mark mark;    /* as it was when it was looked at last, */
  struct mark held;    /* and when the store was read */
  uint64_t looked_ms;
  char why[400];
};

struct http_trusts {
  const struct pb_host *h;
  struct pb_owner *o;
  struct trust *list;
  bool system_openssl; /* libcurl's TLS is the library that we use */
};

struct http_tls {
  struct http_trusts *set;
  const struct http_topic_conf *conf;
  struct trust *trust; /* NULL: nothing is checked */
  X509 *cert;
  STACK_OF(X509) * chain;
  EVP_PKEY *key;
  struct mark cert_mark, key_mark; /* when they were looked at last */
  struct mark cert_held, key_held; /* when they were read */
  unsigned generation;             /* of the topic's files and of its trust together */
  unsigned trust_generation;
  uint64_t looked_ms;
  bool trust_failed;
  char why[400];
};

/* --- files --- */

static struct mark mark_of(const char *path) {
  struct mark m = {0};
  struct stat st;

  if (!*path || stat(path, &st) < 0 || !S_ISREG(st.st_mode)) return m;
  m.there = true;
  m.dev = st.st_dev;
  m.ino = st.st_ino;
  m.size = st.st_size;
  m.changed = st.st_ctim; /* also changed by tools that set the other time back (cp -p, rsync) */
  return m;
}

static bool mark_same(const struct mark *a, const struct mark *b) {
  return a->there == b->there && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
         a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* What OpenSSL has to say of the last call. */
static void say(char *why, size_t size, const char *path, const char *what) {
  unsigned long e = ERR_peek_last_error();
  const char *reason = e ? ERR_reason_error_string(e) : NULL;

  snprintf(why, size, "%s%.*s%s%s", what, FILE_NAME_MAX, path, reason ? ": " : "",
           reason ? reason : "");
  ERR_clear_error();
}

/* --- certificates of others --- */

static const char *system_bundle(void) {
  const char *file = curl_version_info(CURLVERSION_NOW)->cainfo;

  return file ? file : "";
}

static const char *trust_path(const struct trust *t) {
  return *t->ca_file ? t->ca_file : system_bundle();
}

/* As libcurl does it: a chain may end at any certificate that is trusted. */
static X509_STORE *trust_read(struct trust *t, char *why, size_t size) {
  const char *file = trust_path(t), *path = curl_version_info(CURLVERSION_NOW)->capath;
  bool system = !*t->ca_file;
  X509_STORE *store = X509_STORE_new();

  ERR_clear_error();
  if (!store) {
    snprintf(why, size, "no memory");
    return NULL;
  }
  X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
  /* A path that is no regular file, such as a pipe, could block: it is not opened. */
  if ((!*file || (t->mark.there && X509_STORE_load_file(store, file) == 1) ||
       (system && !t->mark.there && path)) &&
      (!system || !path || X509_STORE_load_path(store, path) == 1)) {
    ERR_clear_error();
    return store;
  }
  say(why, size, file, "");
  X509_STORE_free(store);
  return NULL;
}

/* Reads the file again if it has changed. */
static void trust_look(struct trust *t) {
  struct mark now = mark_of(trust_path(t));
  bool first = !t->generation;
  X509_STORE *store;
  char why[sizeof t->why] = "";

  t->looked_ms = t->set->h->now_ms(t->set->o);
  if (!first && mark_same(&now, &t->mark)) return;
  t->mark = now;
  store = trust_read(t, why, sizeof why);
  if (store || !t->store) {
    X509_STORE_free(t->store);
    t->store = store;
    t->held = now;
    t->generation++;
    snprintf(t->why, sizeof t->why, "%s", why);
  }
  if (first) return; /* the connecting request reports it */
  if (store)
    t->set->h->log(t->set->o, PB_LOG_INFO, "%s has changed; read again", trust_path(t));
  else
    t->set->h->log(t->set->o, PB_LOG_WARNING,
                   "%s has changed and cannot be used: %s; going on with what it held before",
                   trust_path(t), why);
}

static struct trust *trust_get(struct http_trusts *s, const char *ca_file) {
  struct trust *t = s->list;

  while (t && strcmp(t->ca_file, ca_file) != 0) t = t->next;
  if (t) {
    t->users++;
    return t;
  }
  t = calloc(1, sizeof *t);
  if (!t || !(t->ca_file = strdup(ca_file))) {
    free(t);
    return NULL;
  }
  t->set = s;
  t->users = 1;
  t->next = s->list;
  s->list = t;
  trust_look(t);
  return t;
}

/* The system's trust stays until the plugin goes: a reload of its only topic must not read it
 * again. */
static void trust_put(struct trust *t) {
  if (!t || --t->users || !*t->ca_file) return;
  for (struct trust **at = &t->set->list; *at; at = &(*at)->next)
    if (*at == t) {
      *at = t->next;
      break;
    }
  X509_STORE_free(t->store);
  free(t->ca_file);
  free(t);
}

struct http_trusts *http_trusts_new(const struct pb_host *h, struct pb_owner *o) {
  struct http_trusts *s = calloc(1, sizeof *s);
  const char *tls = curl_version_info(CURLVERSION_NOW)->ssl_version;

  if (!s) return NULL;
  s->h = h;
  s->o = o;
  s->system_openssl = tls && strncmp(tls, "OpenSSL/3", 9) == 0;
  return s;
}

void http_trusts_free(struct http_trusts *s) {
  if (!s) return;
  while (s->list) {
    struct trust *t = s->list;

    s->list = t->next;
    X509_STORE_free(t->store);
    free(t->ca_file);
    free(t);
  }
  free(s);
}

/* --- our own --- */

static int on_password(char *buf, int size, int writing, void *arg) {
  const char *password = arg;
  size_t len = strlen(password);

  (void)writing;
  if (!len || len > (size_t)size) return 0;
  memcpy(buf, password, len);
  return (int)len;
}

static void own_drop(struct http_tls *t) {
  X509_free(t->cert);
  sk_X509_pop_free(t->chain, X509_free);
  EVP_PKEY_free(t->key);
  t->cert = NULL;
  t->chain = NULL;
  t->key = NULL;
}

/* The certificate and those behind it in the file. */
static bool cert_read(struct http_tls *t, const char *path, char *why, size_t size) {
  BIO *in = BIO_new_file(path, "r");
  X509 *next;

  if (in)
    t->cert = PEM_read_bio_X509_AUX(in, NULL, on_password, (void *)t->conf->client_key_password);
  if (t->cert) t->chain = sk_X509_new_null();
  while (t->chain && (next = PEM_read_bio_X509(in, NULL, on_password,
                                               (void *)t->conf->client_key_password)) != NULL)
    if (!sk_X509_push(t->chain, next)) X509_free(next);
  BIO_free(in);
  if (!t->cert || !t->chain) say(why, size, path, "client_cert ");
  ERR_clear_error();
  return t->cert && t->chain;
}

static bool key_read(struct http_tls *t, const char *path, char *why, size_t size) {
  BIO *in = BIO_new_file(path, "r");

  if (in)
    t->key = PEM_read_bio_PrivateKey(in, NULL, on_password, (void *)t->conf->client_key_password);
  BIO_free(in);
  if (!t->key) {
    say(why, size, path, "client_key ");
    return false;
  }
  if (X509_check_private_key(t->cert, t->key) == 1) return true;
  say(why, size, path, "client_key is not that of client_cert: ");
  return false;
}

static const char *key_path(const struct http_tls *t) {
  return *t->conf->client_key ? t->conf->client_key : t->conf->client_cert;
}

static void own_look(struct http_tls *t) {
  struct http_tls fresh = {.conf = t->conf};
  struct mark cert = mark_of(t->conf->client_cert), key = mark_of(key_path(t));
  bool first = !t->generation, had = t->cert != NULL;
  char why[sizeof t->why] = "";

  if (!*t->conf->client_cert ||
      (!first && mark_same(&cert, &t->cert_mark) && mark_same(&key, &t->key_mark)))
    return;
  t->cert_mark = cert;
  t->key_mark = key;
  ERR_clear_error();
  if (!cert.there || !key.there)
    snprintf(why, sizeof why, "it is not there, or no regular file");
  else if (cert_read(&fresh, t->conf->client_cert, why, sizeof why) &&
           key_read(&fresh, key_path(t), why, sizeof why)) {
    own_drop(t);
    t->cert = fresh.cert;
    t->chain = fresh.chain;
    t->key = fresh.key;
    t->cert_held = cert;
    t->key_held = key;
    t->generation++;
    t->why[0] = 0;
    if (!first)
      t->set->h->log(t->set->o, PB_LOG_INFO, "%s or its key has changed; read again",
                     t->conf->client_cert);
    return;
  }
  own_drop(&fresh);
  if (!had) snprintf(t->why, sizeof t->why, "%s", why);
  if (!first) /* the other of the two files may be about to follow */
    t->set->h->log(t->set->o, PB_LOG_WARNING, "%s or its key has changed and cannot be used: %s%s",
                   t->conf->client_cert, why, had ? "; going on with the old ones" : "");
}

/* --- topics --- */

int http_tls_new(struct http_trusts *s, const struct http_topic_conf *conf, struct http_tls **ret) {
  struct http_tls *t = calloc(1, sizeof *t);

  if (!t) return -ENOMEM;
  t->set = s;
  t->conf = conf;
  if (conf->verify && s->system_openssl && !(t->trust = trust_get(s, conf->ca_file))) {
    free(t);
    return -ENOMEM;
  }
  if (s->system_openssl) own_look(t);
  t->generation++;
  if (t->trust) t->trust_generation = t->trust->generation;
  t->looked_ms = s->h->now_ms(s->o);
  *ret = t;
  return 0;
}

void http_tls_free(struct http_tls *t) {
  if (!t) return;
  trust_put(t->trust);
  own_drop(t);
  free(t);
}

/* libcurl's callback: a connection is about to begin TLS. The store that libcurl has set up is
 * empty. */
static CURLcode on_context(CURL *e, void *context, void *arg) {
  struct http_tls *t = arg;
  SSL_CTX *ctx = context;

  (void)e;
  t->trust_failed = t->trust && !t->trust->store;
  if (t->trust_failed) return CURLE_SSL_CACERT_BADFILE;
  if (t->trust) SSL_CTX_set1_cert_store(ctx, t->trust->store);
  if (!*t->conf->client_cert) return CURLE_OK;
  if (t->cert && SSL_CTX_use_certificate(ctx, t->cert) == 1 &&
      SSL_CTX_set1_chain(ctx, t->chain) == 1 && SSL_CTX_use_PrivateKey(ctx, t->key) == 1)
    return CURLE_OK;
  if (!*t->why) say(t->why, sizeof t->why, t->conf->client_cert, "client_cert ");
  return CURLE_SSL_CERTPROBLEM;
}

/* Without OpenSSL in libcurl it reads the files itself. */
static CURLcode apply_files(const struct http_topic_conf *c, CURL *e) {
  CURLcode rc = CURLE_OK;

  if (*c->ca_file) {
    rc = curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* this one, and not the system's */
  }
  if (!rc && *c->client_cert) rc = curl_easy_setopt(e, CURLOPT_SSLCERT, c->client_cert);
  if (!rc && *c->client_cert)
    rc = curl_easy_setopt(e, CURLOPT_SSLKEY, *c->client_key ? c->client_key : c->client_cert);
  if (!rc && *c->client_key_password)
    rc = curl_easy_setopt(e, CURLOPT_KEYPASSWD, c->client_key_password);
  return rc;
}

static const char *mark_text(const struct mark *m, char out[96]) {
  snprintf(out, 96, "%jx.%jx.%jx.%jx.%lx", (uintmax_t)m->dev, (uintmax_t)m->ino, (uintmax_t)m->size,
           (uintmax_t)m->changed.tv_sec, m->changed.tv_nsec);
  return out;
}

/* Names the settings that a connection is made with: see the top. */
static CURLcode apply_name(const struct http_tls *t, CURL *e, uint64_t epoch) {
  const struct http_topic_conf *c = t->conf;
  char ca[96] = "", cert[96] = "", key[96] = "", *name;
  CURLcode rc;

  if (asprintf(&name, "/dev/null/%jx/ca=%s@%s/cert=%s@%s/key=%s@%s", (uintmax_t)epoch,
               c->verify ? c->ca_file : "none", t->trust ? mark_text(&t->trust->held, ca) : "",
               c->client_cert, mark_text(&t->cert_held, cert), c->client_key,
               mark_text(&t->key_held, key)) < 0)
    return CURLE_OUT_OF_MEMORY;
  rc = curl_easy_setopt(e, CURLOPT_CAPATH, name);
  free(name);
  return rc;
}

static void tls_look(struct http_tls *t) {
  uint64_t now = t->set->h->now_ms(t->set->o);

  if (now - t->looked_ms >= HTTP_TLS_LOOK_MS) {
    t->looked_ms = now;
    if (t->trust && now - t->trust->looked_ms >= HTTP_TLS_LOOK_MS) trust_look(t->trust);
    own_look(t);
  }
  if (!t->trust || t->trust->generation == t->trust_generation) return;
  t->trust_generation = t->trust->generation;
  t->generation++;
}

CURLcode http_tls_apply(struct http_tls *t, CURL *e, uint64_t epoch, struct http_tls_state *state) {
  CURLcode rc = CURLE_OK;

  if (t->set->system_openssl) tls_look(t);
  if (state->generation == t->generation && state->epoch == epoch) return CURLE_OK;
  if (!state->generation && !t->conf->verify) {
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!t->set->system_openssl) {
    rc = apply_files(t->conf, e);
  } else {
    rc = curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
    if (!rc) rc = apply_name(t, e, epoch);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_context);
    if (!rc) rc = curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
  }
  if (!rc) *state = (struct http_tls_state){t->generation, epoch};
  return rc;
}

const char *http_tls_why(const struct http_tls *t) {
  return t->trust_failed ? t->trust->why : t->why;
}
