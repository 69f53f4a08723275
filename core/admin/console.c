/* Owns the table of the console's files, and the headers that go with them.
 *
 * Must never happen: a path of a request that opens a file; a page without the policy that keeps
 * foreign scripts out; an old page that a browser keeps after an update.
 */
#include "admin/console.h"

#include "admin/private.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 500
#define FILE_MAX  (16u << 20)
#define PIECE     (64u << 10)

struct file {
  char *path, *on_disk; /* as a request names it, and where it is */
  const char *type;
  const char *data; /* NULL: not mapped yet */
  size_t len;
  int64_t mtime_ns;
  bool immutable; /* its name has the hash of its bytes */
};

struct console {
  struct log *log;
  struct file files[FILES_MAX];
  size_t n;
};

/* What the pages may do: their own scripts, styles, pictures and this API, nothing else. */
static const char page_fields[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Frame-Options: DENY\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

static const char *type_of(const char *name) {
  static const struct {
    const char *end, *type;
  } types[] = {{".html", "text/html; charset=utf-8"},
               {".js", "text/javascript; charset=utf-8"},
               {".css", "text/css; charset=utf-8"},
               {".svg", "image/svg+xml"},
               {".png", "image/png"},
               {".ico", "image/x-icon"},
               {".woff2", "font/woff2"},
               {".json", "application/json"}};
  size_t len = strlen(name);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    size_t n = strlen(types[i].end);
    if (len > n && !strcmp(name + len - n, types[i].end)) return types[i].type;
  }
  return NULL;
}

/* Names that need no decoding; a compressed twin is a file beside its plain one. */
static bool name_fits(const char *name) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  size_t len = strlen(name);
  if (*name == '.' || strspn(name, letters) != len) return false;
  return type_of(name) || (len > 3 && !strcmp(name + len - 3, ".gz"));
}

static void file_add(struct console *c, const char *dir, const char *under, const char *name) {
  struct file *f = &c->files[c->n];
  struct stat st;
  if (c->n == FILES_MAX || !name_fits(name)) return;
  if (asprintf(&f->on_disk, "%s%s%s", dir, under, name) < 0) return;
  if (stat(f->on_disk, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX || !st.st_size ||
      asprintf(&f->path, "%s%s", under, strcmp(name, "index.html") ? name : "") < 0) {
    free(f->on_disk);
    return;
  }
  f->len = (size_t)st.st_size;
  f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
  f->type = type_of(name);
  f->immutable = !strcmp(under, "/assets/");
  f->data = NULL;
  c->n++;
}

static void files_add(struct console *c, const char *dir, const char *under) {
  char *path;
  if (asprintf(&path, "%s%s", dir, under) < 0) return;
  DIR *d = opendir(path);
  free(path);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) file_add(c, dir, under, e->d_name);
  closedir(d);
}

static struct file *file_named(const struct console *c, const char *path) {
  for (size_t i = 0; c && i < c->n; i++)
    if (!strcmp(c->files[i].path, path)) return (struct file *)&c->files[i];
  return NULL;
}

struct console *console_new(const char *dir, struct log *log) {
  struct console *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->log = log;
  files_add(c, dir, "/");
  if (!file_named(c, "/")) return c;
  files_add(c, dir, "/assets/");
  return c;
}

void console_free(struct console *c) {
  if (!c) return;
  for (size_t i = 0; i < c->n; i++) {
    struct file *f = &c->files[i];
    if (f->data) munmap((void *)(uintptr_t)f->data, f->len);
    free(f->path);
    free(f->on_disk);
  }
  free(c);
}

bool console_built(const struct console *c) {
  return file_named(c, "/");
}

bool console_has(const struct console *c, const char *path) {
  if (!console_built(c)) return !strcmp(path, "/");
  const struct file *f = file_named(c, path);
  return f && f->type;
}

static bool file_map(struct console *c, struct file *f) {
  struct stat st;
  if (f->data) return true;
  int fd = open(f->on_disk, O_RDONLY | O_CLOEXEC);
  void *data = MAP_FAILED;
  errno = ESTALE;
  if (fd >= 0 && !fstat(fd, &st) && (size_t)st.st_size == f->len)
    data = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, fd, 0);
  int rc = errno;
  if (fd >= 0) close(fd);
  if (data == MAP_FAILED) {
    log_warning(c->log, "admin", "%s: %s; restart the broker after an update of the console",
                f->on_disk, strerror(rc));
    return false;
  }
  f->data = data;
  return true;
}

/* --- sending --- */

struct sending {
  const char *at;
  size_t left;
};

static enum http_stream on_piece(void *arg, struct buf *out) {
  struct sending *s = arg;
  size_t n = s->left < PIECE ? s->left : PIECE;
  buf_add(out, s->at, n);
  s->at += n;
  s->left -= n;
  return s->left ? HTTP_MORE : HTTP_END;
}

static bool takes_gzip(struct call *call) {
  const char *h = http_head_field(http_request_head(call->req), "Accept-Encoding");
  return h && strstr(h, "gzip") && !strstr(h, "gzip;q=0");
}

static void not_built(struct call *call) {
  static const char text[] = "The console is not built. Where npm is installed, `make` builds it: "
                             "see \"Install\" in doc/operating.md. "
                             "The API and pepperbusctl work without it.\n";
  call_text(call, 404, "text/plain; charset=utf-8", text, sizeof text - 1);
}

static void console_send(struct console *c, struct call *call, const char *path) {
  char fields[1200], twin[600], etag[64];
  struct file *f = file_named(c, path), *gz = NULL;
  if (!f) {
    not_built(call);
    return;
  }
  if (takes_gzip(call) && snprintf(twin, sizeof twin, "%s%s.gz", path,
                                   strcmp(path, "/") ? "" : "index.html") < (int)sizeof twin)
    gz = file_named(c, twin);
  snprintf(etag, sizeof etag, "\"%zx-%llx%s\"", f->len, (unsigned long long)f->mtime_ns,
           gz ? "-gz" : "");
  snprintf(fields, sizeof fields, "%sCache-Control: %s\r\nETag: %s\r\nVary: Accept-Encoding\r\n%s",
           page_fields, f->immutable ? "public, max-age=31536000, immutable" : "no-cache", etag,
           gz ? "Content-Encoding: gzip\r\n" : "");
  const char *known = http_head_field(http_request_head(call->req), "If-None-Match");
  if (known && strstr(known, etag)) {
    call_fields(call, 304, f->type, fields, "", 0);
    return;
  }
  const struct file *body = gz ? gz : f;
  struct sending *s = file_map(c, gz ? gz : f) ? malloc(sizeof *s) : NULL;
  if (!s) {
    call_error(call, 503, "this file of the console cannot be read; the log says why");
    return;
  }
  *s = (struct sending){body->data, body->len};
  call_stream_fields(call, f->type, fields, body->len, on_piece, free, s);
}

void admin_get_console(struct call *call) {
  console_send(call->admin->console, call, call->below);
}
