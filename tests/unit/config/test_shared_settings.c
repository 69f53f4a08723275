/* core/config/shared_rules.c: a shared configuration beside the files of a node. Each rule: what
 * wins, what is refused, and what is only broken on this node.
 */
#include "tap.h"
#include "config/settings.h"

#include <errno.h>
#include <pepperbus/transport.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- plugins --- */

struct pool_conf {
  const char *const *address;
};
struct topic_conf {
  const char *entry, *authorization, *ca_file;
};

static const struct pb_option pool_options[] = {
    {.name = "address", .type = PB_OPT_LIST, .offset = offsetof(struct pool_conf, address)}, {0}};
static const struct pb_option topic_options[] = {
    {.name = "entry", .type = PB_OPT_STRING, .offset = offsetof(struct topic_conf, entry)},
    {.name = "authorization",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_SECRET,
     .offset = offsetof(struct topic_conf, authorization)},
    {.name = "ca_file",
     .type = PB_OPT_STRING,
     .flags = PB_OPT_LOCAL,
     .offset = offsetof(struct topic_conf, ca_file)},
    {0}};
static const struct pb_option local_options[] = {{.name = "entry",
                                                  .type = PB_OPT_STRING,
                                                  .flags = PB_OPT_LOCAL,
                                                  .offset = offsetof(struct topic_conf, entry)},
                                                 {0}};

/* Files that begin with /gone are not there. */
static int check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                       const void *topic_conf, struct pb_err *err) {
  const struct topic_conf *t = topic_conf;
  (void)topic, (void)pool_conf;
  if (strncmp(t->entry, "/gone", 5)) return 0;
  snprintf(err->option, sizeof err->option, "entry");
  snprintf(err->text, sizeof err->text, "there is no such file");
  return -ENOENT;
}

#define TRANSPORT(type, pools, topics)                                                             \
  {                                                                                                \
    .option_size = sizeof(struct pb_option), .run_type = type, .caps = PB_CAP_CHUNK,               \
    .pool_options = pools, .pool_conf_size = sizeof(struct pool_conf), .topic_options = topics,    \
    .topic_conf_size = sizeof(struct topic_conf), .check_topic = check_topic                       \
  }

static const struct pb_transport cgi = TRANSPORT("cgi", pool_options, topic_options);
static const struct pb_transport http = TRANSPORT("http", pool_options, topic_options);
static const struct pb_transport pull = TRANSPORT("pull", NULL, local_options);
static const struct pb_transport run = TRANSPORT("exec", NULL, local_options);
static const struct pb_transport *const transports[] = {&cgi, &http, &pull, &run};

/* --- helpers --- */

static char said[100000];
static int opened; /* what the key says */

static int open_secret(void *arg, const char *kind, const char *name, const char *key,
                       const char *sealed, char **ret) {
  (void)arg, (void)sealed;
  if (opened) return opened;
  char text[256];
  snprintf(text, sizeof text, "%s %s %s in clear", kind, name, key);
  *ret = strdup(text);
  return 0;
}

static struct settings *load_as(const char *file, const char *shared, uint64_t number,
                                bool applying) {
  const struct shared_text text = {.text = shared,
                                   .len = strlen(shared),
                                   .number = number,
                                   .applying = applying,
                                   .open = open_secret};
  const struct settings_types types = {.transports = transports, .n = 4, .shared = &text};
  struct settings *s = NULL;
  memset(said, 0, sizeof said);
  FILE *out = fmemopen(said, sizeof said, "w");
  int rc = settings_parse("node.ini", file, strlen(file), &types, out, &s);
  fclose(out);
  if ((rc == 0) != (s != NULL)) bail_out("rc %d with a snapshot at %p", rc, (void *)s);
  return s;
}

static struct settings *follow(const char *file, const char *shared) {
  struct settings *s = load_as(file, shared, 7, false);
  if (!s) bail_out("%s", said);
  return s;
}

static void refuses(const char *file, const char *shared, const char *line, const char *name) {
  struct settings *s = load_as(file, shared, 7, false);
  ok(!s, "%s: refused by who follows", name);
  like(said, line, "%s: and says why", name);
  settings_unref(s);
}

