/* Owns loading. The only libltdl user: dlopen() could replace it in an hour.
 *
 * libltdl masks the reason of a failed load ("file not found" for an undefined symbol) and binds
 * functions lazily, so dlopen() is asked before it.
 */
#include "transport/plugin_loader.h"

#include "base/log.h"
#include "base/out_of_memory.h"
#include "transport/plugin_descriptor.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <link.h>
#include <ltdl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX        ".so"
#define RUN_TYPES_MAX 16 /* of one plugin */

struct plugins {
  struct plugin **all;
  struct plugin_info *infos;
  const struct pb_transport **transports;
  size_t n;
  struct settings_types types;
  char refused[512]; /* files, "later.so, minor.so" */
  bool ltdl;
};

/* Others could put a library there that we would run. */
static bool writable_by_others(const struct stat *st) {
  return st->st_mode & S_IWOTH;
}

/* "fastcgi.so" -> "fastcgi_LTX_pb_transport"; libltdl turns odd characters into '_'. */
static void symbol_name(const char *file, char *ret, size_t size) {
  const char *base = plugin_base_name(file);
  size_t len = strlen(base) - strlen(SUFFIX), i = 0;
  for (; i < len && i < size - 1; i++)
    ret[i] = (base[i] >= '0' && base[i] <= '9') || (base[i] >= 'a' && base[i] <= 'z') ||
                     (base[i] >= 'A' && base[i] <= 'Z')
                 ? base[i]
                 : '_';
  snprintf(ret + i, size - i, "_LTX_pb_transport");
}

/* Does the file contain all bytes that dlopen() would map? A copy that was cut off lacks some.
 * dlopen() would map the missing bytes too, and the process would die when it reads them (SIGBUS).
 * A file of another format is left to dlopen() to report. */
static bool file_whole(const char *file, const struct stat *st) {
  ElfW(Ehdr) head;
  ElfW(Phdr) part;
  uint64_t size = (uint64_t)st->st_size;
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  bool whole = true;
  if (fd < 0) return true;
  if (pread(fd, &head, sizeof head, 0) == sizeof head && !memcmp(head.e_ident, ELFMAG, SELFMAG) &&
      head.e_phentsize == sizeof part)
    for (unsigned i = 0; whole && i < head.e_phnum; i++) {
      off_t at = (off_t)(head.e_phoff + i * sizeof part);
      whole = pread(fd, &part, sizeof part, at) == sizeof part &&
              (part.p_type != PT_LOAD ||
               (part.p_offset <= size && part.p_filesz <= size - part.p_offset));
    }
  close(fd);
  return whole;
}

