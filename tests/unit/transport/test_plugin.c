/* Loading of plugins: those that cannot be used are refused with a sentence that names the file,
 * what was wanted and what was found, and the others go on. Small plugins are compiled here. */
#include "base/log.h"
#include "transport/plugin_loader.h"

#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define PATH_SIZE 400

static char top[200], dir[250], log_path[250], include[PATH_SIZE];

/* --- making plugins --- */

static int run(char *const argv[]) {
  posix_spawn_file_actions_t fa;
  pid_t pid;
  int status = -1;
  posix_spawn_file_actions_init(&fa);
  posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
  int rc = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&fa);
  if (rc) return -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  if (!f || fputs(text, f) < 0 || fclose(f)) bail_out("%s: %s", path, strerror(errno));
}

/* Compiles `source` as dir/<name>.so. */
static int build(const char *name, const char *source) {
  char c[PATH_SIZE], so[PATH_SIZE];
  snprintf(c, sizeof c, "%s/%s.c", top, name);
  snprintf(so, sizeof so, "%s/%s.so", dir, name);
  put(c, source);
  char *cc = getenv("TEST_CC");
  char *argv[] = {cc && *cc ? cc : "cc", "-shared", "-fPIC", include, "-o", so, c, NULL};
  int rc = run(argv);
  if (!rc) chmod(so, 0644);
  return rc;
}

/* The first bytes of good.so, as of a copy that was broken off. */
static void cut(const char *name, off_t size) {
  char from[PATH_SIZE], to[PATH_SIZE];
  snprintf(from, sizeof from, "%s/good.so", dir);
  snprintf(to, sizeof to, "%s/%s.so", dir, name);
  char *argv[] = {"cp", from, to, NULL};
  if (run(argv) || truncate(to, size)) bail_out("cut %s: %s", to, strerror(errno));
}

static const char functions[] =
    "#include <pepperbus/transport.h>\n"
    "static int create(void *p, struct pb_owner *o, const struct pb_topic_info *t, const void *c,\n"
    "                  void **i, struct pb_err *e) { *i = p; return 0; }\n"
    "static int submit(void *i, const struct pb_batch *b, pb_ticket t, struct pb_err *e) {\n"
    "  return -1; }\n"
    "static void cancel(void *i, pb_ticket t) {}\n"
    "static void drain(void *i) {}\n"
    "static void destroy(void *i) {}\n";

/* A whole plugin: `members` come after those that every one has, and override them. */
static int transport(const char *module, const char *run_type, const char *members) {
  char *source = NULL;
  if (asprintf(&source,
               "%s#pragma GCC diagnostic ignored \"-Woverride-init\"\n"
               "static const struct pb_transport desc = {\n"
               "  .magic = PB_MAGIC, .size = sizeof(struct pb_transport),\n"
               "  .abi_major = PB_ABI_MAJOR, .abi_minor = PB_ABI_MINOR,\n"
               "  .option_size = sizeof(struct pb_option), .run_type = \"%s\", .name = \"%s\",\n"
               "  .version = \"1.2\", .summary = \"a test\", .create = create, .submit = submit,\n"
               "  .cancel = cancel, .drain = drain, .destroy = destroy, %s};\n"
               "PB_TRANSPORT(%s, desc)\n",
               functions, run_type, module, members, module) < 0)
    bail_out("no memory");
  int rc = build(module, source);
  free(source);
  if (rc) fail("%s.c compiles", module);
  return rc;
}

/* --- loading --- */

static struct plugins *ps;
static struct log *logger;
static char logged[16384];

static void load(const char *where) {
  int fd = open(log_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) bail_out("%s: %s", log_path, strerror(errno));
  plugins_free(ps);
  log_free(logger);
  logger = log_new(fd);
  ps = plugins_load(where, logger);
  ssize_t n = pread(fd, logged, sizeof logged - 1, 0);
  logged[n > 0 ? n : 0] = 0;
  log_free(logger);
  logger = NULL;
  close(fd);
}