/* Who wants to apply it is told; who only follows has the topic broken, and runs all else. */
static void forbids(const char *file, const char *shared, const char *topic, const char *why) {
  char line[600];
  struct settings *s = load_as(file, shared, 0, true);
  ok(!s, "refused at the door: %s", why);
  like(said, why, "with its reason");
  ok(!strstr(said, "warning: shared configuration"), "as a fault");
  settings_unref(s);
  s = follow(file, shared);
  const struct topic_settings *t = settings_topic(s, topic, strlen(topic));
  like(t && t->broken ? t->broken : "", why, "broken where it is followed");
  snprintf(line, sizeof line, "%s; this node cannot use it", why);
  like(said, "warning: shared configuration, revision 7:", "which is told with its place");
  like(said, "this node cannot use it", "as a warning");
  const struct topic_settings *other = settings_topic(s, "q/other", 7);
  ok(other && !other->broken, "the other topic runs");
  settings_unref(s);
}

#define LOCAL "[server]\nnode = web1\n[storage main]\naddress = 127.0.0.1:6379\n"
#define PASSWORD                                                                                   \
  "password = sha256:s:0000000000000000000000000000000000000000000000000000000000000000\n"
#define QUEUE                                                                                      \
  "[queue q]\n" PASSWORD "[topic q/other]\nrun_type = http\nentry = https://ok.example/\n"

/* --- what stands where --- */

static void test_both(void) {
  struct settings *s =
      follow(LOCAL "[queue own]\n" PASSWORD "[topic own/t]\nrun_type = pull\n",
             "[pool p]\nrun_type = cgi\naddress = 127.0.0.1:9000\n"
             "[queue q]\ntitle = \xe7\x9b\xb4\xe6\x92\xad\ncomment = why\n" PASSWORD
             "[topic q/t]\npool = p\nentry = /srv/a.php\n"
             "[user ann]\nrole = viewer\n" PASSWORD);
  is_str(said, "", "both are read without a word");
  is_int(s->n_queues, 2, "there are the queues of both");
  const struct topic_settings *own = settings_topic(s, "own/t", 5),
                              *t = settings_topic(s, "q/t", 3);
  ok(!own->shared && !own->queue->shared && t->shared && t->queue->shared && t->pool->shared &&
         s->users[0]->shared && !s->storages[0]->shared,
     "and each says where it is from");
  is_str(t->storage->name, "main", "a shared topic uses the storage of the node");
  is_str(t->place.file, "shared configuration, revision 7", "its place has the revision");
  is_int(t->place.line, 8, "and the line in it");
  is_str(t->queue->title, "\xe7\x9b\xb4\xe6\x92\xad", "a title");
  is_int(s->shared_number, 7, "the revision is known");
  ok(!s->n_clashes && !s->n_broken && !t->broken, "nothing clashes, nothing is broken");
  ok(s->users[0]->contents == 0 && s->users[0]->entries == 0, "a viewer sees no contents");
  settings_unref(s);
}

static void test_clash(void) {
  static const char file[] =
      LOCAL "[queue q]\nmax_length = 5\n" PASSWORD "[topic q/other]\nrun_type = pull\n";
  static const char shared[] =
      "[queue q]\nmax_length = 9\n" PASSWORD "[topic q/t]\nrun_type = pull\n";
  struct settings *s = follow(file, shared);
  is_int(settings_queue(s, "q", 1)->max_length, 5, "the section of the node's file counts");
  ok(!settings_queue(s, "q", 1)->shared, "which is not shared");
  is_int(s->n_clashes, 1, "one clash is noted");
  is_str(s->clashes[0].kind, "queue", "its kind");
  is_str(s->clashes[0].name, "q", "its name");
  is_int(s->clashes[0].local.line, 5, "where the file has it");
  is_int(s->clashes[0].shared.line, 1, "and where the shared configuration");
  is_str(said,
         "warning: shared configuration, revision 7:1: [queue q]: this node has the section in a "
         "file of its own (node.ini:5), which counts here\n",
         "and told");
  ok(settings_topic(s, "q/t", 3)->shared, "a shared topic of a local queue is one");
  settings_unref(s);
  s = load_as(file, shared, 0, true);
  ok(!s, "nobody can apply it");
  is_str(said,
         "shared configuration:1: [queue q]: node web1 has this section in a file of its own "
         "(node.ini:5), which counts there; delete one of the two\n",
         "and node, file and line are told");
  settings_unref(s);
}