/* Opens p->file. NULL: refused, p->why says why. */
static const struct pb_transport *descriptor_load(struct plugin *p) {
  char symbol[256];
  struct stat st;
  size_t len = strlen(p->file);
  if (len <= strlen(SUFFIX) || strcmp(p->file + len - strlen(SUFFIX), SUFFIX) != 0) {
    snprintf(p->why, sizeof p->why, "%s: the file of a transport ends with " SUFFIX, p->file);
    return NULL;
  }
  if (stat(p->file, &st)) {
    snprintf(p->why, sizeof p->why, "%s: %s", p->file, strerror(errno));
    return NULL;
  }
  if (!S_ISREG(st.st_mode)) { /* a pipe, say, would be waited for */
    snprintf(p->why, sizeof p->why, "%s: cannot be loaded: it is not a regular file", p->file);
    return NULL;
  }
  if (writable_by_others(&st)) {
    snprintf(p->why, sizeof p->why,
             "%s: everybody can write to this file, so it is not loaded; chmod o-w it", p->file);
    return NULL;
  }
  if (!file_whole(p->file, &st)) {
    snprintf(p->why, sizeof p->why,
             "%s: cannot be loaded: the file is cut off after %lld bytes; was a copy interrupted? "
             "Install it again",
             p->file, (long long)st.st_size);
    return NULL;
  }
  /* libltdl binds a function when it is first called: a missing one would end the broker in the
   * middle of its work. So all functions are bound here, before libltdl opens the plugin. */
  lt_dladvise advise;
  lt_dlhandle handle = NULL;
  void *now = dlopen(p->file, RTLD_NOW | RTLD_LOCAL);
  const char *reason = now ? NULL : dlerror();
  if (now && !lt_dladvise_init(&advise)) {
    lt_dladvise_resident(&advise); /* libraries with threads or exit handlers stay mapped */
    lt_dladvise_local(&advise);
    handle = lt_dlopenadvise(p->file, advise);
    lt_dladvise_destroy(&advise);
  }
  if (!handle) {
    size_t named = reason && !strncmp(reason, p->file, len) && reason[len] == ':' ? len + 1 : 0;
    if (now) reason = lt_dlerror();
    if (named) reason += named + strspn(reason + named, " "); /* it stands before it already */
    snprintf(p->why, sizeof p->why, "%s: cannot be loaded: %.400s", p->file,
             reason ? reason : "unknown reason");
    if (now) dlclose(now);
    return NULL;
  }
  dlclose(now); /* libltdl holds it */
  symbol_name(p->file, symbol, sizeof symbol);
  const struct pb_transport *(*get)(void);
  void *found = lt_dlsym(handle, symbol);
  if (!found) {
    snprintf(p->why, sizeof p->why,
             "%s: is not a Pepperbus transport: it exports no %s(); use PB_TRANSPORT()", p->file,
             symbol);
    return NULL;
  }
  memcpy(&get, &found, sizeof get); /* an object pointer is no function pointer in ISO C */
  const struct pb_transport *d = get();
  if (!d)
    snprintf(p->why, sizeof p->why, "%s: is not a Pepperbus transport (no descriptor)", p->file);
  return d;
}

static struct plugin *plugin_new(struct plugins *ps, const char *file) {
  struct plugin *p = calloc(1, sizeof *p);
  struct plugin **all = realloc(ps->all, (ps->n + 1) * sizeof *all);
  if (all) ps->all = all;
  if (!p || !all) out_of_memory(); /* at start only */
  ps->all[ps->n++] = p;
  snprintf(p->file, sizeof p->file, "%s", file);
  p->info = (struct plugin_info){.file = p->file,
                                 .name = p->name,
                                 .version = p->version,
                                 .summary = p->summary,
                                 .run_type = p->run_type,
                                 .why = p->why};
  return p;
}

/* `p` is the last of `ps`. Does no other plugin serve its run type yet? */
static void plugin_settle(struct plugins *ps, struct plugin *p, struct log *log) {
  for (size_t i = 0; p->info.transport && i + 1 < ps->n; i++) {
    const struct plugin *other = ps->all[i];
    if (!other->info.transport || strcmp(other->run_type, p->run_type)) continue;
    if (!strcmp(other->file, p->file))
      snprintf(p->why, sizeof p->why,
               "%s: transport \"%s\" serves run type \"%s\", which \"%s\" of the same file serves "
               "already; each descriptor of a plugin (`next`) has a run type of its own",
               p->file, p->name, p->run_type, other->name);
    else
      snprintf(
          p->why, sizeof p->why,
          "%s: transport \"%s\" serves run type \"%s\", which \"%s\" (%s) serves already; remove "
          "one of the two files",
          p->file, p->name, p->run_type, other->name, other->file);
    p->info.transport = NULL;
  }
  size_t len = strlen(ps->refused);
  if (!p->info.transport)
    snprintf(ps->refused + len, sizeof ps->refused - len, "%s%s", len ? ", " : "",
             plugin_base_name(p->file));
  if (!log) return;
  if (p->info.transport)
    log_debug(log, NULL, "transport %s %s (%s) serves run type %s", p->name, p->version, p->file,
              p->run_type);
  else
    log_error(log, plugin_base_name(p->file), "%s; going on without it",
              p->why); /* none is held back */
}

