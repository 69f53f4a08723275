/* Owns the text of INI files on its way to sections and entries. The ONLY user of inih.
 *
 * inih as Debian 12 packages it (r55) cuts lines at 199 bytes, reading the rest as new lines,
 * and section names at 49; takes indented lines for continuations; does not tell line numbers,
 * sections without keys, or any error but the first; knows `;` but not `#` behind a value, and
 * both inside quotes; and reads a directory as an empty file. So it reads through
 * line_reader(), which counts the lines, judges each by its form, and hands over only what
 * inih understands as we do: text it would not is replaced by TOKEN and kept beside, where the
 * handler finds it. After each header goes a line of our own, so that no section gets lost.
 * reader_settle() watches that each line handed over arrives: a library built otherwise is
 * found out, and costs an error, never a value.
 */
#include "config/ini.h"

#include "base/arena.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* No control character passes line_check(), so these are never the file's. */
#define TOKEN           "\x01"
#define HEADER_MARK     "\x02"
#define INI_SECTION_MAX 49 /* what inih keeps of a section or, for continuations, a key */

/* One file read or to be read. */
struct source {
  struct source *next;
  const char *name;
  const struct source *parent; /* NULL: the first one */
  struct place place;          /* of the include */
  dev_t dev;
  ino_t ino;
  bool read;
};

struct ini_private {
  struct arena *arena;
  struct ini_section **sections_end;
  struct source *sources, **sources_end;
  size_t n_sources;
};

/* The position of line_reader() in one file, and the texts that it keeps for the handler. */
struct reader {
  struct ini *conf;
  struct faults *faults;
  struct arena *arena;
  const char *file;
  const char *at, *end;
  unsigned line;
  bool in_section;             /* keys have a section to go to */
  bool drop;                   /* the header was wrong: its keys belong to no section */
  bool header_pending;         /* HEADER_MARK follows */
  bool owed;                   /* a line was handed over and has not arrived */
  char *section, *key, *value; /* of the line under way, in full */
  bool cut;
  struct ini_section *current;
  struct ini_entry **entries_end;
};

static struct place place_here(const struct reader *r) {
  return (struct place){r->file, r->line};
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static bool is_comment(char c) {
  return c == ';' || c == '#';
}

static void trim(const char **text, size_t *len) {
  while (*len && is_blank(**text)) (*text)++, (*len)--;
  while (*len && is_blank((*text)[*len - 1])) (*len)--;
}

/* Text that goes on to logs, JSON and Redis must be text. */
static bool line_check(struct reader *r, const char *text, size_t len) {
  for (size_t i = 0, n; i < len; i += n) {
    unsigned char c = (unsigned char)text[i];
    n = utf8_sequence((const unsigned char *)text + i, len - i);
    if (!c) {
      fault_add(r->faults, place_here(r),
                "a NUL byte in column %zu; this is not a text file, or one in UTF-16: save it as "
                "UTF-8",
                i + 1);
      return false;
    }
    if ((c < 0x20 && c != '\t') || c == 0x7f) {
      fault_add(r->faults, place_here(r), "the control character 0x%02x in column %zu; delete it",
                c, i + 1);
      return false;
    }
    if (!n) {
      fault_add(r->faults, place_here(r),
                "column %zu is not UTF-8 (byte 0x%02x); save the file as UTF-8", i + 1, c);
      return false;
    }
  }
  return true;
}

/* The next physical line without its end, or false at the end of the file. */
static bool line_next(struct reader *r, const char **ret_text, size_t *ret_len) {
  if (r->at == r->end) return false;
  const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
  const char *stop = newline ? newline : r->end;
  *ret_text = r->at;
  *ret_len = (size_t)(stop - r->at);
  if (*ret_len && stop[-1] == '\r') --*ret_len;
  r->at = newline ? newline + 1 : r->end;
  r->line++;
  return true;
}

/* True where nothing but a comment stands in the rest of a line. */
static bool rest_is_comment(const char *text, size_t len) {
  trim(&text, &len);
  return !len || is_comment(*text);
}

/* "[type name]": keeps the name in r->section; false where the header is at fault. */
static bool header_take(struct reader *r, const char *text, size_t len) {
  const char *close = memchr(text, ']', len);
  if (!close) {
    fault_add(r->faults, place_here(r), "a section without its ']'; write [type name]");
    return false;
  }
  size_t rest = (size_t)(text + len - close - 1);
  if (!rest_is_comment(close + 1, rest))
    fault_add(r->faults, place_here(r),
              "text behind the ']' of a section; keys stand on lines of their own");
  const char *name = text + 1;
  size_t name_len = (size_t)(close - name);
  trim(&name, &name_len);
  if (!name_len) {
    fault_add(r->faults, place_here(r), "a section without a name; write [type name]");
    return false;
  }
  r->section = arena_text(r->arena, name, name_len);
  return true;
}

static bool key_is_sound(const char *key, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)key[i]) && !strchr("_-.", key[i])) return false;
  return len > 0;
}