static const struct plugin_info *find(const char *module) {
  size_t n;
  const struct plugin_info *list = plugins_list(ps, &n);
  for (size_t i = 0; i < n; i++) {
    const char *base = strrchr(list[i].file, '/');
    size_t len = strlen(module);
    if (base && !strncmp(base + 1, module, len) && !strcmp(base + 1 + len, ".so")) return &list[i];
  }
  return NULL;
}

static bool usable(const char *run_type) {
  const struct settings_types *types = plugins_types(ps);
  for (size_t i = 0; i < types->n; i++)
    if (!strcmp(types->transports[i]->run_type, run_type)) return true;
  return false;
}

/* It was refused, with `first` and `second` in the sentence, which names the file and is logged. */
static void refused(const char *module, const char *first, const char *second) {
  char file[PATH_SIZE];
  const struct plugin_info *p = find(module);
  snprintf(file, sizeof file, "%s/%s.so", dir, module);
  ok(p && !p->transport, "%s is refused", module);
  if (!p) return;
  like(p->why, file, "%s: the sentence names the file", module);
  like(p->why, first, "%s: what it wants or lacks", module);
  like(p->why, second, "%s: what is to be done, or what there is", module);
  ok(strstr(logged, first), "%s: it is logged", module);
}

static void make_all(void) {
  transport("good", "one", "");
  transport("zgood", "two", "");
  transport("major", "m1", ".abi_major = 7, .abi_minor = 3");
  transport("major0", "m0", ".abi_major = 0");
  transport("minor", "m2", ".abi_minor = PB_ABI_MINOR + 5");
  transport("twin", "one", "");
  transport("magic", "m3", ".magic = 1");
  transport("norun", "m4", ".run_type = 0");
  transport("noname", "m5", ".name = \"\"");
  transport("nocreate", "m6", ".create = 0");
  transport("nosubmit", "m7", ".submit = 0");
  transport("nocancel", "m8", ".cancel = 0");
  transport("nodrain", "m9", ".drain = 0");
  transport("nodestroy", "m10", ".destroy = 0");
  transport("nooption", "m11", ".option_size = 0");
  transport("open", "m12", "");
  transport("badkeys", "m15",
            ".topic_options = (const struct pb_option[]){{.name = \"speed\", .type = PB_OPT_INT,\n"
            "  .offset = 12}, {0}}, .topic_conf_size = 8");
  transport("badmetric", "m16",
            ".metrics = (const struct pb_metric[]){{\"Jobs per hour\", 1, 1, \"\"}, {0}},\n"
            "  .metric_size = sizeof(struct pb_metric)");
  transport("oldmetric", "m17",
            ".metrics = (const struct pb_metric[]){{\"jobs_total\", 1, 1, \"\"}, {0}}");
  /* Built against headers that ended after run_type and name. */
  transport("shorter", "m13", ".size = offsetof(struct pb_transport, create)");
  /* ... and against later ones, with members that this broker does not know. */
  char *later = NULL;
  if (asprintf(
          &later,
          "%sstatic const struct { struct pb_transport t; void *more[4]; } desc = {{\n"
          "  PB_MAGIC, sizeof desc, PB_ABI_MAJOR, PB_ABI_MINOR, sizeof(struct pb_option) + 16,\n"
          "  \"later\", \"later\", \"9\", \"\", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, create, submit,\n"
          "  cancel, drain, destroy}, {(void *)1, (void *)2}};\n"
          "PB_TRANSPORT(later, desc.t)\n",
          functions) < 0)
    bail_out("no memory");
  is_int(build("later", later), 0, "later.c compiles");
  free(later);
  build("empty", "int nothing(void); int nothing(void) { return 0; }\n");
  build("null", "const void *null_LTX_pb_transport(void); "
                "const void *null_LTX_pb_transport(void) { return 0; }\n");
  transport("wrongname", "m14", "");
  char from[PATH_SIZE], to[PATH_SIZE];
  snprintf(from, sizeof from, "%s/wrongname.so", dir);
  snprintf(to, sizeof to, "%s/renamed.so", dir);
  if (rename(from, to)) bail_out("rename: %s", strerror(errno));
  /* A function of a library that it forgot to link with, and a variable. */
  char *undefined = NULL;
  if (asprintf(&undefined,
               "%svoid no_such_function(void);\n"
               "static void unload(void *p) { no_such_function(); }\n"
               "static const struct pb_transport desc = {.magic = PB_MAGIC, .size = sizeof desc,\n"
               "  .abi_major = PB_ABI_MAJOR, .option_size = sizeof(struct pb_option),\n"
               "  .run_type = \"u\", .name = \"u\", .create = create, .submit = submit,\n"
               "  .cancel = cancel, .drain = drain, .destroy = destroy, .unload = unload};\n"
               "PB_TRANSPORT(undeffn, desc)\n",
               functions) < 0)
    bail_out("no memory");
  build("undeffn", undefined);
  free(undefined);
  build("undefvar", "extern int no_such_variable; int *at(void); "
                    "int *at(void) { return &no_such_variable; }\n");
  snprintf(to, sizeof to, "%s/text.so", dir);
  put(to, "this is no library\n");
  snprintf(to, sizeof to, "%s/nothing.so", dir);
  put(to, "");
  snprintf(to, sizeof to, "%s/note.txt", dir);
  put(to, "not looked at\n");
  snprintf(to, sizeof to, "%s/dangling.so", dir);
  if (symlink("/nonexistent/library", to)) bail_out("symlink: %s", strerror(errno));
  snprintf(to, sizeof to, "%s/folder.so", dir);
  mkdir(to, 0755);
  cut("cut", 4096); /* within what is mapped of it */
  cut("cuthead", 100);
  snprintf(to, sizeof to, "%s/open.so", dir);
  chmod(to, 0666);
}

