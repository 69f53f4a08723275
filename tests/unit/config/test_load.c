/* Files: those that are included, paths and passwords in them, who can read them. */
#include "unit/config/settings_fixture.h"

#include "base/secret.h"

#include <sys/stat.h>
#include <unistd.h>

static void file_put(const char *path, const char *text, mode_t mode) {
  FILE *f = fopen(path, "w");
  if (!f || fputs(text, f) < 0) bail_out("%s: %m", path);
  fclose(f);
  chmod(path, mode);
}

static void names_are_relative_to_their_file(const char *real) {
  char want[5000];
  mkdir("conf.d", 0755);
  file_put("main.ini",
           "[server]\ninclude = conf.d/*.ini\nstate_dir = state\nplugin_dir = ./p\n"
           "[storage main]\nmanaged = yes\n",
           0644);
  file_put("conf.d/q.ini",
           "[server]\nmax_clients = 7\n[queue q]\npassword_file = q.secret\n"
           "[topic q/t]\nrun_type = direct\ncommand = x\n",
           0644);
  file_put("conf.d/q.secret", "hush\nsecond line\n", 0600);
  struct settings *s = load_file("main.ini");
  is_str(said, "", "includes");
  if (!s) bail_out("%s", said);
  is_str(s->queues[0]->password, "hush", "a password from a file beside the file that names it");
  is_int(s->server.max_clients, 7, "[server] in an included file");
  snprintf(want, sizeof want, "%s/state", real);
  is_str(s->server.state_dir, want, "state_dir relative to the file");
  snprintf(want, sizeof want, "%s/p", real);
  is_str(s->server.plugin_dir, want, "plugin_dir too");
  is_str(s->queues[0]->place.file, "conf.d/q.ini", "place in an included file");
  settings_unref(s);
}

static void password_files(void) {
  chmod("conf.d/q.secret", 0644);
  struct settings *s = load_file("main.ini");
  ok(s != NULL, "a password file that all can read is accepted");
  like(said,
       "warning: conf.d/q.ini:4: [queue q] password_file = q.secret: everyone on this machine "
       "can read it; chmod o-r ",
       "with a warning");
  settings_unref(s);
  file_put("conf.d/q.secret", "\n", 0600);
  ok(!load_file("main.ini"), "an empty password file");
  like(said, "conf.d/q.ini:4: [queue q] password_file = q.secret: the first line of", "is told");
  file_put("conf.d/q.secret", "windows\r\n", 0600);
  s = load_file("main.ini");
  ok(s && !strcmp(s->queues[0]->password, "windows"), "CRLF in a password file");
  settings_unref(s);
  file_put("conf.d/q.secret", "no newline", 0600);
  s = load_file("main.ini");
  ok(s && !strcmp(s->queues[0]->password, "no newline"), "no newline in a password file");
  settings_unref(s);
  unlink("conf.d/q.secret");
  ok(!load_file("main.ini"), "no password file");
  like(said, "q.secret cannot be read: No such file or directory", "is told");
  mkdir("conf.d/q.secret", 0700);
  ok(!load_file("main.ini"), "a folder for a password file");
  like(said, "q.secret is not a regular file", "is told");
}

static void one_key_in_two_files(void) {
  file_put("conf.d/q.ini", "[server]\nmax_clients = 7\n", 0644);
  file_put("conf.d/r.ini", "[server]\nmax_clients = 8\n[storage main]\nmanaged=yes\n", 0644);
  ok(!load_file("main.ini"), "one key in two files");
  is_str(said,
         "conf.d/r.ini:2: [server] max_clients: stands here twice, first at conf.d/q.ini:2; delete "
         "one of them\n"
         "conf.d/r.ini:3: [storage main]: this section stands here twice, first at main.ini:5; "
         "delete or rename one\n",
         "is told with both places");
}

/* Before plugins are loaded only [server] counts. */
static void peeking_reads_server_alone(const char *real) {
  char want[5000];
  file_put("peek.ini", "[server]\nplugin_dir = p\nlog_level = debug\n[topic x]\nnonsense\n", 0644);
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  is_int(settings_peek("peek.ini", out, &s), 0, "peek");
  fflush(out);
  is_str(said, "", "faults of other sections are not told");
  snprintf(want, sizeof want, "%s/p", real);
  is_str(s->server.plugin_dir, want, "plugin_dir");
  is_int(s->server.log_level, PB_LOG_DEBUG, "log_level");
  settings_unref(s);
  s = NULL;
  file_put("peek.ini", "[server]\nplugin_dir = p\nlog_level = loud\n", 0644);
  is_int(settings_peek("peek.ini", out, &s), -EINVAL, "peek at a faulty [server]");
  fclose(out);
  like(said, "peek.ini:3: [server] log_level = loud", "is told");
  ok(!s, "and gives nothing");
  is_int(settings_peek("peek.ini", NULL, &s), 0, "peek where nobody listens");
  is_str(s->server.plugin_dir, want, "takes what is sound");
  is_int(s->server.log_level, PB_LOG_INFO, "and defaults for the rest");
  settings_unref(s);
  s = NULL;
  is_int(settings_peek("none.ini", NULL, &s), -EINVAL, "peek at no file");
  ok(!s, "gives nothing");
}

static void test_files(void) {
  char real[4096];
  if (!getcwd(real, sizeof real)) bail_out("getcwd: %m");
  names_are_relative_to_their_file(real);
  password_files();
  one_key_in_two_files();
  peeking_reads_server_alone(real);
}

/* @case X5: a file with secrets in clear that everyone can read is warned of, once */
static void test_readable_files(void) {
  static const char clear[] = "[storage main]\naddress = 127.0.0.1:6379\npassword = redis-secret\n"
                              "[queue q]\npassword = abcdefghijkl\n"
                              "[topic q/t]\nrun_type = direct\ncommand = x\n";
  char text[600], hash[200];
  file_put("open.ini", clear, 0644);
  struct settings *s = load_file("open.ini");
  ok(s != NULL, "read all the same");
  is_str(said,
         "warning: open.ini:3: [storage main] password: the secret stands here in clear, and "
         "everyone on "
         "this machine can read the file; chmod o-r open.ini\n",
         "told once");
  settings_unref(s);
  chmod("open.ini", 0640);
  s = load_file("open.ini");
  is_str(said, "", "not where its group alone can");
  settings_unref(s);
  secret_hash("secret", 6, hash, sizeof hash);
  snprintf(text, sizeof text,
           "[storage main]\naddress = 127.0.0.1:6379\n[queue q]\npassword = %s\n"
           "[topic q/t]\nrun_type = direct\ncommand = x\n",
           hash);
  file_put("open.ini", text, 0644);
  s = load_file("open.ini");
  is_str(said, "", "nor where hashes are all there is");
  settings_unref(s);
}

int main(void) {
  char dir[] = "/tmp/test_load.XXXXXX", command[100];
  if (!mkdtemp(dir) || chdir(dir)) bail_out("%s: %m", dir);
  test_files();
  test_readable_files();
  if (chdir("/")) bail_out("/: %m");
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command)) diag("%s is left behind", dir);
  return done_testing();
}