/* `"..."` with \" and \\ inside. Other backslashes are kept: paths and commands have them. */
static bool quoted_take(struct reader *r, const char *text, size_t len) {
  char *out = arena_alloc(r->arena, len + 1);
  size_t n = 0, i = 1;
  for (; i < len && text[i] != '"'; i++) {
    if (text[i] == '\\' && i + 1 < len && (text[i + 1] == '"' || text[i + 1] == '\\')) i++;
    out[n++] = text[i];
  }
  if (i >= len) {
    fault_add(r->faults, place_here(r), "%s: the closing '\"' is missing on this line", r->key);
    return false;
  }
  if (!rest_is_comment(text + i + 1, len - i - 1)) {
    fault_add(r->faults, place_here(r),
              "%s: text behind the closing '\"'; put the whole value in one pair of quotes, and "
              "write a quote inside it as \\\"",
              r->key);
    return false;
  }
  r->value = out;
  return true;
}

/* A value without quotes: up to a comment, which a blank precedes. `text` begins behind '='. */
static void bare_take(struct reader *r, const char *text, size_t len) {
  for (size_t i = 1; i < len; i++)
    if (is_comment(text[i]) && is_blank(text[i - 1])) {
      r->cut = i + 1 < len && !is_blank(text[i + 1]) && !is_comment(text[i + 1]);
      len = i;
    }
  trim(&text, &len);
  r->value = arena_text(r->arena, text, len);
}

static bool entry_take(struct reader *r, const char *text, size_t len) {
  const char *equals = memchr(text, '=', len);
  const char *key = text;
  size_t key_len = equals ? (size_t)(equals - text) : len;
  trim(&key, &key_len);
  /* Only the first word is shown: the text after it may be a secret. */
  int shown = 0;
  while ((size_t)shown < key_len && shown < 40 && !is_blank(key[shown])) shown++;
  const char *dots = (size_t)shown < key_len ? " ..." : "";
  if (!equals) {
    const char *colon = memchr(text, ':', len);
    if (colon && key_is_sound(text, (size_t)(colon - text)))
      fault_add(r->faults, place_here(r),
                "'%.*s: ...' has a ':' where a '=' belongs; write %.*s = ...", (int)(colon - text),
                text, (int)(colon - text), text);
    else
      fault_add(r->faults, place_here(r),
                "'%.*s%s' is neither a section nor a key; write [type name], key = value or "
                "; comment",
                shown, key, dots);
    return false;
  }
  if (!key_is_sound(key, key_len)) {
    if (key_len)
      fault_add(r->faults, place_here(r), "'%.*s%s' is no key; write key = value", shown, key,
                dots);
    else
      fault_add(r->faults, place_here(r), "a value without a key; write key = value");
    return false;
  }
  if (r->drop) return false;
  if (!r->in_section) {
    fault_add(r->faults, place_here(r),
              "%.*s stands before the first section; write [server] above it", shown, key);
    return false;
  }
  r->key = arena_text(r->arena, key, key_len);
  const char *value = equals + 1;
  size_t value_len = (size_t)(text + len - value);
  const char *inner = value;
  size_t inner_len = value_len;
  trim(&inner, &inner_len);
  if (inner_len && *inner == '"') {
    if (!quoted_take(r, inner, inner_len)) return false;
  } else {
    bare_take(r, value, value_len);
  }
  if (strlen(r->value) > INI_VALUE_MAX) {
    fault_add(r->faults, place_here(r), "%s: the value has %zu bytes; at most %u are allowed",
              r->key, strlen(r->value), INI_VALUE_MAX);
    return false;
  }
  return true;
}

