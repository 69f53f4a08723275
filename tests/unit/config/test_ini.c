/* core/config/ini.c: what inih would cut, merge or swallow must arrive whole, with its line. */
#include "tap.h"
#include "config/ini.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char faults_seen[200000];

/* What was read, as text: "[type name]@line key=value@line ...". */
static const char *render(const struct ini *c) {
  static char text[400000];
  size_t n = 0;
  text[0] = 0;
  for (const struct ini_section *s = c->sections; s; s = s->next) {
    n += (size_t)snprintf(text + n, sizeof text - n, "%s[%s%s%s]@%u", n ? " " : "", s->type,
                          *s->name ? " " : "", s->name, s->place.line);
    for (const struct ini_entry *e = s->entries; e; e = e->next)
      n +=
          (size_t)snprintf(text + n, sizeof text - n, " %s=%s@%u", e->key, e->value, e->place.line);
  }
  return text;
}

static void faults_keep(struct faults *f) {
  FILE *out = fmemopen(faults_seen, sizeof faults_seen, "w");
  memset(faults_seen, 0, sizeof faults_seen);
  faults_write(f, out);
  fclose(out);
  faults_free(f);
}

static const char *parse_bytes(const void *text, size_t len) {
  struct faults *f = faults_new();
  struct ini *c = ini_parse_text("t.ini", text, len, f);
  const char *got = render(c);
  ini_free(c);
  faults_keep(f);
  return got;
}

static const char *parse(const char *text) {
  return parse_bytes(text, strlen(text));
}

static const char *read_path(const char *path, size_t *ret_files) {
  struct faults *f = faults_new();
  struct ini *c = ini_read(path, f);
  const char *got = render(c);
  if (ret_files) *ret_files = c->n_files;
  ini_free(c);
  faults_keep(f);
  return got;
}

static void good(const char *text, const char *want, const char *name) {
  is_str(parse(text), want, "%s", name);
  is_str(faults_seen, "", "%s: no fault", name);
}

static void bad(const char *text, const char *fault, const char *name) {
  parse(text);
  like(faults_seen, fault, "%s", name);
}

static void test_forms(void) {
  good("", "", "nothing");
  good("\n\n; c\n# c\n \t\n", "", "comments and blank lines");
  good("[a b]\nk = v\n", "[a b]@1 k=v@2", "a key");
  good("[a b]\nk=v", "[a b]@1 k=v@2", "no newline at the end");
  good("[a b]\r\nk = v\r\n", "[a b]@1 k=v@2", "CRLF");
  good("\xef\xbb\xbf[a]\nk=v\n", "[a]@1 k=v@2", "byte order mark");
  good("[a]\n\n  k = v\n\tl = w\n", "[a]@1 k=v@3 l=w@4", "indented keys are no continuations");
  good("[a]\n[b]\n[c x]", "[a]@1 [b]@2 [c x]@3", "sections without keys");
  good("[a]\nk=1\n[a]\nk=2\n[b]\n[a]", "[a]@1 k=1@2 [a]@3 k=2@4 [b]@5 [a]@6",
       "repeated sections stay apart");
  good("[a]\nk=1\nk=2", "[a]@1 k=1@2 k=2@3", "repeated keys arrive");
  good("  [ a   b ]  ; c\nk=1", "[a b]@1 k=1@2", "blanks in a header, comment behind it");
  good("[a x;y]\nk=1", "[a x;y]@1 k=1@2", "a ';' in a header");
  good("[a x ;y]\nk=1", "[a x ;y]@1 k=1@2", "a ' ;' in a header, which inih takes for a comment");
  good("[a]\nk = a=b:c = d\n", "[a]@1 k=a=b:c = d@2", "signs in a value");
  good("[a]\nk =\nl = \n", "[a]@1 k=@2 l=@3", "empty values");
  good("[a]\nk = v \xc3\xa4\n", "[a]@1 k=v \xc3\xa4@2", "UTF-8");
}