static void test_local_only(void) {
  refuses(LOCAL, "[server]\nnode = x\n",
          "shared configuration, revision 7:1: [server]: this section is about one node and cannot "
          "be shared",
          "[server]");
  refuses(LOCAL, "[cluster]\nname = x\n", "[cluster]: this section is about one node", "[cluster]");
  refuses(LOCAL, "[ldap]\nurl = ldaps://x\n", "[ldap]: this section is about one node", "[ldap]");
  static const char *const keys[] = {
      "[storage s]\naddress = 127.0.0.1:1\npassword_file = /etc/shadow\n",
      "[storage s]\nmanaged = yes\n",
      "[storage s]\naddress = 127.0.0.1:1\nserver_binary = /bin/sh\n",
      "[queue q]\npassword_file = /etc/shadow\n",
      "[queue q]\n" PASSWORD "[topic q/t]\nrun_type = pull\nsigning_key_file = /etc/shadow\n",
      "[queue q]\n" PASSWORD "[topic q/t]\nrun_type = pull\nentry = /bin/sh\n",
      "[queue q]\n" PASSWORD "[topic q/t]\nrun_type = http\nentry = https://x/\nca_file = /etc/x\n",
      "[user u]\nrole = admin\npassword_file = /etc/shadow\n"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    refuses(LOCAL, keys[i],
            "it names something on the machine of a node, so only a file of the node can have it",
            keys[i]);
  struct settings *s = follow(LOCAL, "[storage s]\naddress = 127.0.0.1:1\nmanaged = no\n"
                                     "server_binary = redis-server\npassword_file =\n");
  is_str(said, "", "their defaults name nothing");
  settings_unref(s);
  refuses(LOCAL, "[queue q]\n" PASSWORD "timeout = 5\n", "this key belongs in a [topic] section",
          "a text that is invalid");
  refuses(LOCAL, "[queue q\n", "revision 7:1: a section without its ']'", "a text that is none");
  refuses(LOCAL, "[queue q]\n" PASSWORD "[queue q]\n" PASSWORD, "stands here twice",
          "a section that stands in it twice");
}

static void test_files_stand_alone(void) {
  refuses(LOCAL "[queue l]\n" PASSWORD "[topic l/t]\npool = p\n", "[pool p]\nrun_type = cgi\n",
          "node.ini:8: [topic l/t] pool = p: [pool p] stands in the shared configuration, and a "
          "file of the node cannot use it",
          "a file that leans on what is shared");
  refuses(LOCAL "[topic q/t]\nrun_type = pull\n", "[queue q]\n" PASSWORD,
          "[queue q] stands in the shared configuration", "a topic of a shared queue");
  struct settings *s =
      follow(LOCAL "[system a]\n[queue l]\n" PASSWORD "[topic l/t]\nrun_type = pull\n",
             "[system b]\n[storage other]\naddress = 127.0.0.1:7000\n");
  is_str(settings_queue(s, "l", 1)->system->name, "a", "a second system does not unsettle a file");
  is_str(settings_topic(s, "l/t", 3)->storage->name, "main", "nor does a second storage");
  is_str(s->cluster.storage->name, "main", "which is not the cluster's either");
  settings_unref(s);
}

/* --- what is not there --- */

static const char *broken_why(struct settings *s, const char *topic) {
  const struct topic_settings *t = settings_topic(s, topic, strlen(topic));
  return t && t->broken ? t->broken : "";
}

static void lacks(const char *shared, const char *why) {
  for (int applying = 0; applying < 2; applying++) {
    struct settings *s = load_as(LOCAL, shared, 7, applying);
    if (!s) bail_out("%s", said);
    like(broken_why(s, "q/t"), why, "broken: %s", why);
    like(said, why, "and told");
    const struct topic_settings *t = settings_topic(s, "q/t", 3);
    ok(t->storage && t->queue && *t->password && !t->pulled, "a whole topic all the same");
    ok(s->n_broken >= 1, "it is on the list");
    ok(!settings_topic(s, "q/other", 7)->broken, "the other topic runs");
    settings_unref(s);
  }
}

static void test_missing(void) {
  lacks(QUEUE "[topic q/t]\npool = gone\nentry = /a.php\n", "there is no [pool gone]");
  lacks(QUEUE "[topic q/t]\nstorage = gone\nrun_type = pull\n", "there is no [storage gone]");
  lacks(QUEUE "[topic q/t]\nrun_type = cgi\nentry = /gone/a.php\n", "there is no such file");
  struct settings *s =
      load_as("[server]\nshared_run_types = http, odd\n[storage main]\naddress = 127.0.0.1:6379\n",
              QUEUE "[topic q/t]\nrun_type = odd\nnew_key = 1\n", 7, false);
  like(broken_why(s, "q/t"), "no plugin provides this run type", "a plugin that is not there");
  settings_unref(s);

  s = follow(LOCAL, QUEUE "[topic q/t]\nstorage = gone\nrun_type = pull\n");
  is_int(s->n_storages, 2, "a storage that is not there has a stand-in");
  like(s->storages[1]->broken, "there is no [storage gone] on this node", "which never connects");
  settings_unref(s);
  s = follow(LOCAL, QUEUE "[topic nobody/t]\nrun_type = pull\n");
  ok(!settings_topic(s, "nobody/t", 8), "a topic of no queue is none");
  is_int(s->n_broken, 1, "but it is on the list");
  is_str(s->broken[0].name, "nobody/t", "by its name");
  settings_unref(s);
  s = follow("[server]\nnode = web1\n", QUEUE);
  like(broken_why(s, "q/other"), "storage is missing", "a node without any storage");
  is_str(settings_topic(s, "q/other", 7)->storage->name, "(none)", "has one that is none");
  settings_unref(s);
}

/* Each of thousands that are missing must not be compared with thousands that are there. */
static void test_missing_many(void) {
  char *shared = malloc(400000), *at = shared;
  at += sprintf(at, QUEUE);
  for (int i = 0; i < 300; i++)
    at += sprintf(at, "[node n%d]\n[topic q/t%d]\nstorage = maim\nrun_type = pull\n", i, i);
  struct settings *s = follow(LOCAL, shared);
  like(said, "there is no [storage maim]; did you mean main?", "the first ones have a suggestion");
  like(broken_why(s, "q/t0"), "did you mean main?", "which stands in the topic, too");
  is_str(broken_why(s, "q/t299"), "there is no [storage maim]", "the last ones have none");
  is_int(s->n_broken, 300, "all of them are broken");
  is_int(s->n_storages, 2, "with one stand-in");
  settings_unref(s);
  free(shared);
}

static void test_missing_system(void) {
  struct settings *s =
      follow(LOCAL, QUEUE "[queue p]\nsystem = far\n" PASSWORD "[topic p/t]\nrun_type = pull\n"
                          "[user eve]\nrole = operator\nsystems = far\n" PASSWORD
                          "[node web9]\nsystems = far\n");
  like(broken_why(s, "p/t"), "there is no [system far]", "a queue of a system that is not here");
  is_str(settings_queue(s, "p", 1)->system->name, "far", "stays apart from the others");
  is_int(s->users[0]->n_systems, 1, "a user of that system does not become one of all");
  is_str(s->users[0]->systems[0]->name, "far", "but keeps its name");
  is_str(s->nodes[0]->systems[0]->name, "far", "so does a node");
  is_int(s->n_systems, 0, "no system is made up");
  settings_unref(s);
}

static void test_secrets(void) {
#define SEALED "enc:00112233445566aa:QUJD\n"
  static const char shared[] = "[storage far]\naddress = 10.0.0.1:1\npassword = " SEALED QUEUE
                               "[topic q/t]\nrun_type = http\nentry = https://x/\nstorage = main\n"
                               "authorization = " SEALED "[topic q/far]\nrun_type = pull\n"
                               "storage = far\n";
  static const char other[] = "storage = main\n";
  char text[2000];
  snprintf(text, sizeof text, "%s", shared);
  char *at = strstr(text, "[topic q/other]\n") + strlen("[topic q/other]\n");
  memmove(at + strlen(other), at, strlen(at) + 1);
  memcpy(at, other, strlen(other));
  opened = 0;
  struct settings *s = follow(LOCAL, text);
  is_str(s->storages[1]->password, "storage far password in clear", "a sealed password is opened");
  const struct topic_conf *conf = settings_topic(s, "q/t", 3)->conf;
  is_str(conf->authorization, "topic q/t authorization in clear", "so is a plugin's secret");
  ok(!strstr(said, "clear"), "and none is told");
  settings_unref(s);

  opened = -ENOKEY;
  s = follow(LOCAL, text);
  like(s->storages[1]->broken, "this node has not the key", "without the key a storage is broken");
  like(broken_why(s, "q/far"), "this node has not the key", "so are its topics");
  like(broken_why(s, "q/t"), "this node has not the key", "and a topic with a secret of its own");
  ok(!settings_topic(s, "q/other", 7)->broken, "all else runs");
  settings_unref(s);
  opened = -EBADMSG;
  s = follow(LOCAL, "[queue q]\npassword = " SEALED "[topic q/t]\nrun_type = pull\n");
  like(broken_why(s, "q/t"), "it was not encrypted for this place", "a text of elsewhere");
  ok(*settings_queue(s, "q", 1)->password, "a lost password is not an empty one");
  settings_unref(s);
  opened = 0;
  s = load_as(LOCAL,
              "[storage x]\naddress = a:1\npassword = ********\n[queue q]\npassword = ********\n"
              "[topic q/t]\nrun_type = pull\nstorage = main\nsigning_key = ********\n"
              "[user u]\nrole = admin\npassword = ********\n",
              0, true);
  ok(s != NULL, "a mask is as good as the secret, where the text is only checked");
  is_str(said, "", "without a word");
  settings_unref(s);
}

/* --- rules of the node --- */

static void test_run_types(void) {
  forbids(LOCAL, QUEUE "[topic q/t]\nrun_type = exec\n", "q/t",
          "run type exec is not among the shared_run_types");
  forbids("[server]\nshared_run_types = http\n[storage main]\naddress = 127.0.0.1:6379\n",
          QUEUE "[topic q/t]\nrun_type = pull\n", "q/t",
          "run type pull is not among the shared_run_types");
  forbids("[server]\nshared_run_types = http\n[storage main]\naddress = 127.0.0.1:6379\n",
          QUEUE "[pool p]\nrun_type = cgi\n[topic q/t]\npool = p\nentry = /a.php\n", "q/t",
          "run type cgi is not among the shared_run_types");
  struct settings *s = follow(LOCAL "[queue l]\n" PASSWORD "[topic l/t]\nrun_type = exec\n"
                                    "entry = /bin/true\n",
                              "");
  ok(!settings_topic(s, "l/t", 3)->broken, "a file may have any");
  settings_unref(s);
}

static void test_roots(void) {
  char dir[] = "/tmp/pbsharedXXXXXX", file[800], shared[1200], root[300];
  if (!mkdtemp(dir)) bail_out("no folder");
  snprintf(root, sizeof root, "%s/app", dir);
  mkdir(root, 0700);
  snprintf(shared, sizeof shared, "%s/app/a.php", dir);
  fclose(fopen(shared, "w"));
  snprintf(shared, sizeof shared, "%s/secret.php", dir);
  fclose(fopen(shared, "w"));
  snprintf(shared, sizeof shared, "%s/app/link.php", dir);
  if (symlink("../secret.php", shared)) bail_out("no link");
  snprintf(file, sizeof file,
           "[server]\nentry_roots = /nowhere, %s/\n[storage main]\naddress = 127.0.0.1:6379\n",
           root);
  static const struct {
    const char *path;
    bool below;
  } all[] = {{"app/a.php", true},          {"app/not-there.php", true},
             {"app/../app/a.php", true},   {"secret.php", false},
             {"app/link.php", false},      {"app/../secret.php", false},
             {"app/x/../../y.php", false}, {"application/a.php", false}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    snprintf(shared, sizeof shared, QUEUE "[topic q/t]\nrun_type = cgi\nentry = %s/%s\n", dir,
             all[i].path);
    if (!all[i].below) {
      forbids(file, shared, "q/t", "is below none of the entry_roots");
      continue;
    }
    struct settings *s = follow(file, shared);
    ok(!settings_topic(s, "q/t", 3)->broken, "%s is below", all[i].path);
    settings_unref(s);
  }
  snprintf(file, sizeof file, "rm -r %s", dir);
  if (system(file)) bail_out("%s", file);
}

static void goes(const char *hosts, const char *url, const char *why) {
  char file[400], shared[600];
  snprintf(file, sizeof file,
           "[server]\nhttp_hosts = %s\n[storage main]\naddress = 127.0.0.1:6379\n", hosts);
  snprintf(shared, sizeof shared, QUEUE "[topic q/t]\nrun_type = http\nentry = %s\n", url);
  if (*why) {
    forbids(file, shared, "q/t", why);
    return;
  }
  struct settings *s = follow(file, shared);
  ok(!settings_topic(s, "q/t", 3)->broken, "%s with http_hosts = %s", url, hosts);
  settings_unref(s);
}

static void test_hosts(void) {
  static const char no[] = "is not among the http_hosts", local[] = "a link-local address";
  goes("", "https://any.example/x", "");
  goes("ok.example, app.example", "https://APP.example:8443/x?y", "");
  goes("ok.example, *.corp.example", "http://a.b.corp.example", "");
  goes("ok.example, *.corp.example", "http://corp.example/", no);
  goes("ok.example, *.corp.example", "http://evilcorp.example/", no);
  goes("ok.example", "https://evil.example/x", no);
  goes("ok.example", "https://ok.example@evil.example/x", no);
  goes("ok.example", "https://evil.example#@ok.example/", no);
  goes("ok.example", "https://evil.example\\@ok.example/", "no URL with a plain host name");
  goes("ok.example", "https://ok.example./x", "");
  goes("ok.example, 10.0.0.0/8", "http://10.1.2.3:80/", "");
  goes("ok.example, 10.0.0.0/8", "http://11.1.2.3/", no);
  goes("ok.example, fd00::/8", "http://[fd00::1]:80/", "");
  goes("", "http://169.254.169.254/latest/meta-data", local);
  goes("", "http://0xa9fea9fe/", local);
  goes("", "http://2852039166/", local);
  goes("", "http://[fe80::1]/", local);
  goes("", "http://[::ffff:169.254.169.254]/", local);
  goes("ok.example, 169.254.0.0/16", "http://169.254.1.1/", local);
  static const char file[] = "[server]\nhttp_hosts = ok.example, 10.0.0.5, unix:/run/ok.sock\n"
                             "[storage main]\naddress = 127.0.0.1:6379\n";
  forbids(file,
          QUEUE "[pool p]\nrun_type = cgi\naddress = 10.0.0.5:9000, 10.0.0.6:9000\n[topic q/t]\n"
                "pool = p\nentry = /a.php\n",
          "q/t", no);
  forbids(LOCAL,
          QUEUE "[pool p]\nrun_type = http\naddress = 169.254.1.1:80\n[topic q/t]\n"
                "pool = p\nentry = https://ok.example/\n",
          "q/t", local);
  forbids(LOCAL,
          QUEUE "[pool p]\nrun_type = http\naddress = unix:/run/docker.sock\n[topic q/t]\n"
                "pool = p\nentry = https://ok.example/\n",
          "q/t", no);
  struct settings *s = follow(file, QUEUE "[pool p]\nrun_type = http\naddress = unix:/run/ok.sock\n"
                                          "[pool c]\nrun_type = cgi\naddress = unix:/run/fpm.sock\n"
                                          "[topic q/t]\npool = p\nentry = https://ok.example/\n"
                                          "[topic q/c]\npool = c\nentry = /a.php\n");
  ok(!settings_topic(s, "q/t", 3)->broken && !settings_topic(s, "q/c", 3)->broken,
     "a socket that is named, and one of PHP-FPM");
  settings_unref(s);
  forbids(LOCAL,
          QUEUE "storage = main\n[storage far]\naddress = 169.254.1.1:6379\n[topic q/t]\n"
                "storage = far\nrun_type = pull\n",
          "q/t", local);
  forbids(LOCAL,
          QUEUE "storage = main\n[storage twin]\naddress = 127.0.0.1:6379\n[topic q/t]\n"
                "storage = twin\nrun_type = pull\n",
          "q/t", "[storage main] (node.ini:3) has the same address and db");
  forbids(LOCAL,
          QUEUE "storage = main\n[storage two]\naddress = 127.0.0.1:7000\n[topic q/t]\n"
                "run_type = pull\n",
          "q/t", "storage is missing; there are several, say which");
}

/* --- nodes, cluster, directory --- */

static void test_nodes(void) {
  static const char shared[] = "[system a]\n[system b]\n[queue q]\nsystem = a\n" PASSWORD
                               "[topic q/t]\nrun_type = pull\n[queue p]\nsystem = b\n" PASSWORD
                               "[topic p/t]\nrun_type = pull\n";
  char text[2000];
  struct settings *s = follow(LOCAL, shared);
  ok(settings_topic(s, "q/t", 3)->here && settings_topic(s, "p/t", 3)->here, "a node runs all");
  settings_unref(s);
  snprintf(text, sizeof text, "%s[node web1]\nsystems = b\n[node web2]\ndrain = yes\n", shared);
  s = follow(LOCAL, text);
  ok(!settings_topic(s, "q/t", 3)->here && settings_topic(s, "p/t", 3)->here,
     "[node] says which systems it runs");
  is_str(settings_topic(s, "q/t", 3)->not_here,
         "this node does not run its system ([node web1] systems)", "and why not the others");
  ok(!s->drain, "another node's drain is not its own");
  settings_unref(s);
  snprintf(text, sizeof text, "%s[node web1]\ndrain = yes\n", shared);
  s = follow(LOCAL, text);
  ok(s->drain && !settings_topic(s, "q/t", 3)->here, "a drained node runs no topic");
  is_str(settings_topic(s, "q/t", 3)->not_here, "this node is drained ([node web1] drain = yes)",
         "and says so");
  settings_unref(s);
  s = follow("[server]\nsystems = a\n[storage main]\naddress = 127.0.0.1:1\n", shared);
  ok(settings_topic(s, "q/t", 3)->here && !settings_topic(s, "p/t", 3)->here,
     "[server] systems may name shared ones");
  settings_unref(s);
  s = follow("[server]\nsystems = a, gone\n[storage main]\naddress = 127.0.0.1:1\n", shared);
  like(said, "warning: node.ini:2: [server] systems = a, gone: there is no [system gone]",
       "one that is not there is told");
  settings_unref(s);
}

struct seen {
  char text[2000];
};

static void on_section(void *arg, const char *kind, const char *name, struct place at,
                       bool shared) {
  struct seen *seen = arg;
  size_t len = strlen(seen->text);
  snprintf(seen->text + len, sizeof seen->text - len, "%s %s %s:%u%s\n", kind, name, at.file,
           at.line, shared ? " shared" : "");
}

static void test_each(void) {
  struct settings *s = follow(LOCAL "[queue l]\n" PASSWORD, QUEUE);
  struct seen seen = {""};
  settings_each_section(s, on_section, &seen);
  is_str(seen.text,
         "storage main node.ini:3\nqueue l node.ini:5\n"
         "queue q shared configuration, revision 7:1 shared\n"
         "topic q/other shared configuration, revision 7:3 shared\n",
         "each section says where it stands");
  settings_unref(s);
}

struct keys {
  size_t n, plugins, untitled;
  char untranslated[2000];
};

/* Of the keys that a form shows, the ones of this release. */
static bool is_new(const struct settings_key *k) {
  static const char *const kinds[] = {"cluster", "ldap", "node"};
  static const char *const names[] = {
      "title",       "comment",           "entries",   "contents",          "trusted_proxies",
      "auth_header", "auth_default_role", "base_path", "allow_plain_admin", "entry_roots",
      "http_hosts",  "shared_run_types"};
  for (size_t i = 0; i < 3; i++)
    if (!strcmp(k->kind, kinds[i])) return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(k->option->name, names[i])) return true;
  return false;
}

