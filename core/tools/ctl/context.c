/* Owns the file with contexts: named brokers elsewhere, each with its URL and the file of its
 * token.
 *
 * Must never happen: a token in that file, in a message, or in a file that others can read; lines
 * of a person in it are lost.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"
#include "base/secret.h"
#include "base/suggest.h"
#include "config/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTEXT_NAME_MAX 128
#define FILE_MAX         (1u << 20)

/* --- where --- */

/* malloc'd; NULL: the fault was printed. */
static char *context_file(void) {
  const char *named = getenv("PEPPERBUS_CTL_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME");
  const char *home = getenv("HOME");
  char *path = NULL;
  int rc = 0;
  if (named && *named)
    path = strdup(named);
  else if (xdg && *xdg == '/')
    rc = asprintf(&path, "%s/pepperbus/ctl.ini", xdg);
  else if (home && *home)
    rc = asprintf(&path, "%s/.config/pepperbus/ctl.ini", home);
  else
    ctl_error("there is no home directory with contexts; PEPPERBUS_CTL_CONFIG can name their file");
  if (rc < 0) out_of_memory();
  return path;
}

/* `name` in the folder of `file`. malloc'd. */
static char *beside(const char *file, const char *name) {
  const char *slash = strrchr(file, '/');
  char *path;
  if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - file) : 0, file, name) < 0)
    out_of_memory();
  return path;
}

bool context_name_is_sound(const char *name) {
  static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
  size_t len = strlen(name);
  if (len && len <= CONTEXT_NAME_MAX && strspn(name, good) == len) return true;
  ctl_error("\"%s\" is no name of a context: 1 to %d of letters, digits, _ . : -", name,
            CONTEXT_NAME_MAX);
  return false;
}

/* --- reading --- */

/* The whole file. *ret_text stays NULL where there is none. */
static int file_read(const char *path, char **ret_text, size_t *ret_len) {
  struct stat st;
  *ret_text = NULL;
  *ret_len = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return CTL_OK;
  const char *why = fd < 0 || fstat(fd, &st) < 0 ? strerror(errno) : NULL;
  if (!why && !S_ISREG(st.st_mode)) why = "it is not a regular file";
  if (!why && st.st_uid != geteuid()) why = "it belongs to another user";
  if (!why && (st.st_mode & 077)) why = "others can read or write it; run chmod 600 on it";
  if (!why && st.st_size > FILE_MAX) why = "it is too large";
  FILE *f = why ? NULL : fdopen(fd, "r");
  if (why) {
    ctl_error("%s is not used: %s", path, why);
    if (fd >= 0) close(fd);
    return CTL_USAGE;
  }
  char *text = malloc((size_t)st.st_size + 1);
  if (!f || !text) out_of_memory();
  *ret_len = fread(text, 1, (size_t)st.st_size, f);
  text[*ret_len] = 0;
  fclose(f);
  *ret_text = text;
  return CTL_OK;
}

static const char *entry_value(const struct ini_section *s, const char *key) {
  for (const struct ini_entry *e = s->entries; e; e = e->next)
    if (!strcmp(e->key, key)) return e->value;
  return NULL;
}

/* A key that is misspelt must not leave a default in its place. */
static int section_check(const char *file, const struct ini_section *s) {
  static const char *const keys[] = {"url", "token_file", "ca_file"};
  if (strcmp(s->type, "context") != 0 || !*s->name) {
    ctl_error("%s:%u: [%s] is no section of this file; it holds [context NAME] sections", file,
              s->place.line, s->type);
    return CTL_USAGE;
  }
  for (const struct ini_entry *e = s->entries; e; e = e->next) {
    bool known = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) known |= !strcmp(e->key, keys[i]);
    if (known) continue;
    ctl_error("%s:%u: there is no key \"%s\"; a context has url, token_file, ca_file", file,
              e->place.line, e->key);
    return CTL_USAGE;
  }
  return CTL_OK;
}

static char *value_path(const char *file, const char *value) {
  if (!value || !*value) return NULL;
  if (*value != '/') return beside(file, value);
  char *copy = strdup(value);
  if (!copy) out_of_memory();
  return copy;
}