static void test_good(void) {
  const struct plugin_info *p = find("good");
  ok(p && p->transport, "a sound plugin is loaded");
  if (!p || !p->transport) return;
  is_str(p->name, "good", "its name");
  is_str(p->version, "1.2", "its version");
  is_str(p->summary, "a test", "its summary");
  is_str(p->run_type, "one", "its run type");
  is_str(p->why, "", "nothing is wrong with it");
  is_int(p->abi_major, PB_ABI_MAJOR, "its interface");
  ok(p->transport->create && p->transport->destroy, "its functions");
  p = find("zgood");
  ok(p && p->transport, "one behind all those that are refused too");
  p = find("later");
  ok(p && p->transport, "one with members that this broker does not know is loaded");
  if (p && p->transport) {
    is_int(p->transport->option_size, sizeof(struct pb_option) + 16, "its options' size is kept");
    is_str(p->version, "9", "its version");
  }
  ok(usable("one") && usable("two") && usable("later"), "their run types are offered");
  is_int(plugins_types(ps)->n, 3, "and no others");
}

static void test_refused(void) {
  char have[64], want[64];
  snprintf(have, sizeof have, "this broker has %d.%d", PB_ABI_MAJOR, PB_ABI_MINOR);
  refused("major", "wants plugin ABI 7.3", have);
  like(find("major")->why, "newer broker", "a later interface: another broker is needed");
  snprintf(want, sizeof want, "wants plugin ABI 0.%d", PB_ABI_MINOR);
  refused("major0", want, have);
  like(find("major0")->why, "build the plugin again", "an earlier one: another plugin is needed");
  snprintf(want, sizeof want, "wants plugin ABI %d.%d", PB_ABI_MAJOR, PB_ABI_MINOR + 5);
  refused("minor", want, have);
  refused("twin", "serves run type \"one\"", "\"good\"");
  like(find("twin")->why, "good.so", "the other file is named");
  refused("magic", "is not a Pepperbus transport", "no descriptor");
  refused("null", "is not a Pepperbus transport", "no descriptor");
  refused("empty", "empty_LTX_pb_transport()", "PB_TRANSPORT()");
  refused("renamed", "renamed_LTX_pb_transport()", "PB_TRANSPORT()");
  refused("norun", "has no run_type", "norun");
  refused("noname", "has no name", "noname.so");
  refused("nocreate", "has no create()", "nocreate");
  refused("nosubmit", "has no submit()", "nosubmit");
  refused("nocancel", "has no cancel()", "nocancel");
  refused("nodrain", "has no drain()", "nodrain");
  refused("nodestroy", "has no destroy()", "nodestroy");
  refused("nooption", "has no option_size", "nooption");
  refused("badkeys", "a table of keys for [topic] that cannot be used", "speed: offset 12");
  refused("badmetric", "has a metric \"Jobs per hour\"", "lower-case letters");
  refused("oldmetric", "metric_size 0", "sizeof(struct pb_metric), 24");
  refused("shorter", "has no create()", "shorter");
  refused("undeffn", "cannot be loaded", "no_such_function");
  refused("undefvar", "cannot be loaded", "no_such_variable");
  refused("text", "cannot be loaded", "text.so");
  refused("nothing", "cannot be loaded", "nothing.so");
  refused("folder", "cannot be loaded", "folder.so");
  refused("cut", "the file is cut off after 4096 bytes", "Install it again");
  refused("cuthead", "the file is cut off after 100 bytes", "cuthead.so");
  refused("open", "everybody can write", "chmod o-w");
  const struct plugin_info *p = find("dangling");
  if (p) like(p->why, strerror(ENOENT), "a link to nowhere is refused");
  ok(!find("note"), "other files are not looked at");
  for (int i = 0; i < 18; i++) {
    char type[16];
    snprintf(type, sizeof type, "m%d", i);
    if (usable(type)) fail("run type %s of a refused plugin is offered", type);
  }
  unsigned lines = 0;
  for (const char *at = logged; (at = strstr(at, "going on without it")); at++) lines++;
  size_t n;
  plugins_list(ps, &n);
  is_int(lines, n - 3, "one line for each that is refused");
}