/* One plugin of the list for each run type of the file. */
static void plugin_add(struct plugins *ps, const char *file, struct log *log) {
  struct plugin *p = plugin_new(ps, file);
  const struct pb_transport *d = descriptor_load(p);
  if (!d) plugin_settle(ps, p, log);
  for (size_t n = 0; d; n++) {
    if (n) p = plugin_new(ps, file);
    if (n < RUN_TYPES_MAX)
      plugin_descriptor_take(p, d);
    else
      snprintf(p->why, sizeof p->why,
               "%s: has more than %d run types; is the last descriptor's `next` NULL?", p->file,
               RUN_TYPES_MAX);
    plugin_settle(ps, p, log);
    d = p->desc.next; /* NULL in a plugin that was refused before the copy */
  }
}

static struct plugins *plugins_new(void) {
  struct plugins *ps = calloc(1, sizeof *ps);
  if (!ps) out_of_memory();
  ps->ltdl = !lt_dlinit();
  return ps;
}

/* Nothing is added any more. */
static void plugins_seal(struct plugins *ps) {
  ps->infos = calloc(ps->n + 1, sizeof *ps->infos);
  ps->transports = calloc(ps->n + 1, sizeof *ps->transports);
  if (!ps->infos || !ps->transports) out_of_memory();
  for (size_t i = 0; i < ps->n; i++) {
    ps->infos[i] = ps->all[i]->info;
    if (ps->all[i]->info.transport) ps->transports[ps->types.n++] = ps->all[i]->info.transport;
  }
  ps->types.transports = ps->transports;
  ps->types.refused = ps->refused;
}

struct plugins *plugins_load_file(const char *file, struct log *log) {
  struct plugins *ps = plugins_new();
  plugin_add(ps, file, log);
  plugins_seal(ps);
  return ps;
}

struct plugins *plugins_load(const char *dir, struct log *log) {
  struct plugins *ps = plugins_new();
  struct stat st;
  if (!ps->ltdl) {
    log_error(log, NULL, "libltdl does not start: %s; no transport can be loaded", lt_dlerror());
  } else if (stat(dir, &st)) {
    log_error(log, NULL, "plugin_dir %s: %s; no transport can be loaded", dir,
              errno == ENOENT ? "there is no such directory; `make install` makes the default one, "
                                "[server] plugin_dir names another (of a build: plugins/.libs)"
                              : strerror(errno));
  } else if (!S_ISDIR(st.st_mode)) {
    log_error(log, NULL, "plugin_dir %s: %s; no transport can be loaded", dir, strerror(ENOTDIR));
  } else if (writable_by_others(&st)) {
    log_error(log, NULL,
              "plugin_dir %s: everybody can write to it, so nothing in it is loaded; chmod o-w it",
              dir);
  } else {
    char pattern[512];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/*" SUFFIX, dir);
    if (!glob(pattern, 0, NULL, &found)) {
      for (size_t i = 0; i < found.gl_pathc; i++) plugin_add(ps, found.gl_pathv[i], log);
      globfree(&found);
    }
    if (!ps->n) log_error(log, NULL, "plugin_dir %s: no transport (*" SUFFIX ") in it", dir);
  }
  plugins_seal(ps);
  return ps;
}

void plugins_free(struct plugins *ps) {
  if (!ps) return;
  for (size_t i = 0; i < ps->n; i++) free(ps->all[i]);
  free(ps->all);
  free(ps->infos);
  free(ps->transports);
  free(ps);
}

const struct settings_types *plugins_types(const struct plugins *ps) {
  return &ps->types;
}

const struct plugin_info *plugins_list(const struct plugins *ps, size_t *ret_n) {
  *ret_n = ps->n;
  return ps->infos;
}