static void on_key(void *arg, const struct settings_key *k) {
  struct keys *keys = arg;
  keys->n++;
  keys->plugins += k->run_type != NULL;
  keys->untitled += !k->run_type && !k->title;
  size_t len = strlen(keys->untranslated);
  if (!k->run_type && is_new(k) && !k->help_zh)
    snprintf(keys->untranslated + len, sizeof keys->untranslated - len, "%s %s\n", k->kind,
             k->option->name);
}

static void test_keys(void) {
  const struct settings_types types = {.transports = transports, .n = 4};
  struct keys keys = {0};
  settings_each_key(&types, on_key, &keys);
  ok(keys.n > 100, "%zu keys for forms", keys.n);
  is_int(keys.plugins, 2 + 6 + 2, "with those of the plugins");
  is_int(keys.untitled, 0, "each of the core has a title");
  is_str(keys.untranslated, "", "and each new one a text in Chinese");
}

/* A snapshot with a shared part is compared like any other. */
static void test_compare(void) {
  static const char text[] = "[queue q]\ntitle = a\n" PASSWORD "[topic q/t]\nrun_type = pull\n";
  static const char titled[] = "[queue q]\ntitle = b\n" PASSWORD "[topic q/t]\nrun_type = pull\n";
  struct settings *a = load_as(LOCAL, text, 1, false), *b = load_as(LOCAL, text, 2, false);
  struct settings *c = load_as(LOCAL, titled, 3, false);
  struct settings *d = load_as(LOCAL "[queue q]\n" PASSWORD, text, 3, false);
  ok(settings_topic_equal(settings_topic(a, "q/t", 3), settings_topic(b, "q/t", 3)),
     "another revision with the same topic");
  char words[400] = "";
  FILE *out = fmemopen(words, sizeof words, "w");
  settings_changes(a, c, out);
  fclose(out);
  is_str(words, "changed: queue q\n", "a title is a change");
  ok(settings_topic_equal(settings_topic(a, "q/t", 3), settings_topic(d, "q/t", 3)),
     "a queue that a file has now");
  settings_unref(a);
  settings_unref(b);
  settings_unref(c);
  settings_unref(d);
}