static void test_comments(void) {
  good("[a]\nk = v ; c\n", "[a]@1 k=v@2", "comment by ;");
  good("[a]\nk = v # c\n", "[a]@1 k=v@2", "comment by #");
  good("[a]\nk = v\t#c\n", "[a]@1 k=v@2", "comment after a tab");
  good("[a]\nk = a;b#c\n", "[a]@1 k=a;b#c@2", "no blank, no comment");
  good("[a]\nk = ; c\nl =;x\n", "[a]@1 k=@2 l=;x@3", "comment for a value");
  good("[a]\nk = a ;b ; c\n", "[a]@1 k=a@2", "the first comment counts");
  good("[a]\nk = \"a ; b # c\"\n", "[a]@1 k=a ; b # c@2", "quoted");
  good("[a]\nk = \"a\" ; c\n", "[a]@1 k=a@2", "comment after quotes");
  good("[a]\nk = \" a \"\n", "[a]@1 k= a @2", "blanks in quotes");
  good("[a]\nk = \"\"\n", "[a]@1 k=@2", "empty quotes");
  good("[a]\nk = \"a\\\"b\\\\c\\d\"\n", "[a]@1 k=a\"b\\c\\d@2", "escapes in quotes");
  good("[a]\nk = a\"b\n", "[a]@1 k=a\"b@2", "a quote within");
}

static void test_faults(void) {
  bad("k = v\n", "t.ini:1: k stands before the first section", "a key without a section");
  bad("[a\nk=v\n", "t.ini:1: a section without its ']'", "header without end");
  unlike(faults_seen, "t.ini:2", "the keys behind it are no faults of their own");
  bad("[]\n", "t.ini:1: a section without a name", "empty header");
  bad("[a] x\n", "t.ini:1: text behind the ']'", "text behind a header");
  bad("[a]\njunk\n", "t.ini:2: 'junk' is neither a section nor a key", "junk");
  bad("[a]\npassword hush\n", "t.ini:2: 'password ...' is neither", "a forgotten '='");
  unlike(faults_seen, "hush", "what follows is not told");
  bad("[a]\n= v\n", "t.ini:2: a value without a key", "no key");
  bad("[a]\nk x = v\n", "t.ini:2: 'k ...' is no key", "blank in a key");
  bad("[a]\ntimeout: 60s\n", "t.ini:2: 'timeout: ...' has a ':'", "':' for '='");
  bad("[a]\nk = \"v\n", "t.ini:2: k: the closing '\"' is missing", "open quote");
  bad("[a]\nk = \"v\" w\n", "t.ini:2: k: text behind the closing", "text after quotes");
  bad("[a]\nk = \xff\n", "t.ini:2: column 5 is not UTF-8", "Latin-1");
  bad("[a]\nk = \xed\xa0\x80\n", "not UTF-8", "a surrogate");
  bad("[a]\nk = \xc0\xaf\n", "not UTF-8", "an overlong form");
  bad("[a]\nk = \x01\n", "t.ini:2: the control character 0x01", "what we use as a token");
  bad("[a]\n\x02=x\n", "t.ini:2: the control character 0x02", "what we use as a mark");
  parse_bytes("[a]\nk = a\0b\nl=1\n", 16);
  like(faults_seen, "t.ini:2: a NUL byte in column 6", "NUL");
  parse("[a\n\nx\n[b]\ny\n");
  like(faults_seen, "t.ini:1:", "first fault");
  like(faults_seen, "t.ini:3:", "second fault");
  like(faults_seen, "t.ini:5:", "third fault");
  bad("[server]\ninclude = x.ini\n", "t.ini:2: include: only files", "include in memory");
}