static int section_take(const char *file, const struct ini_section *s, struct context *ret) {
  const char *url = entry_value(s, "url"), *token = entry_value(s, "token_file");
  if (!url || !*url || !token || !*token) {
    ctl_error("%s:%u: context %s has no %s", file, s->place.line, s->name,
              url && *url ? "token_file" : "url");
    return CTL_USAGE;
  }
  *ret = (struct context){.url = strdup(url),
                          .token_file = value_path(file, token),
                          .ca_file = value_path(file, entry_value(s, "ca_file"))};
  if (!ret->url) out_of_memory();
  return CTL_OK;
}

/* Every section is checked; the one of that name is taken. */
static int sections_read(const char *file, struct ini *ini, const char *name, struct context *ret) {
  const struct ini_section *found = NULL;
  struct suggest near = {.want = name};
  for (const struct ini_section *s = ini->sections; s; s = s->next) {
    int code = section_check(file, s);
    if (code) return code;
    suggest_offer(&near, s->name);
    if (strcmp(s->name, name) != 0) continue;
    if (found) {
      ctl_error("%s:%u: context %s is there twice", file, s->place.line, name);
      return CTL_USAGE;
    }
    found = s;
  }
  if (found) return section_take(file, found, ret);
  ctl_error("%s has no context \"%s\"%s%s%s; pepperbusctl login URL --context %s makes it", file,
            name, near.best ? "; did you mean " : "", near.best ? near.best : "",
            near.best ? "?" : "", name);
  return CTL_USAGE;
}

static struct ini *parse(const char *file, const char *text, size_t len) {
  struct faults *faults = faults_new();
  struct ini *ini = ini_parse_text(file, text ? text : "", len, faults);
  bool sound = !faults_count(faults);
  faults_write(faults, stderr);
  faults_free(faults);
  if (sound) return ini;
  ini_free(ini);
  return NULL;
}

int context_find(const char *name, struct context *ret) {
  char *text, *file = context_file();
  size_t len;
  *ret = (struct context){.url = NULL};
  if (!file || !context_name_is_sound(name)) {
    free(file);
    return CTL_USAGE;
  }
  int code = file_read(file, &text, &len);
  struct ini *ini = code ? NULL : parse(file, text, len);
  if (!code) code = ini ? sections_read(file, ini, name, ret) : CTL_USAGE;
  ini_free(ini);
  free(text);
  free(file);
  return code;
}

void context_done(struct context *c) {
  free(c->url);
  free(c->token_file);
  free(c->ca_file);
}

/* --- writing --- */

/* All or nothing, readable by us alone. */
static int file_write(const char *path, const char *text, size_t len) {
  char mark[17], *temp;
  if (secret_token(8, mark)) return -EIO;
  char *real = realpath(path, NULL); /* a link stays one */
  if (asprintf(&temp, "%s.%s", real ? real : path, mark) < 0) out_of_memory();
  int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
  if (fd < 0) rc = -errno;
  for (size_t at = 0; !rc && at < len;) {
    ssize_t n = write(fd, text + at, len - at);
    if (n < 0 && errno != EINTR) rc = -errno;
    if (n > 0) at += (size_t)n;
  }
  if (!rc && fsync(fd)) rc = -errno;
  if (fd >= 0 && close(fd) && !rc) rc = -errno;
  if (!rc && rename(temp, real ? real : path)) rc = -errno;
  if (rc && fd >= 0) (void)unlink(temp);
  free(temp);
  free(real);
  return rc;
}