/* --- the keys of [server], [cluster] and [ldap] --- */

static void file_bad(const char *lines, const char *line) {
  char file[600];
  snprintf(file, sizeof file, "%s[storage main]\naddress = 127.0.0.1:6379\n", lines);
  refuses(file, "", line, lines);
}

static const char *file_warns(const char *lines) {
  char file[600];
  snprintf(file, sizeof file, "%s[storage main]\naddress = 127.0.0.1:6379\n", lines);
  settings_unref(follow(file, ""));
  return said;
}

static void test_access(void) {
  file_bad("[server]\ntrusted_proxies = 10.0.0.0/8, proxy\n", "proxy is no address and no network");
  file_bad("[server]\nauth_header = X-Remote-User\n", "anybody could send it");
  file_bad("[server]\ntrusted_proxies = ::1\nauth_header = X: y\n", "a header has letters");
  static const char *const paths[] = {"x", "/", "/x/", "//x", "/a b", "/../x?", "/\xc3\xa4"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    char lines[100];
    snprintf(lines, sizeof lines, "[server]\nbase_path = %s\n", paths[i]);
    file_bad(lines, "a path has letters, digits");
  }
  is_str(file_warns("[server]\nbase_path = /x/y.z_~-\n"), "", "a path of two");
  file_bad("[server]\nentry_roots = srv/app\n", "srv/app is no absolute path");
  file_bad("[server]\nhttp_hosts = https://x\n", "https://x is no host");
  file_bad("[server]\nhttp_hosts = x/y\n", "x/y is no host");
  is_str(file_warns("[server]\nhttp_hosts = 10.0.0.0/8, unix:/a/b, *.x.example\n"), "",
         "hosts of all kinds");
  like(file_warns("[server]\nadmin = 0.0.0.0:1\n"), "other machines can reach it",
       "a port without encryption is told");
  is_str(file_warns("[server]\nadmin = 0.0.0.0:1\nallow_plain_admin = yes\n"), "", "unless wanted");
  is_str(file_warns("[server]\nadmin = 0.0.0.0:1\ntrusted_proxies = 10.0.0.1\n"), "",
         "or behind a proxy");
  is_str(file_warns("[server]\nadmin = [::1]:1\n"), "", "loopback is none");
}