/* What inih is to read for a text: itself where inih would read the same, else TOKEN. */
static const char *header_for_inih(const char *section) {
  return strlen(section) <= INI_SECTION_MAX && !strpbrk(section, ";#") ? section : TOKEN;
}

static const char *value_for_inih(const char *value, size_t room) {
  size_t len = strlen(value);
  bool bare = !len || (!is_blank(value[0]) && !is_blank(value[len - 1]));
  for (size_t i = 1; i < len && bare; i++) bare = !(is_comment(value[i]) && is_blank(value[i - 1]));
  return bare && len < room ? value : TOKEN;
}

static void reader_settle(struct reader *r) {
  if (!r->owed) return;
  fault_add(
      r->faults, place_here(r),
      "the inih library did not read this line; was it built with other options than Debian's?");
  r->owed = false;
}

/* ini_reader: one line for inih into `str`, or NULL at the end of the file. */
static char *line_reader(char *str, int num, void *stream) {
  struct reader *r = stream;
  const char *text;
  size_t len, size = num > 0 ? (size_t)num : 0;

  reader_settle(r);
  if (r->header_pending) {
    r->header_pending = false;
    r->owed = true;
    snprintf(str, size, HEADER_MARK "=\n");
    return str;
  }
  while (line_next(r, &text, &len)) {
    const char *first = text;
    size_t first_len = len;
    trim(&first, &first_len);
    if (!first_len || is_comment(*first) || !line_check(r, text, len)) continue;
    r->cut = false;
    if (*first == '[') {
      r->drop = !header_take(r, first, first_len);
      if (r->drop) continue;
      r->in_section = r->header_pending = true;
      snprintf(str, size, "[%s]\n", header_for_inih(r->section));
      return str;
    }
    if (!entry_take(r, first, first_len)) continue;
    const char *key = strlen(r->key) <= INI_SECTION_MAX ? r->key : TOKEN;
    size_t used = strlen(key) + 3; /* '=', newline, NUL */
    snprintf(str, size, "%s=%s\n", key, value_for_inih(r->value, size > used ? size - used : 0));
    r->owed = true;
    return str;
  }
  return NULL;
}

static void section_begin(struct reader *r, const char *header) {
  struct ini_section *s = arena_alloc(r->arena, sizeof *s);
  size_t type_len = strcspn(header, " \t");
  const char *name = header + type_len;
  while (is_blank(*name)) name++;
  s->type = arena_text(r->arena, header, type_len);
  s->name = arena_text(r->arena, name, strlen(name));
  s->place = place_here(r);
  *r->conf->priv->sections_end = s;
  r->conf->priv->sections_end = &s->next;
  r->current = s;
  r->entries_end = &s->entries;
}

/* ini_handler: 1 = fine. */
static int line_handler(void *user, const char *section, const char *key, const char *value) {
  struct reader *r = user;
  if (!r->owed) return 0;
  r->owed = false;
  if (strcmp(key, HEADER_MARK) == 0) {
    section_begin(r, strcmp(section, TOKEN) == 0 ? r->section : section);
    return 1;
  }
  struct ini_entry *e = arena_alloc(r->arena, sizeof *e);
  e->key = strcmp(key, TOKEN) == 0 ? r->key : arena_text(r->arena, key, strlen(key));
  e->value = strcmp(value, TOKEN) == 0 ? r->value : arena_text(r->arena, value, strlen(value));
  e->place = place_here(r);
  e->cut = r->cut;
  *r->entries_end = e;
  r->entries_end = &e->next;
  return 1;
}

/* Adds what `text` has to the sections. */
static void text_read(struct ini *c, const char *file, const char *text, size_t len,
                      struct faults *faults) {
  struct reader r = {.conf = c, .faults = faults, .arena = c->priv->arena, .file = file};
  faults_file(faults, file);
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, len -= 3;
  r.at = text;
  r.end = text + len;
  ini_parse_stream(line_reader, &r, line_handler, &r);
  reader_settle(&r);
}