/* The folder of `path`, closed to others where it is made here. */
static int folder_make(const char *path) {
  char *copy = strdup(path);
  int rc = 0;
  if (!copy) out_of_memory();
  for (char *slash = strchr(copy + 1, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    if (mkdir(copy, 0700) && errno != EEXIST) rc = -errno;
    *slash = '/';
  }
  free(copy);
  return rc;
}

/* Does a line begin with "[context NAME]"? */
static bool line_begins(const char *line, const char *name) {
  const char *p = line + strspn(line, " \t");
  if (*p++ != '[') return false;
  p += strspn(p, " \t");
  if (strncmp(p, "context", 7) != 0) return false;
  p += 7;
  size_t gap = strspn(p, " \t"), len = strlen(name);
  p += gap;
  return gap && !strncmp(p, name, len) && p[len + strspn(p + len, " \t")] == ']';
}

/* `text` without the section of that name, all other lines as they are. malloc'd. */
static char *text_without(const char *text, const char *name, bool *ret_was) {
  char *out = NULL;
  size_t size;
  bool skip = false;
  FILE *f = open_memstream(&out, &size);
  if (!f) out_of_memory();
  *ret_was = false;
  for (const char *p = text; *p;) {
    size_t len = strcspn(p, "\n"), all = len + (p[len] == '\n');
    char first = p[strspn(p, " \t")];
    if (first == '[') skip = line_begins(p, name);
    *ret_was |= skip;
    /* comments before the next section belong to it */
    if (!skip || first == ';' || first == '#') fwrite(p, 1, all, f);
    p += all;
  }
  if (fclose(f)) out_of_memory();
  return out;
}

/* The file with its section of that name replaced by `section` ("": taken out). */
static int section_write(const char *file, const char *name, const char *section, bool *ret_was) {
  char *text, *rest, *whole;
  size_t len;
  int code = file_read(file, &text, &len);
  if (code) return code;
  rest = text_without(text ? text : "", name, ret_was);
  size_t n = strlen(rest);
  while (n && rest[n - 1] == '\n') n--;
  if (asprintf(&whole, "%.*s%s%s", (int)n, rest, n ? *section ? "\n\n" : "\n" : "", section) < 0)
    out_of_memory();
  int rc = folder_make(file);
  if (!rc) rc = file_write(file, whole, strlen(whole));
  if (rc) ctl_error("cannot write %s: %s", file, strerror(-rc));
  free(whole);
  free(rest);
  free(text);
  return rc ? CTL_USAGE : CTL_OK;
}

/* "NAME.token"; a ":" is fine in a file name. */
static char *token_name(const char *name) {
  char *ret;
  if (asprintf(&ret, "%s.token", name) < 0) out_of_memory();
  return ret;
}

static int token_write(const char *path, const char *token) {
  char line[TOKEN_MAX + 2];
  snprintf(line, sizeof line, "%s\n", token);
  int rc = folder_make(path);
  if (!rc) rc = file_write(path, line, strlen(line));
  explicit_bzero(line, sizeof line);
  if (rc) ctl_error("cannot write %s: %s", path, strerror(-rc));
  return rc ? CTL_USAGE : CTL_OK;
}

int context_store(const char *name, const char *url, const char *ca_file, const char *token) {
  char *section, *file = context_file(), *base = token_name(name), *path, *ca = NULL;
  bool was;
  if (ca_file && (!(ca = realpath(ca_file, NULL)) || strpbrk(ca, "\"\\\n"))) {
    ctl_error("cannot use %s: %s", ca_file, ca ? "its name has odd characters" : strerror(errno));
    free(ca);
    free(base);
    free(file);
    return CTL_USAGE;
  }
  if (asprintf(&section, "[context %s]\nurl = \"%s\"\ntoken_file = \"%s\"\n%s%s%s", name, url, base,
               ca ? "ca_file = \"" : "", ca ? ca : "", ca ? "\"\n" : "") < 0)
    out_of_memory();
  path = file ? beside(file, base) : NULL;
  int code = file ? token_write(path, token) : CTL_USAGE;
  if (!code) code = section_write(file, name, section, &was);
  free(ca);
  free(section);
  free(path);
  free(base);
  free(file);
  return code;
}

int context_forget(const char *name) {
  char *file = context_file(), *base = token_name(name), *path = file ? beside(file, base) : NULL;
  bool was = false;
  int code = file ? section_write(file, name, "", &was) : CTL_USAGE;
  if (!code && was && unlink(path) && errno != ENOENT) {
    ctl_error("cannot delete %s: %s", path, strerror(errno));
    code = CTL_USAGE;
  }
  free(path);
  free(base);
  free(file);
  return code;
}