/* Several run types: the descriptors hang on one another. */
static void test_chain(void) {
  char *source = NULL, path[PATH_SIZE];
  snprintf(path, sizeof path, "%s/chain", top);
  mkdir(path, 0755);
  if (asprintf(
          &source,
          "%s#define DESC(rt, nx) {.magic = PB_MAGIC, .size = sizeof(struct pb_transport),\\\n"
          "  .abi_major = PB_ABI_MAJOR, .abi_minor = PB_ABI_MINOR,\\\n"
          "  .option_size = sizeof(struct pb_option), .run_type = rt, .name = rt \"-name\",\\\n"
          "  .create = create, .submit = submit, .cancel = cancel, .drain = drain,\\\n"
          "  .destroy = destroy, .next = nx}\n"
          "static const struct pb_transport d = DESC(\"a\", 0);\n"
          "static const struct pb_transport c = DESC(\"Odd Type\", &d);\n"
          "static const struct pb_transport b = DESC(\"b\", &c);\n"
          "static const struct pb_transport a = DESC(\"a\", &b);\n"
          "PB_TRANSPORT(chain, a)\n",
          functions) < 0)
    bail_out("no memory");
  char from[PATH_SIZE], to[PATH_SIZE + 16];
  is_int(build("chain", source), 0, "chain.c compiles");
  free(source);
  snprintf(from, sizeof from, "%s/chain.so", dir);
  snprintf(to, sizeof to, "%s/chain.so", path);
  if (rename(from, to)) bail_out("rename: %s", strerror(errno));
  load(path);
  size_t n;
  const struct plugin_info *list = plugins_list(ps, &n);
  is_int(n, 4, "one of the list for each descriptor");
  if (n == 4) {
    ok(list[0].transport && list[1].transport, "two run types of one file are loaded");
    is_str(list[1].run_type, "b", "the second");
    ok(!list[2].transport && !list[3].transport, "the others are refused");
    like(list[2].why, "run_type \"Odd Type\"; a run type is of lower-case letters",
         "a name that could not stand in a file");
    like(list[3].why, "serves run type \"a\", which \"a-name\" of the same file serves already",
         "a run type that the file has twice");
  }
  is_str(plugins_types(ps)->refused, "chain.so, chain.so", "for whoever misses their run types");

  /* A list that is a circle ends. */
  if (asprintf(
          &source,
          "%sstatic const struct pb_transport desc = {.magic = PB_MAGIC, .size = sizeof desc,\n"
          "  .abi_major = PB_ABI_MAJOR, .abi_minor = PB_ABI_MINOR,\n"
          "  .option_size = sizeof(struct pb_option), .run_type = \"a\", .name = \"a\",\n"
          "  .create = create, .submit = submit, .cancel = cancel, .drain = drain,\n"
          "  .destroy = destroy, .next = &desc};\n"
          "PB_TRANSPORT(circle, desc)\n",
          functions) < 0)
    bail_out("no memory");
  is_int(build("circle", source), 0, "circle.c compiles");
  free(source);
  snprintf(from, sizeof from, "%s/circle.so", dir);
  if (unlink(to)) bail_out("unlink: %s", strerror(errno));
  snprintf(to, sizeof to, "%s/circle.so", path);
  if (rename(from, to)) bail_out("rename: %s", strerror(errno));
  load(path);
  list = plugins_list(ps, &n);
  is_int(plugins_types(ps)->n, 1, "its run type is there once");
  ok(n > 1 && n < 20, "and the list is short");
  like(list[n - 1].why, "run types; is the last descriptor's `next` NULL?", "the last says why");

  struct plugins *one = plugins_load_file(to, NULL);
  is_int(plugins_types(one)->n, 1, "one file alone, without a log");
  plugins_free(one);
  one = plugins_load_file("/etc/hostname", NULL);
  list = plugins_list(one, &n);
  like(n ? list->why : "", "/etc/hostname: the file of a transport ends with .so", "not any file");
  plugins_free(one);
}