/* inih of Debian 12 cuts lines at 199 bytes, sections at 49. */
static void test_long(void) {
  static char text[300000], want[300000];
  const size_t sizes[] = {1,   45,  48,  49,  50,  51,  100, 180, 190,  194,
                          195, 196, 197, 198, 199, 200, 201, 300, 4000, 65536};
  char value[65537];

  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    size_t n = sizes[i];
    for (size_t c = 0; c < n; c++) value[c] = c % 7 == 3 ? '=' : (char)('a' + c % 26);
    value[n] = 0;
    snprintf(text, sizeof text, "[a]\nkey = %s\nnext = 1\n", value);
    snprintf(want, sizeof want, "[a]@1 key=%s@2 next=1@3", value);
    ok(!strcmp(parse(text), want) && !*faults_seen, "a value of %zu bytes", n);
    if (n > 300) continue;
    for (size_t c = 0; c < n; c++) value[c] = (char)('a' + c % 26);
    snprintf(text, sizeof text, "[t %s1]\nk = 1\n[t %s2]\nk = 2\n", value, value);
    snprintf(want, sizeof want, "[t %s1]@1 k=1@2 [t %s2]@3 k=2@4", value, value);
    ok(!strcmp(parse(text), want) && !*faults_seen, "section names of %zu bytes stay apart", n + 3);
    snprintf(text, sizeof text, "[a]\n%s = 1\n%sx = 2\n", value, value);
    snprintf(want, sizeof want, "[a]@1 %s=1@2 %sx=2@3", value, value);
    ok(!strcmp(parse(text), want) && !*faults_seen, "a key of %zu bytes", n);
  }
  memset(text, 'x', sizeof text);
  memcpy(text, "[a]\nk = ", 8);
  memcpy(text + 80000, "\nl = 2\n", 8);
  is_str(parse(text), "[a]@1 l=2@3", "too long a value is left out");
  like(faults_seen, "t.ini:2: k: the value has 79992 bytes; at most 65536", "and is a fault");
}

/* Every prefix of a file: never a crash, and never a line past its end. */
static void test_prefixes(void) {
  const char text[] = "\xef\xbb\xbf[a \"b]\r\nk = \"v\\\"\" ; c\r\n\tl = \xc3\xa4 # d\n[c]\n=\n";
  for (size_t n = 0; n < sizeof text; n++) {
    char *copy = malloc(n ? n : 1); /* a heap block, for the sanitizer to watch its end */
    memcpy(copy, text, n);
    parse_bytes(copy, n);
    free(copy);
  }
  pass("prefixes");
}

static void file_put(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  if (!f || fputs(text, f) < 0) bail_out("%s: %m", path);
  fclose(f);
}

/* The parts of test_files(), in a folder of their own. */

static void files_that_cannot_be_read(void) {
  read_path("none.ini", NULL);
  is_str(faults_seen, "none.ini: cannot be read: No such file or directory\n", "no file");
  mkdir("dir.ini", 0755);
  read_path("dir.ini", NULL);
  is_str(faults_seen, "dir.ini: cannot be read: it is a directory; name a file\n", "a directory");
  file_put("locked.ini", "[a]\n");
  chmod("locked.ini", 0);
  if (geteuid() == 0) {
    skip(1, "root reads everything");
  } else {
    read_path("locked.ini", NULL);
    is_str(faults_seen, "locked.ini: cannot be read: Permission denied\n", "an unreadable file");
  }
}

static void includes_are_read_in_place(const char *dir) {
  size_t files;
  mkdir("conf.d", 0755);
  file_put("main.ini", "[server]\ninclude = conf.d/*.ini, more.ini\nk = 1\n[z]\n");
  file_put("more.ini", "[m]\n");
  file_put("conf.d/b.ini", "[b]\nk=1\n");
  file_put("conf.d/a.ini", "[server]\ninclude = sub.inc\n[a]\n");
  file_put("conf.d/sub.inc", "[sub]");
  file_put("conf.d/a.ini~", "junk");
  is_str(read_path("main.ini", &files),
         "[server]@1 include=conf.d/*.ini, more.ini@2 k=1@3 [z]@4 [server]@1 include=sub.inc@2 "
         "[a]@3 [b]@1 k=1@2 [m]@1 [sub]@1",
         "includes, each relative to its file");
  is_str(faults_seen, "", "no fault");
  is_int(files, 5, "five files");
  char path[200];
  snprintf(path, sizeof path, "%s/main.ini", dir);
  if (chdir("/")) bail_out("/: %m");
  read_path(path, &files);
  is_int(files, 5, "wherever the broker was started");
  if (chdir(dir)) bail_out("%s: %m", dir);

  mkdir("odd[1]*", 0755);
  file_put("odd[1]*/main.ini", "[server]\ninclude = x*.ini\n");
  file_put("odd[1]*/x1.ini", "[x]\n");
  is_str(read_path("odd[1]*/main.ini", NULL), "[server]@1 include=x*.ini@2 [x]@1",
         "pattern signs in the folder's name");
}