/* Reads all of `fd`; a growing file has a wrong size beforehand. */
static int file_slurp(int fd, char **ret_text, size_t *ret_len) {
  char *text = NULL;
  size_t len = 0, size = 0;
  for (;;) {
    if (len == size) {
      size = size ? 2 * size : 65536;
      if (size > 2 * (size_t)INI_FILE_MAX) break;
      char *more = realloc(text, size);
      if (!more) {
        free(text);
        return -ENOMEM;
      }
      text = more;
    }
    ssize_t n = read(fd, text + len, size - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      int rc = -errno;
      free(text);
      return rc;
    }
    if (!n) break;
    len += (size_t)n;
  }
  if (len > INI_FILE_MAX) {
    free(text);
    return -EFBIG;
  }
  *ret_text = text;
  *ret_len = len;
  return 0;
}

/* A pipe gives its text once; the start reads the files twice, each reload once more. */
static int file_open(struct source *s, const char **ret_why) {
  struct stat st;
  int fd = open(s->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return -errno;
  int rc = fstat(fd, &st) < 0 ? -errno : 0;
  if (!rc && S_ISDIR(st.st_mode)) {
    *ret_why = "it is a directory; name a file";
    rc = -EISDIR;
  } else if (!rc && !S_ISREG(st.st_mode)) {
    *ret_why = S_ISFIFO(st.st_mode) ? "it is a pipe; name a file, which each reload can read again"
                                    : "it is not a regular file";
    rc = -EINVAL;
  }
  if (rc < 0) {
    close(fd);
    return rc;
  }
  s->dev = st.st_dev;
  s->ino = st.st_ino;
  return fd;
}

/* True where the same file was read before: by way of `s` itself, which is a loop, or not. */
static bool source_repeats(struct ini *c, struct source *s, struct faults *faults) {
  for (const struct source *p = s->parent; p; p = p->parent)
    if (p->dev == s->dev && p->ino == s->ino) {
      fault_add(faults, s->place, "include: %s includes itself%s%s; leave it out", p->name,
                p == s->parent ? "" : " by way of ", p == s->parent ? "" : s->parent->name);
      return true;
    }
  for (const struct source *o = c->priv->sources; o; o = o->next)
    if (o != s && o->read && o->dev == s->dev && o->ino == s->ino) {
      fault_add(faults, s->place, "include: %s is included already (%s:%u); leave one of them out",
                s->name, o->place.file ? o->place.file : o->name, o->place.line);
      return true;
    }
  return false;
}

static void source_read(struct ini *c, struct source *s, struct faults *faults) {
  char *text = NULL;
  size_t len = 0;
  const char *why = NULL;
  int rc, fd = file_open(s, &why);

  faults_file(faults, s->name);
  if (fd < 0) {
    rc = fd;
  } else {
    if (source_repeats(c, s, faults)) {
      close(fd);
      return;
    }
    rc = file_slurp(fd, &text, &len);
    close(fd);
  }
  if (rc == -EFBIG) why = "it is larger than 16 MB, which no configuration is";
  if (!why && rc < 0) why = strerror(-rc);
  if (rc < 0 && s->parent)
    fault_add(faults, s->place, "include: %s cannot be read: %s", s->name, why);
  else if (rc < 0)
    fault_add(faults, (struct place){s->name, 0}, "cannot be read: %s", why);
  if (rc < 0) return;
  s->read = true;
  text_read(c, s->name, text, len, faults);
  explicit_bzero(text, len); /* passwords */
  free(text);
}

static void source_add(struct ini *c, const char *name, const struct source *parent,
                       struct place at) {
  struct ini_private *priv = c->priv;
  struct source *s = arena_alloc(priv->arena, sizeof *s);
  s->name = arena_text(priv->arena, name, strlen(name));
  s->parent = parent;
  s->place = at;
  *priv->sources_end = s;
  priv->sources_end = &s->next;
  priv->n_sources++;
}

/* `pattern` relative to the folder of its file. Signs of patterns in the folder's own name are
 * escaped. */
static const char *pattern_path(struct arena *a, const char *file, const char *pattern) {
  const char *slash = strrchr(file, '/');
  if (*pattern == '/' || !slash) return pattern;
  size_t len = (size_t)(slash - file) + 1, n = 0;
  char *path = arena_alloc(a, 2 * len + strlen(pattern) + 1);
  for (size_t i = 0; i < len; i++) {
    if (strchr("*?[]\\", file[i])) path[n++] = '\\';
    path[n++] = file[i];
  }
  strcpy(path + n, pattern);
  return path;
}

/* A folder that does not exist matches nothing. A folder that cannot be read is a fault. */
static int glob_error(const char *path, int error) {
  (void)path;
  return error != ENOENT && error != ENOTDIR;
}

static void include_add(struct ini *c, const struct source *parent, const struct ini_entry *e,
                        const char *pattern, struct faults *faults) {
  glob_t found = {0};
  const char *path = pattern_path(c->priv->arena, parent->name, pattern);
  int rc = glob(path, 0, glob_error, &found);
  int error = errno;
  if (rc == GLOB_NOMATCH && !strpbrk(pattern, "*?["))
    fault_add(faults, e->place, "include: there is no file %s; paths are relative to this file",
              path);
  else if (rc == GLOB_ABORTED)
    fault_add(faults, e->place, "include: the folder of %s cannot be read: %s", path,
              strerror(error));
  else if (rc == GLOB_NOSPACE)
    fault_add(faults, e->place, "include: not enough memory for %s", path);
  for (size_t i = 0; !rc && i < found.gl_pathc; i++) {
    if (c->priv->n_sources >= INI_FILES_MAX) {
      fault_add(faults, e->place, "include: more than %d files; put several sections in one file",
                INI_FILES_MAX);
      break;
    }
    source_add(c, found.gl_pathv[i], parent, e->place);
  }
  globfree(&found);
}

/* Every pattern of the comma list. */
static void include_entry(struct ini *c, const struct source *parent, const struct ini_entry *e,
                          struct faults *faults) {
  for (const char *at = e->value; *at;) {
    const char *item = at;
    size_t len = strcspn(at, ",");
    at += len + (at[len] == ',');
    trim(&item, &len);
    if (!len) continue; /* settings.c finds fault with it */
    if (parent)
      include_add(c, parent, e, arena_text(c->priv->arena, item, len), faults);
    else
      fault_add(faults, e->place, "include: only files can include others");
  }
}

static void includes_take(struct ini *c, const struct source *parent, struct ini_section *first,
                          struct faults *faults) {
  for (const struct ini_section *s = first; s; s = s->next) {
    if (strcmp(s->type, "server") != 0) continue;
    for (const struct ini_entry *e = s->entries; e; e = e->next)
      if (strcmp(e->key, "include") == 0) include_entry(c, parent, e, faults);
  }
}

static struct ini *ini_new(void) {
  struct arena *arena = arena_new();
  struct ini *c = arena_alloc(arena, sizeof *c);
  c->priv = arena_alloc(arena, sizeof *c->priv);
  c->priv->arena = arena;
  c->priv->sections_end = &c->sections;
  c->priv->sources_end = &c->priv->sources;
  return c;
}

struct ini *ini_read(const char *file, struct faults *faults) {
  struct ini *c = ini_new();
  source_add(c, file, NULL, (struct place){0});
  for (struct source *s = c->priv->sources; s; s = s->next) {
    struct ini_section **first = c->priv->sections_end;
    source_read(c, s, faults);
    includes_take(c, s, *first, faults); /* appends: read after all that was named before */
  }
  const char **files = arena_alloc(c->priv->arena, (c->priv->n_sources + 1) * sizeof *files);
  for (const struct source *s = c->priv->sources; s; s = s->next)
    if (s->read) files[c->n_files++] = s->name;
  c->files = files;
  return c;
}

struct ini *ini_parse_text(const char *name, const void *text, size_t len, struct faults *faults) {
  struct ini *c = ini_new();
  const char **files = arena_alloc(c->priv->arena, sizeof *files);
  files[c->n_files++] = arena_text(c->priv->arena, name, strlen(name));
  c->files = files;
  text_read(c, files[0], text, len, faults);
  includes_take(c, NULL, c->sections, faults);
  return c;
}

void ini_add_text(struct ini *c, const char *name, const void *text, size_t len,
                  struct faults *faults) {
  struct ini_section **first = c->priv->sections_end;
  const char **files = arena_alloc(c->priv->arena, (c->n_files + 1) * sizeof *files);
  for (size_t i = 0; i < c->n_files; i++) files[i] = c->files[i];
  files[c->n_files++] = arena_text(c->priv->arena, name, strlen(name));
  c->files = files;
  text_read(c, files[c->n_files - 1], text, len, faults);
  includes_take(c, NULL, *first, faults);
}

void ini_free(struct ini *c) {
  if (c) arena_free(c->priv->arena);
}