static void test_dirs(void) {
  char path[PATH_SIZE];
  size_t n;
  load("/nonexistent/plugins");
  plugins_list(ps, &n);
  ok(n == 0 && plugins_types(ps)->n == 0, "no folder, no plugins");
  like(logged, "plugin_dir /nonexistent/plugins: there is no such directory", "and a sentence");

  snprintf(path, sizeof path, "%s/empty", top);
  mkdir(path, 0755);
  load(path);
  like(logged, "no transport (*.so) in it", "an empty folder is told");

  snprintf(path, sizeof path, "%s/file", top);
  put(path, "");
  errno = 0;
  load(path);
  like(logged, strerror(ENOTDIR), "a file in the folder's place is told as that");

  chmod(dir, 0777);
  load(dir);
  plugins_list(ps, &n);
  is_int(n, 0, "nothing is loaded from a folder that everybody can write to");
  like(logged, "chmod o-w", "the sentence says what to do");
  chmod(dir, 0755);
}

static void remove_all(void) {
  char *argv[] = {"rm", "-rf", top, NULL};
  if (*top) run(argv);
}

int main(void) {
  char probe[] = "cc", *cc = getenv("TEST_CC");
  char *argv[] = {cc && *cc ? cc : probe, "--version", NULL};
  if (run(argv)) skip_all("no C compiler (%s) to make plugins with", argv[0]);
  const char *src = getenv("srcdir"), *tmp = getenv("TMPDIR");
  snprintf(include, sizeof include, "-I%s/include", src && *src ? src : ".");
  if (access(include + 2, R_OK)) skip_all("the headers (%s) are not there", include + 2);
  snprintf(top, sizeof top, "%.150s/pb-plugin-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (!mkdtemp(top)) bail_out("%s: %s", top, strerror(errno));
  atexit(remove_all);
  snprintf(dir, sizeof dir, "%s/plugins", top);
  snprintf(log_path, sizeof log_path, "%s/log", top);
  umask(022);
  mkdir(dir, 0755);

  make_all();
  load(dir);
  test_good();
  test_refused();
  load(dir);
  is_int(plugins_types(ps)->n, 3, "loaded again, the same are usable");
  test_chain();
  test_dirs();
  plugins_free(ps);
  plugins_free(NULL);
  return done_testing();
}