static void test_cluster(void) {
  struct settings *s =
      follow("[server]\nstate_dir = /var/x\n[storage main]\naddress = a:1\n"
             "[cluster]\nname = prod\ntitle = \xe7\x94\x9f\xe4\xba\xa7\ncolour = red\n",
             "");
  is_str(s->cluster.name, "prod", "the name of the cluster");
  is_str(s->cluster.key_file, "/var/x/cluster.key", "its key is in state_dir");
  is_str(s->cluster.storage->name, "main", "the only storage is its own");
  is_str(s->cluster.colour, "red", "its colour");
  settings_unref(s);
  s = follow("[storage a]\naddress = a:1\n[storage b]\naddress = b:1\n", "");
  ok(!s->cluster.storage && !s->cluster.place.line, "with two storages it has none by itself");
  settings_unref(s);
  s = follow("[storage a]\naddress = a:1\n[storage b]\naddress = b:1\n[cluster]\nstorage = b\n"
             "key_file = /etc/k\n",
             "");
  is_str(s->cluster.storage->name, "b", "unless one is named");
  is_str(s->cluster.key_file, "/etc/k", "an absolute key file");
  settings_unref(s);
  struct settings *was = follow("[server]\nstate_dir = /var/x\n[storage a]\naddress = a:1\n", "");
  s = follow("[server]\nstate_dir = /var/y\n[storage a]\naddress = a:1\n", "");
  settings_keep_start(s, was);
  is_str(s->cluster.key_file, "/var/x/cluster.key", "a state_dir that moves later keeps its key");
  settings_unref(s);
  settings_unref(was);
  refuses("[cluster]\nstorage = x\n", "[storage x]\naddress = a:1\n",
          "[storage x] stands in the shared configuration", "a shared storage of the cluster");
  file_bad("[cluster]\ncolour = beige\n", "write red, orange, yellow");
  file_bad("[cluster]\nname = a b\n", "a name has 1 to 128 letters");
  file_bad("[cluster]\n[cluster]\n", "stands here twice");
  file_bad("[cluster x]\n", "this section has no name; write [cluster] and name = x");
}

static void test_ldap(void) {
  file_bad("[ldap]\nbind = uid=%u\n", "url is missing");
  file_bad("[ldap]\nurl = ldaps://x\nbind = uid=x\n", "%u is missing");
  file_bad("[ldap]\nurl = http://x\nbind = %u\n", "write ldaps://HOST");
  file_bad("[ldap]\nurl = ldap://x\nbind = %u\n", "the passwords would cross the network");
  file_bad("[ldap]\nurl = ldaps://x\nbind = %u\nstart_tls = yes\n", "only an ldap:// address");
  is_str(file_warns("[ldap]\nurl = ldap://x\nbind = %u\nstart_tls = yes\n"), "", "StartTLS");
  is_str(file_warns("[ldap]\nurl = ldap://127.0.0.1:389\nbind = %u\n"), "", "loopback");
}

int main(void) {
  test_both();
  test_clash();
  test_local_only();
  test_files_stand_alone();
  test_missing();
  test_missing_many();
  test_missing_system();
  test_secrets();
  test_run_types();
  test_roots();
  test_hosts();
  test_nodes();
  test_each();
  test_keys();
  test_compare();
  test_access();
  test_cluster();
  test_ldap();
  return done_testing();
}