static void includes_that_are_not_there(void) {
  file_put("one.ini", "[server]\ninclude = nothing/*.ini\n");
  read_path("one.ini", NULL);
  is_str(faults_seen, "", "a pattern without matches is fine");
  file_put("one.ini", "[server]\ninclude = nothing.ini\n");
  read_path("one.ini", NULL);
  like(faults_seen, "one.ini:2: include: there is no file nothing.ini", "a missing file is not");
  file_put("one.ini", "[server]\ninclude = dir.ini\n");
  read_path("one.ini", NULL);
  like(faults_seen, "one.ini:2: include: dir.ini cannot be read: it is a directory",
       "nor a folder");
}

static void includes_in_a_circle(void) {
  size_t files;
  file_put("self.ini", "[server]\ninclude = s*.ini\n");
  read_path("self.ini", &files);
  like(faults_seen, "self.ini:2: include: self.ini includes itself", "a file that includes itself");
  is_int(files, 1, "once read");
  file_put("l1.ini", "[server]\ninclude = l2.ini\n");
  file_put("l2.ini", "[server]\ninclude = l3.ini\n");
  file_put("l3.ini", "[server]\ninclude = l1.ini\n");
  read_path("l1.ini", &files);
  like(faults_seen, "l3.ini:2: include: l1.ini includes itself by way of l3.ini",
       "a loop of three");
  is_int(files, 3, "ends");
  file_put("twice.ini", "[server]\ninclude = more.ini, m*re.ini\n");
  read_path("twice.ini", &files);
  like(faults_seen, "twice.ini:2: include: more.ini is included already", "one file twice");
}

static void faults_stand_in_the_order_of_files(void) {
  file_put("order.ini", "[server]\ninclude = conf.d/z*.ini\njunk\n");
  file_put("conf.d/z1.ini", "\njunk\n");
  file_put("conf.d/z2.ini", "junk\n");
  read_path("order.ini", NULL);
  const char *a = strstr(faults_seen, "order.ini:3:"), *b = strstr(faults_seen, "conf.d/z1.ini:2:"),
             *c = strstr(faults_seen, "conf.d/z2.ini:1:");
  ok(a && b && c && a < b && b < c, "faults in the order of files and lines");
}

static void pipes_are_no_files(void) {
  mkfifo("pipe.ini", 0600);
  file_put("one.ini", "[server]\ninclude = pipe.ini\n");
  read_path("one.ini", NULL);
  like(faults_seen, "pipe.ini cannot be read: it is a pipe", "a pipe is not waited for");
  /* @case S3: a pipe is no empty configuration */
  read_path("pipe.ini", NULL);
  like(faults_seen, "pipe.ini: cannot be read: it is a pipe; name a file",
       "nor taken for an empty file");
}

static void large_files_are_refused(void) {
  int fd = open("big.ini", O_WRONLY | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, INI_FILE_MAX + 1)) bail_out("big.ini: %m");
  close(fd);
  read_path("big.ini", NULL);
  like(faults_seen, "big.ini: cannot be read: it is larger than 16 MB", "too large a file");
}

static void test_files(void) {
  char dir[] = "/tmp/test_conf.XXXXXX", command[100];
  if (!mkdtemp(dir) || chdir(dir)) bail_out("%s: %m", dir);
  files_that_cannot_be_read();
  includes_are_read_in_place(dir);
  includes_that_are_not_there();
  includes_in_a_circle();
  faults_stand_in_the_order_of_files();
  pipes_are_no_files();
  large_files_are_refused();
  if (chdir("/")) bail_out("/: %m");
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command)) diag("%s is left behind", dir);
}

static void test_many_faults(void) {
  static char text[30000];
  for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "x\n", 2);
  parse(text);
  like(faults_seen, "t.ini:1000: ", "a thousand faults are told");
  unlike(faults_seen, "t.ini:1001: ", "not more");
  like(faults_seen, "13999 more of these are not shown", "but counted");
}

int main(void) {
  test_forms();
  test_comments();
  test_faults();
  test_long();
  test_prefixes();
  test_files();
  test_many_faults();
  return done_testing();
}
