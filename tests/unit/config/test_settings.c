/* core/settings*.c: a sound file becomes a snapshot, and each way of being unsound is told with
 * its place and with what would be right.
 */
#include "tap.h"
#include "base/secret.h"
#include "config/private.h"
#include "config/settings.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two transports like those of plugins. "cgi" needs a pool, "direct" does not. */

struct cgi_pool {
  const char *const *address;
  uint64_t idle_ms;
  int64_t max_connections; /* the core has this key too */
};

struct cgi_topic {
  const char *entry, *token;
  int64_t rounds;
};

struct direct_topic {
  const char *command;
};

static int cgi_check(const void *pool_conf, const void *topic_conf, struct pb_err *err) {
  const struct cgi_pool *pool = pool_conf;
  const struct cgi_topic *topic = topic_conf;
  if (pool && pool->idle_ms == 13) {
    snprintf(err->option, sizeof err->option, "idle");
    snprintf(err->text, sizeof err->text, "13 brings bad luck");
    return -EINVAL;
  }
  if (topic && topic->entry[0] != '/') {
    snprintf(err->option, sizeof err->option, "entry");
    snprintf(err->text, sizeof err->text, "an absolute path is needed");
    return -EINVAL;
  }
  return 0;
}

static const struct pb_option cgi_pool_options[] = {
    {"address", PB_OPT_LIST, PB_OPT_REQUIRED, offsetof(struct cgi_pool, address), 0, 0, NULL, NULL,
     "Where php-fpm listens."},
    {"idle", PB_OPT_DURATION, 0, offsetof(struct cgi_pool, idle_ms), 0, 60000, NULL, "5ms", NULL},
    {"max_connections", PB_OPT_INT, 0, offsetof(struct cgi_pool, max_connections), 0, 0, NULL, "16",
     NULL},
    {0}};
static const struct pb_option cgi_topic_options[] = {
    {"entry", PB_OPT_STRING, PB_OPT_REQUIRED, offsetof(struct cgi_topic, entry), 0, 0, NULL, NULL,
     "The PHP file."},
    {"token", PB_OPT_STRING, PB_OPT_SECRET, offsetof(struct cgi_topic, token), 0, 0, NULL, NULL,
     NULL},
    {"rounds", PB_OPT_INT, PB_OPT_DEPRECATED, offsetof(struct cgi_topic, rounds), 0, 9, NULL, "1",
     "No longer needed; delete it."},
    {0}};
static const struct pb_option direct_topic_options[] = {{"command", PB_OPT_STRING, PB_OPT_REQUIRED,
                                                         offsetof(struct direct_topic, command), 0,
                                                         0, NULL, NULL, "What is run."},
                                                        {0}};

static int cgi_check_topic(const struct pb_topic_info *topic, const void *pool_conf,
                           const void *topic_conf, struct pb_err *err) {
  if (!pool_conf || !topic_conf) return 0;
  if (topic->chunk == 79) return -ENOENT; /* and says nothing */
  if (topic->chunk == 78) {
    snprintf(err->option, sizeof err->option, "entry");
    snprintf(err->text, sizeof err->text, "there is no such file");
    return -ENOENT;
  }
  if (topic->chunk != 77) return 0;
  snprintf(err->option, sizeof err->option, "chunk");
  snprintf(err->text, sizeof err->text, "%s/%s and %u go ill together", topic->queue, topic->topic,
           topic->chunk);
  return -EINVAL;
}

static const struct pb_transport cgi = {.option_size = sizeof(struct pb_option),
                                        .run_type = "cgi",
                                        .summary = "php-fpm",
                                        .caps = PB_CAP_CHUNK,
                                        .pool_options = cgi_pool_options,
                                        .pool_conf_size = sizeof(struct cgi_pool),
                                        .topic_options = cgi_topic_options,
                                        .topic_conf_size = sizeof(struct cgi_topic),
                                        .check = cgi_check,
                                        .check_topic = cgi_check_topic};
static const struct pb_transport direct = {.option_size = sizeof(struct pb_option),
                                           .run_type = "direct",
                                           .topic_options = direct_topic_options,
                                           .topic_conf_size = sizeof(struct direct_topic)};
static const struct pb_transport *const both[] = {&cgi, &direct};
static struct settings_types types = {.transports = both, .n = 2};

/* What a test starts from, 16 lines, sound. */
#define BASE                                                                                       \
  "[storage main]\n"                                                                               \
  "address = 127.0.0.1:6379\n"                                                                     \
  "[pool local]\n"                                                                                 \
  "run_type = cgi\n"                                                                               \
  "address = 127.0.0.1:9000\n"                                                                     \
  "[queue msg]\n"                                                                                  \
  "password = secret\n"                                                                            \
  "[topic msg/reply]\n"                                                                            \
  "pool = local\n"                                                                                 \
  "entry = /srv/w.php\n"

static char said[300000];

/* The passwords of these tests are short, and all but one have something else to look at. */
static bool weak_told;
static void take_weak_out(void) {
  char *line = strstr(said, "warning: "), *end;
  for (weak_told = false; line; line = strstr(line, "warning: ")) {
    end = strchr(line, '\n') + 1;
    char *weak = strstr(line, "it is shorter than 12 characters");
    if (weak && weak < end) {
      weak_told = true;
      memmove(line, end, strlen(end) + 1);
    } else {
      line = end;
    }
  }
}

static struct settings *load(const char *text) {
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  int rc = settings_parse("t.ini", text, strlen(text), &types, out, &s);
  fclose(out);
  take_weak_out();
  if ((rc == 0) != (s != NULL)) bail_out("rc %d with a snapshot at %p", rc, (void *)s);
  return s;
}

static struct settings *load_file(const char *path) {
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  settings_load(path, &types, out, &s);
  fclose(out);
  take_weak_out();
  return s;
}

/* Refused, with this line among what is said. */
static void bad(const char *text, const char *line) {
  struct settings *s = load(text);
  ok(!s, "refused: %s", line);
  like(said, line, "and says so");
  settings_unref(s);
}

/* Refused, and nothing but this said. */
static void bad_only(const char *text, const char *lines) {
  struct settings *s = load(text);
  ok(!s, "refused");
  is_str(said, lines, "and only that");
  settings_unref(s);
}

static struct settings *good(const char *text, const char *name) {
  struct settings *s = load(text);
  ok(s != NULL, "%s", name);
  is_str(said, "", "without a word");
  if (!s) bail_out("%s", said);
  return s;
}

static void warns(const char *text, const char *line) {
  struct settings *s = load(text);
  ok(s != NULL, "accepted: %s", line);
  like(said, line, "with a warning");
  settings_unref(s);
}

static void test_defaults(void) {
  struct settings *s = good(BASE, "the small file");
  const struct server_settings *v = &s->server;
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  is_str(v->node, host, "node is the host name");
  is_str(v->listen[0], "127.0.0.1:12017", "listen");
  ok(!v->listen[1], "one address");
  is_str(v->admin, "127.0.0.1:19840", "admin");
  ok(!v->systems[0], "all systems");
  is_str(v->state_dir, "/var/lib/pepperbus", "state_dir");
  ok(v->plugin_dir[0] == '/', "plugin_dir");
  is_int(v->max_clients, 10000, "max_clients");
  is_int(v->max_job_size, 8 << 20, "max_job_size");
  is_int(v->max_arguments, 1024 * 1024, "max_arguments");
  is_int(v->max_output, 64 << 20, "max_output");
  is_int(v->max_inflight, 10000, "max_inflight");
  is_int(v->auth_timeout_ms, 10000, "auth_timeout");
  is_int(v->auth_attempts, 10, "auth_attempts");
  is_int(v->drain_timeout_ms, 30000, "drain_timeout");
  is_int(v->log_level, PB_LOG_INFO, "log_level");
  is_int(v->log_format, 0, "log_format");
  const struct storage_settings *st = s->storages[0];
  is_str(st->address, "127.0.0.1:6379", "storage address");
  ok(!*st->username && !*st->password && !st->db && !st->managed && !st->system, "storage");
  is_str(st->server_binary, "redis-server", "server_binary");
  ok(st->connect_timeout_ms == 2000 && st->command_timeout_ms == 10000 && st->lease_ms == 10000 &&
         st->max_inflight == 100000,
     "storage limits");
  const struct pool_settings *p = s->pools[0];
  ok(p->transport == &cgi && p->max_connections == 16 && !p->concurrency && p->reserve == 1,
     "pool");
  const struct cgi_pool *pc = p->conf;
  is_str(pc->address[0], "127.0.0.1:9000", "the plugin's key of a pool");
  is_int(pc->idle_ms, 5, "and its default");
  is_int(p->conf_size, sizeof *pc, "its size");
  const struct queue_settings *q = s->queues[0];
  ok(!q->system && !q->max_length && !q->max_bytes && !q->retain_ms, "queue");
  is_int(q->n_topics, 1, "its topics");
  const struct topic_settings *t = q->topics[0];
  ok(t == s->topics[0] && t->queue == q && t->storage == st && t->pool == p, "references");
  is_str(t->name, "reply", "topic name");
  is_str(t->path, "msg/reply", "topic path");
  is_str(t->run_type, "cgi", "run type is the pool's");
  is_str(t->password, "secret", "password is the queue's");
  ok(t->workers == 10 && t->chunk == 1 && !t->chunk_wait_ms && t->attempts == 5 &&
         t->crashes == 10 && t->timeout_ms == 60000 && t->backoff.from_ms == 1000 &&
         t->backoff.to_ms == 600000 && t->start_from == 0 && t->enabled == 1 && t->here,
     "topic");
  is_str(((const struct cgi_topic *)t->conf)->entry, "/srv/w.php", "the plugin's key of a topic");
  ok(t->pool_conf == p->conf, "its pool's configuration");
  is_str(t->place.file, "t.ini", "place");
  is_int(t->place.line, 8, "line");
  ok(settings_ref(s) == s, "a reference");
  settings_unref(s);
  is_str(s->file, "t.ini", "still there");
  settings_unref(s);
  settings_unref(NULL);

  s = good("", "an empty file");
  is_int(s->n_topics, 0, "has no topics");
  ok(!settings_queue(s, "msg", 3), "and no queue");
  settings_unref(s);
}

static void test_all_keys(void) {
  struct settings *s = good(
      "[server]\nnode = web1\nlisten = 0.0.0.0:12017, [::1]:12017, unix:/run/p.sock\nadmin =\n"
      "systems = live\nstate_dir = /tmp/s\nplugin_dir = /tmp/p\nmax_clients = 5\n"
      "max_job_size = 1mb\nmax_arguments = 100\nmax_output = 1mb\nmax_inflight = 3\n"
      "auth_timeout = 1s\nauth_attempts = 4\ndrain_timeout = 0\nlog_level = debug\n"
      "log_format = json\n"
      "[system live]\ntitle = \"Live; rooms\"\n[system passport]\n"
      "[storage main]\nsystem = live\naddress = unix:/run/redis.sock\nusername = u\n"
      "password = \"a ; b\"\ndb = 3\nconnect_timeout = 1s\ncommand_timeout = 5s\nlease = 20s\n"
      "max_inflight = 50\nmax_connections = 2\n"
      "[storage own]\nmanaged = yes\nserver_binary = /opt/redis-server\nsystem = passport\n"
      "[pool local]\nrun_type = cgi\naddress = a, b\nmax_connections = 3\nidle = 1s\n"
      "concurrency = auto\nreserve = 4\n"
      "[pool wide]\nrun_type = cgi\naddress = a\nconcurrency = auto\n"
      "[queue msg]\nsystem = live\npassword = x\nmax_length = 10\nmax_bytes = 1gb\nretain = 7d\n"
      "[topic msg/a:b.c-d_e]\nstorage = main\nrun_type = cgi\npool = local\nentry = /e\n"
      "password = own\nworkers = 3\nchunk = 32\nchunk_wait = 300ms\ntimeout = 5m\nattempts = "
      "1\ncrashes = 2\n"
      "backoff = 2s..4s\nstart_from = beginning\nenabled = no\n"
      "[queue other]\nsystem = passport\npassword = x\n"
      "[topic other/x]\nrun_type = direct\ncommand = true\n"
      "[user root]\nrole = viewer\nsystems = live, passport\n"
      "password = sha256:s:0000000000000000000000000000000000000000000000000000000000000000\n",
      "every key");
  is_str(s->server.listen[2], "unix:/run/p.sock", "listen");
  is_str(s->server.admin, "", "no admin port");
  is_int(s->server.log_level, PB_LOG_DEBUG, "log_level");
  is_str(s->systems[0]->title, "Live; rooms", "title");
  is_str(s->storages[0]->password, "a ; b", "a quoted password");
  ok(s->storages[0]->system == s->systems[0] && s->storages[1]->managed, "storages");
  const struct topic_settings *t = settings_topic(s, "msg/a:b.c-d_e", 13);
  ok(t && t->here && !t->enabled && t->start_from == 1 && t->chunk == 32 && t->chunk_wait_ms == 300,
     "topic");
  is_str(t->password, "own", "its own password");
  is_int(((const struct cgi_pool *)t->pool_conf)->max_connections, 3,
         "a key of core and plugin is set in both");
  ok(t->pool->concurrency == 1 && t->pool->reserve == 4, "concurrency");
  is_int(s->pools[1]->max_connections, 128, "the bound of auto where none is given");
  t = settings_topic(s, "other/x", 7);
  ok(t && !t->here, "a topic of a system that this node does not run");
  ok(t->storage == s->storages[1], "has the only storage that fits");
  ok(!t->pool && t->transport == &direct && t->pool_conf, "needs no pool");
  ok(s->users[0]->n_systems == 2 && s->users[0]->systems[1] == s->systems[1] &&
         s->users[0]->role == 2,
     "user");
  settings_unref(s);
}

static void test_values(void) {
  bad_only(BASE "timeout = 60\n",
           "t.ini:11: [topic msg/reply] timeout = 60: a duration needs a unit; write 60s, or a "
           "value such as 250ms, 5m, 1h or 7d\n");
  bad(BASE "workers = 0\n",
      "t.ini:11: [topic msg/reply] workers = 0: out of range; allowed is 1 to 100000");
  bad(BASE "backoff = 10m..1s\n", "backoff = 10m..1s: the range runs backwards; write 1s..10m");
  bad(BASE "enabled = maybe\n", "enabled = maybe: write yes or no");
  bad(BASE "start_from = begining\n", "did you mean beginning?");
  bad(BASE "wrokers = 3\n", "t.ini:11: [topic msg/reply] wrokers: there is no such key; did you "
                            "mean workers?");
  bad(BASE "entri = 3\n", "did you mean entry?");
  bad(BASE "[queue b]\npassword=x\nworkers = 3\n",
      "t.ini:13: [queue b] workers: this key belongs in a [topic] section");
  bad("[topic msg/x]\nrun_type = direct\ncommand = x\nrounds = 3\n",
      "t.ini:4: [topic msg/x] rounds: this key belongs to run type cgi, and this topic has another "
      "run type; delete the key");
  warns(BASE "[pool p]\nrun_type = cgi\naddress = h:1\nreserve = 2\n",
        "warning: t.ini:14: [pool p] reserve = 2: reserve has no effect with a fixed number");
  bad(BASE "[queue b]\npassword=x\nzzz = 3\n",
      "zzz: there is no such key; there are system, password, password_file, max_length");
  bad(BASE "workers = 3\nworkers = 4\n",
      "t.ini:12: [topic msg/reply] workers: stands here twice, first at t.ini:11; delete one");
  bad(BASE "entry = /x\n",
      "t.ini:11: [topic msg/reply] entry: stands here twice, first at t.ini:10");
  bad(BASE "[topic msg/reply]\npool=local\nentry=/x\n",
      "t.ini:11: [topic msg/reply]: this section stands here twice, first at t.ini:8");
  bad("[server]\n[server]\n",
      "t.ini:2: [server]: this section stands here twice, first at t.ini:1");
  bad("[server x]\n", "t.ini:1: [server x]: the server has no name; write [server] and node = x");
  bad("[queu msg]\n", "t.ini:1: [queu msg]: there is no such section; did you mean [queue msg]?");
  bad("[blah]\n", "t.ini:1: [blah]: there is no such section; there are [server]");
  bad("[queue]\npassword=x\n", "t.ini:1: [queue]: a queue needs a name; write [queue msg]");
  bad("[topic reply]\n", "a topic is named with its queue; write [topic QUEUE/reply]");
  bad("[system a/b]\n", "t.ini:1: [system a/b]: a name has 1 to 128 letters, digits");
}

static void test_names(void) {
  char name[140], text[2000];
  memset(name, 'n', sizeof name);
  name[128] = 0;
  snprintf(text, sizeof text,
           "[system %s]\n[storage %s]\nmanaged=yes\n[pool %s]\nrun_type=cgi\naddress=a\n"
           "[queue %s]\npassword=x\n[topic %s/%s]\npool=%s\nentry=/x\n",
           name, name, name, name, name, name, name);
  struct settings *s = good(text, "names of 128 characters");
  snprintf(text, sizeof text, "%s/%s", name, name);
  ok(settings_topic(s, text, 257) == s->topics[0], "found by its path of 257");
  ok(!settings_topic(s, text, 256) && !settings_queue(s, name, 127), "not by a part of it");
  ok(settings_queue(s, name, 128) == s->queues[0], "the queue");
  settings_unref(s);
  name[128] = 'n';
  name[129] = 0;
  snprintf(text, sizeof text, "[queue %s]\npassword=x\n", name);
  bad(text, "a name has 1 to 128 letters");
  bad("[queue a b]\npassword=x\n", "[queue a b]: a name has 1 to 128");
  bad("[storage ..]\nmanaged=yes\n", "[storage ..]: a name has 1 to 128");
  bad("[queue \xc3\xa4]\npassword=x\n", "a name has 1 to 128");
  bad("[topic a/b/c]\n", "[topic a/b/c]: a name has 1 to 128");
  bad("[topic a/]\n", "a name has 1 to 128");
  bad("[topic /b]\n", "a name has 1 to 128");
}

static void test_references(void) {
  bad_only(BASE "storage = mian\n",
           "t.ini:11: [topic msg/reply] storage = mian: there is no [storage mian]; did you mean "
           "main?\n");
  bad(BASE "storage = zzz\n", "there is no [storage zzz]; there is main");
  bad("[queue q]\npassword=x\nsystem=s\n", "system = s: there is no [system s]; add that section");
  bad(BASE "[topic msg/x]\npool = lokal\nentry=/x\n", "t.ini:12: [topic msg/x] pool = lokal: there "
                                                      "is no [pool lokal]; did you mean local?");
  bad(BASE "[topic mgs/x]\npool = local\nentry=/x\n",
      "t.ini:11: [topic mgs/x]: there is no [queue mgs]; did you mean msg?");
  bad("[server]\nsystems = liev\n[system live]\n",
      "t.ini:2: [server] systems = liev: there is no [system liev]; did you mean live?");
  bad("[system live]\n[user u]\nrole=admin\npassword=$ecret\nsystems=live, dead\n",
      "t.ini:5: [user u] systems = live, dead: there is no [system dead]");
  warns(BASE "[queue idle]\npassword=x\n", "warning: t.ini:11: [queue idle]: no topic subscribes");

  bad(BASE "[storage two]\naddress=h:1\n",
      "t.ini:8: [topic msg/reply]: storage is missing; there are several, say which (storage = "
      "main)");
  bad("[queue q]\npassword=x\n[topic q/t]\nrun_type=direct\ncommand=x\n",
      "t.ini:3: [topic q/t]: storage is missing; add [storage main]");
  bad("[system a]\n[system b]\n[storage s]\nmanaged=yes\nsystem=b\n[queue q]\npassword=x\n"
      "system=a\n[topic q/t]\nrun_type=direct\ncommand=x\n",
      "t.ini:9: [topic q/t]: storage is missing; no [storage] belongs to system a or to none");
  bad("[system a]\n[system b]\n[storage s]\nmanaged=yes\nsystem=b\n[queue q]\npassword=x\n"
      "system=a\n[topic q/t]\nstorage=s\nrun_type=direct\ncommand=x\n",
      "t.ini:10: [topic q/t] storage = s: it belongs to system b and queue q to system a");
  bad("[system a]\n[system b]\n[queue q]\npassword=x\n",
      "t.ini:3: [queue q]: system is missing; there are several, say which (system = a)");

  bad(BASE "run_type = direct\ncommand = x\n",
      "t.ini:9: [topic msg/reply] pool = local: its run type is cgi and this topic's direct");
  bad(BASE "[topic msg/x]\nrun_type = cgi\nentry=/x\n",
      "t.ini:11: [topic msg/x]: pool is missing; run type cgi needs one (for its address), such as "
      "pool = local");
  bad(BASE "[topic msg/x]\nentry=/x\n",
      "t.ini:11: [topic msg/x]: run_type is missing; write pool = NAME or run_type = ..., there "
      "are cgi, direct");
  bad(BASE "[pool p]\nrun_type=cig\naddress=a\n", "run_type = cig: no plugin provides this run "
                                                  "type; did you mean cgi?");
  bad(BASE "[pool p]\nrun_type=soap\naddress=a\n", "t.ini:12: [pool p] run_type = soap: no plugin "
                                                   "provides this run type; there are cgi, direct");
  unlike(said, "address", "keys of an unknown run type are not looked at");
  bad(BASE "[topic msg/x]\nrun_type=soap\n", "t.ini:12: [topic msg/x] run_type = soap: no plugin");
  bad(BASE "[pool p]\nrun_type=cgi\n", "t.ini:11: [pool p]: address is missing; Where php-fpm");
  bad(BASE "[pool p]\nrun_type=cgi\naddress =\n", "t.ini:13: [pool p] address = : the value is "
                                                  "missing");
  bad(BASE "[pool p]\naddress = x\n", "t.ini:11: [pool p]: run_type is missing");
  bad(BASE "[pool p]\nrun_type=cgi\naddress=x\nidle=13ms\n",
      "t.ini:14: [pool p] idle = 13ms: 13 brings bad luck");
  bad("[storage s]\nmanaged=yes\n[pool p]\nrun_type=cgi\naddress=x\n[queue q]\npassword=x\n"
      "[topic q/t]\npool=p\nentry=w.php\n",
      "t.ini:10: [topic q/t] entry = w.php: an absolute path is needed");
  /* What a URL holds of secrets is not quoted. */
  bad("[storage s]\nmanaged=yes\n[pool p]\nrun_type=cgi\naddress=x\n[queue q]\npassword=x\n"
      "[topic q/t]\npool=p\nentry=http://me:geheim@w/a@b\n",
      "t.ini:10: [topic q/t] entry = http://***@w/a@b: an absolute path is needed");
  bad(BASE "[topic msg/x]\nrun_type=direct\ncommand=x\nchunk=2\n",
      "t.ini:14: [topic msg/x] chunk = 2: run type direct carries one job in a request");
  warns(BASE "rounds = 2\n", "warning: t.ini:11: [topic msg/reply] rounds = 2: No longer needed");
  warns(BASE "workers = 17\n",
        "warning: t.ini:11: [topic msg/reply] workers = 17: pool local carries 16 requests");
  warns(BASE "chunk_wait = 1s\n",
        "warning: t.ini:11: [topic msg/reply] chunk_wait = 1s: chunk = 1: every request is full");

  struct settings *s = load(BASE), *none = NULL;
  const struct settings_types no_types = {0};
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  is_int(settings_parse("t.ini", BASE, strlen(BASE), &no_types, out, &none), -EINVAL, "no plugins");
  fclose(out);
  like(said,
       "t.ini:4: [pool local] run_type = cgi: no plugin provides this run type; no plugin is "
       "loaded from /",
       "says where they were looked for");
  ok(!none, "no snapshot");
  settings_unref(s);
}

static void test_storages(void) {
  bad("[storage s]\n",
      "t.ini:1: [storage s]: address is missing; write address = 127.0.0.1:6379, or "
      "managed = yes");
  bad("[storage s]\nmanaged=yes\naddress=h:1\n", "t.ini:3: [storage s] address = h:1: a managed "
                                                 "storage has no address");
  bad("[storage s]\naddress=h:1\n[storage t]\naddress=h:1\n",
      "t.ini:4: [storage t] address = h:1: [storage s] (t.ini:1) has the same address and db");
  settings_unref(good("[storage s]\naddress=h:1\n[storage t]\naddress=h:1\ndb=1\n"
                      "[storage u]\nmanaged=yes\n[storage v]\nmanaged=yes\n",
                      "storages side by side"));
  bad("[storage s]\naddress=h:1\nusername=u\n",
      "t.ini:3: [storage s] username = u: a user without");
  static const struct {
    const char *address, *why;
  } broken[] = {{"localhost", "write HOST:PORT"},
                {":6379", "write HOST:PORT"},
                {"h:", "write HOST:PORT"},
                {"h:x", "the port 'x' is not one of 1 to 65535"},
                {"h:0", "the port '0'"},
                {"h:65536", "the port '65536'"},
                {"1.2.3.256:1", "'1.2.3.256' is neither an IP address nor a host name"},
                {"a b:1", "'a b' is neither"},
                {"-x:1", "'-x' is neither"},
                {"::1:6379", "write [::1]:6379"},
                {"[::g]:1", "'::g' is no IPv6 address"},
                {"unix:rel", "a socket's path is absolute"},
                {"/run/r.sock", "for a socket write unix:/run/r.sock"}};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    char text[200];
    snprintf(text, sizeof text, "[storage s]\naddress = %s\n", broken[i].address);
    bad(text, broken[i].why);
  }
  static const char *const sound[] = {"127.0.0.1:6379", "[::1]:6379", "localhost:1",
                                      "redis-1.x:65535", "unix:/a"};
  for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
    char text[200];
    snprintf(text, sizeof text, "[storage s]\naddress = %s\n", sound[i]);
    settings_unref(good(text, sound[i]));
  }
  char text[300];
  snprintf(text, sizeof text, "[server]\nlisten = unix:/%0120d\n", 1);
  bad(text, "the path of a socket has at most 107 bytes, this one has 121");
}

static void test_server(void) {
  bad("[server]\nlisten = 12017\n", "t.ini:2: [server] listen = 12017: write HOST:PORT (0.0.0.0 is "
                                    "every address)");
  bad("[server]\nlisten = h:1, h:1\n", "h:1 stands here twice");
  bad("[server]\nlisten = h:1\nadmin = h:1\n", "t.ini:3: [server] admin = h:1: producers connect "
                                               "there already");
  bad("[server]\nnode = a b\n", "t.ini:2: [server] node = a b: a name has");
  bad("[server]\nstate_dir =\n", "t.ini:2: [server] state_dir = : a folder is needed");
  bad("[server]\nlog_level = warn\n", "did you mean warning?");
  bad("[server]\nmax_job_size = 8\n", "out of range; allowed is 1kb to 512mb");
  bad("[storage x]\nmax_connections = 1\n", "out of range; allowed is 2 to 1000");
  bad("[server]\ninclude = x.ini\n", "only files can include others");
  warns("[server]\nlisten =\n", "warning: t.ini:2: [server] listen = : no address");
  settings_unref(good("[server]\nlisten = 127.0.0.1:0, 127.0.0.1:0\nadmin = 127.0.0.1:0\n",
                      "any free port, for tests"));
}

static void test_secrets(void) {
  char hash[256], text[600];
  bad("[queue q]\n", "t.ini:1: [queue q]: password is missing, producers could not authenticate");
  bad("[queue q]\npassword =\n", "t.ini:2: [queue q] password: password is missing");
  bad(BASE "password = sha256:salt:12\n",
      "t.ini:11: [topic msg/reply] password: a broken hash; it is sha256:SALT:HEX");
  bad("[queue q]\npassword = $6$salt$x\n", "t.ini:2: [queue q] password: a crypt hash is slow");
  bad(BASE "chunk = 77\n",
      "t.ini:11: [topic msg/reply] chunk = 77: msg/reply and 77 go ill together");
  /* What is not there stops no broker that starts, and is nothing to a topic that does not run. */
  bad(BASE "chunk = 78\n", "t.ini:10: [topic msg/reply] entry = /srv/w.php: there is no such file");
  settings_unref(good(BASE "chunk = 78\nenabled = no\n", "it need not be there"));
  bad_only(BASE "chunk = 78\n"
                "[topic msg/b]\npool = local\nentry = /b.php\nchunk = 78\nworkers = x\n"
                "[topic msg/c]\npool = local\nentry = /c.php\nchunk = 78\n",
           "t.ini:10: [topic msg/reply] entry = /srv/w.php: there is no such file\n"
           "t.ini:16: [topic msg/b] workers = x: a whole number is needed, as in 10\n"
           "t.ini:19: [topic msg/c] entry = /c.php: there is no such file\n");
  bad_only(BASE "chunk = 78\n[pool p]\nrun_type = cgi\naddress = h:1\nmax_connections = 0\n"
                "[topic msg/b]\npool = p\nentry = /b.php\nchunk = 78\n",
           "t.ini:10: [topic msg/reply] entry = /srv/w.php: there is no such file\n"
           "t.ini:15: [pool p] max_connections = 0: out of range; allowed is 1 to 100000\n");
  types.starting = true;
  warns(BASE "chunk = 78\n",
        "warning: t.ini:10: [topic msg/reply] entry = /srv/w.php: there is no such file; the topic "
        "does not run, its jobs are kept");
  warns(BASE "chunk = 79\n",
        "warning: t.ini:8: [topic msg/reply]: the transport refuses this without saying why; the "
        "topic does not run");
  bad(BASE "chunk = 77\n", "go ill together");
  types.starting = false;
  bad(BASE "signing_key = short\n", "t.ini:11: [topic msg/reply] signing_key");
  unlike(said, "= short", "whose value is not shown");
  bad(BASE "signing_key = 0123456789abcdef\nsigning_key_file = b\n",
      "t.ini:12: [topic msg/reply] signing_key_file = b: signing_key and signing_key_file are "
      "both here");
  bad(BASE "password = a\npassword_file = b\n",
      "t.ini:12: [topic msg/reply] password_file = b: password and password_file are both here");
  warns(BASE "password = se ;cret\n", "warning: t.ini:11: [topic msg/reply] password: what follows "
                                      "the ';' or '#' is a comment");
  settings_unref(
      good(BASE "password = secret ; for pull workers\n", "a comment behind a password"));
  bad("[user u]\npassword=x\n", "t.ini:1: [user u]: role is missing");
  bad("[user u]\nrole=admin\n", "t.ini:1: [user u]: password is missing; make a hash");
  bad("[user u]\nrole=admin\npassword=$y$j9T$x\n", "t.ini:3: [user u] password: a broken hash");
  warns("[user u]\nrole=admin\npassword=x\n", "warning: t.ini:3: [user u] password: a password in "
                                              "clear");
  secret_hash("x", 1, hash, sizeof hash);
  snprintf(text, sizeof text, "[storage s]\naddress=h:1\npassword=%s\n", hash);
  bad(text, "t.ini:3: [storage s] password: Redis needs the password itself");
  secret_hash_user("x", 1, hash, sizeof hash);
  snprintf(text, sizeof text, "[user u]\nrole=admin\npassword=%s\n", hash);
  settings_unref(good(text, "a yescrypt hash"));
  /* No message ever shows a secret, whatever else is wrong with its line. */
  load("[queue q]\npassword = hush1\npassword = hush2\n[user u]\npassword=hush3\n"
       "[storage s]\npassword=sha256:hush4\npasswrd=\n[topic q/t]\ntoken = hush5\ntoken = hush6\n"
       "password = $y$hush7\nrun_type = cgi\n");
  unlike(said, "hush", "no secret is told");
}

/* All faults of a file at once. */
static void test_everything_at_once(void) {
  bad_only(
      "[server]\nlog_level = loud\n[storage s]\n[pool p]\nrun_type = cgi\njunk\n"
      "[queue q]\n[topic q/t]\ntimeout = 5\nstorage = x\n",
      "t.ini:2: [server] log_level = loud: write error, warning, info or debug\n"
      "t.ini:3: [storage s]: address is missing; write address = 127.0.0.1:6379, or managed = "
      "yes for a private redis-server\n"
      "t.ini:4: [pool p]: address is missing; Where php-fpm listens.\n"
      "t.ini:6: 'junk' is neither a section nor a key; write [type name], key = value or "
      "; comment\n"
      "t.ini:7: [queue q]: password is missing, producers could not authenticate; add password "
      "or password_file\n"
      "t.ini:8: [topic q/t]: run_type is missing; write pool = NAME or run_type = ..., there "
      "are cgi, direct\n"
      "t.ini:9: [topic q/t] timeout = 5: a duration needs a unit; write 5s, or a value such as "
      "250ms, 5m, 1h or 7d\n"
      "t.ini:10: [topic q/t] storage = x: there is no [storage x]; there is s\n");
}

static void file_put(const char *path, const char *text, mode_t mode) {
  FILE *f = fopen(path, "w");
  if (!f || fputs(text, f) < 0) bail_out("%s: %m", path);
  fclose(f);
  chmod(path, mode);
}

/* The parts of test_files(), in a folder of their own, `real`. */

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
  char dir[] = "/tmp/test_settings.XXXXXX", real[4096], command[100];
  if (!mkdtemp(dir) || chdir(dir) || !getcwd(real, sizeof real)) bail_out("%s: %m", dir);
  names_are_relative_to_their_file(real);
  password_files();
  one_key_in_two_files();
  peeking_reads_server_alone(real);
  if (chdir("/")) bail_out("/: %m");
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command)) diag("%s is left behind", dir);
}

/* Lookups among many. */
/* @case X1: a password that can be guessed is warned of, one that cannot be, or a hash, is not */
static void test_weak_passwords(void) {
  char hash[200], text[600];
  struct settings *s = load(BASE);
  ok(weak_told, "six characters");
  settings_unref(s);
  secret_hash("secret", 6, hash, sizeof hash);
  const char *const strong[] = {"abcdefghijkl", hash};
  for (int i = 0; i < 2; i++) {
    snprintf(text, sizeof text,
             "[storage main]\naddress = 127.0.0.1:6379\n[queue q]\npassword = %s\n"
             "[topic q/t]\nrun_type = direct\ncommand = x\n",
             strong[i]);
    s = load(text);
    ok(s && !weak_told, "%.12s", strong[i]);
    settings_unref(s);
    strcat(text, "password = short\n");
    s = load(text);
    ok(s && weak_told, "and a topic's own");
    settings_unref(s);
  }
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

static void test_lookup(void) {
  char *text = NULL, path[64];
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  fputs("[storage s]\nmanaged=yes\n[pool p]\nrun_type=cgi\naddress=x\n", f);
  for (int q = 0; q < 100; q++) {
    fprintf(f, "[queue q%d]\npassword=x\n", q);
    for (int t = 0; t < 20; t++) fprintf(f, "[topic q%d/t%d]\npool=p\nentry=/x\n", q, t);
  }
  fclose(f);
  struct settings *s = good(text, "2000 topics");
  bool found = true;
  for (int q = 0; q < 100; q++) {
    int n = snprintf(path, sizeof path, "q%d", q);
    const struct queue_settings *queue = settings_queue(s, path, (size_t)n);
    found = found && queue && !strcmp(queue->name, path) && queue->n_topics == 20;
    for (int t = 0; found && t < 20; t++) {
      n = snprintf(path, sizeof path, "q%d/t%d", q, t);
      found = settings_topic(s, path, (size_t)n) == queue->topics[t];
    }
  }
  ok(found, "all are found");
  ok(!settings_topic(s, "q1/t20", 6) && !settings_topic(s, "", 0) && !settings_queue(s, "q1/", 3),
     "others are not");
  settings_unref(s);
  free(text);
}

#define RICH                                                                                       \
  "[server]\nnode = n\nsystems = a\nlisten = h:1, unix:/x\n[system a]\ntitle = \"x ; y\"\n"        \
  "[system b]\n[storage s]\naddress = h:2\nsystem = a\npassword = hush\ndb = 2\n"                  \
  "[storage t]\nmanaged = yes\n[pool p]\nrun_type = cgi\naddress = x, y\nmax_connections = 4\n"    \
  "[queue q]\nsystem = a\npassword = hush\nretain = 36h\n[topic q/own]\nstorage = s\npool = p\n"   \
  "entry = \"/w # x.php\"\npassword = hush2\ntoken = hush3\nbackoff = 1500ms..1m\n"                \
  "[topic q/queues]\nstorage = t\nrun_type = direct\ncommand = \"a \\\" \\\\ b ; c\"\n"            \
  "[queue r]\nsystem = b\npassword = hush\nmax_bytes = 1234567\n[topic r/x]\nstorage = t\n"        \
  "pool = p\nentry = /x\nworkers = 3\nenabled = no\nstart_from = beginning\n"                      \
  "[user u]\nrole = operator\nsystems = a, b\n"                                                    \
  "password = sha256:s:0000000000000000000000000000000000000000000000000000000000000000\n"

static char *dump(const struct settings *s) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  settings_dump(s, f);
  fclose(f);
  return text;
}

static bool server_equal(const struct server_settings *a, const struct server_settings *b) {
  const struct kind *k = kind_get(SERVER);
  return options_equal(k->options, a, b, k->public_size);
}

static void test_dump(void) {
  struct settings *a = good(RICH, "a rich file");
  char *text = dump(a);
  unlike(text, "hush", "no secret is dumped");
  unlike(text, "sha256", "nor a hash");
  like(text, "password = ********", "but masked");
  struct settings *b = load(text);
  if (!b) bail_out("%s\n%s", text, said);
  like(said, "warning: t.ini:", "the mask of a user's password is one in clear");
  char *again = dump(b);
  is_str(again, text, "what was dumped is read to the same");
  ok(server_equal(&a->server, &b->server), "server");
  is_int(b->n_topics, a->n_topics, "topics");
  for (size_t i = 0; i < a->n_topics; i++) {
    const struct topic_settings *x = a->topics[i], *y = b->topics[i];
    ok(!strcmp(x->path, y->path) && x->here == y->here && x->enabled == y->enabled &&
           x->backoff.to_ms == y->backoff.to_ms && settings_pool_equal(x->pool, y->pool) &&
           !strcmp(x->storage->name, y->storage->name),
       "topic %s", x->path);
  }
  ok(settings_storage_equal(a->storages[1], b->storages[1]), "a storage without a secret");
  is_str(((const struct direct_topic *)b->topics[1]->conf)->command, "a \" \\ b ; c", "quotes");
  is_int(b->queues[0]->retain_ms, 36 * 3600000, "retain");
  is_int(b->queues[1]->max_bytes, 1234567, "an odd number of bytes");
  ok(b->topics[1]->password == b->queues[0]->password, "a queue's password stays the queue's");
  is_int(b->users[0]->n_systems, 2, "a user's systems");
  free(text);
  free(again);
  settings_unref(a);
  settings_unref(b);
}

/* What settings_changes() says where `was` of RICH, which is there once, is `is`. */
static void changes_are(const char *was, const char *is, const char *want, const char *name) {
  char text[sizeof RICH + 100], *said_of = NULL;
  size_t len = 0;
  const char *at = strstr(RICH, was);
  if (!at) bail_out("%s is not there", was);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RICH), RICH, is, at + strlen(was));
  struct settings *a = good(RICH, "before"), *b = good(text, "after");
  FILE *f = open_memstream(&said_of, &len);
  settings_changes(a, b, f);
  fclose(f);
  is_str(said_of, want, "%s", name);
  free(said_of);
  settings_unref(a);
  settings_unref(b);
}

/* @case V7: a reload names each section in which a secret is another one, and shows none */
static void test_changes(void) {
  changes_are("hush2", "hush2", "nothing changed\n", "the same");
  changes_are("hush\ndb", "hash\ndb", "changed: storage s\n", "a storage's password");
  changes_are("hush3", "hash3", "changed: topic q/own\n", "a secret of a transport");
  changes_are("hush2", "hash2", "changed: topic q/own\n", "a topic's password");
  changes_are("s:00", "s:01", "changed: user u\n", "a user's password");
  changes_are("max_connections = 4", "max_connections = 5", "changed: pool p\n", "no secret");
}

/* Topic q/own of RICH with `to` in the place of `from`. */
static bool topic_same(const char *from, const char *to) {
  struct settings *a = load(RICH), *b;
  char text[4000];
  const char *at = strstr(RICH, from);
  if (!at) bail_out("no '%s'", from);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RICH), RICH, to, at + strlen(from));
  b = load(text);
  if (!a || !b) bail_out("%s", said);
  const struct topic_settings *x = settings_topic(a, "q/own", 5),
                              *y = settings_topic(b, "q/own", 5);
  bool same = settings_topic_equal(x, y) && settings_topic_equal(y, x);
  if (same != (settings_topic_equal(x, x) && same)) same = false;
  settings_unref(a);
  settings_unref(b);
  return same;
}

static void test_equal(void) {
  ok(topic_same("node = n", "node = n"), "equal where nothing changed");
  ok(topic_same("[server]", "\n\n[server]"), "and where only lines moved");
  ok(topic_same("workers = 3", "workers = 4"), "and where another topic changed");
  ok(topic_same("hush2", "hush4"), "and where its password changed, which nothing runs by");
  ok(!topic_same("1500ms", "1501ms"), "not with another backoff");
  ok(!topic_same("/w # x.php", "/v"), "another entry");
  ok(!topic_same("hush3", "hush5"), "another secret of its plugin");
  ok(!topic_same("hush3", "hush3\nsigning_key = 0123456789abcdef"), "another signing key");
  ok(!topic_same("max_connections = 4", "max_connections = 5"), "another window of its pool");
  ok(!topic_same("x, y", "x, z"), "another address of its pool");
  ok(!topic_same("db = 2", "db = 3"), "another database");
  ok(!topic_same("password = hush\ndb", "password = hsuh\ndb"), "another password of its storage");
  ok(!topic_same("retain = 36h", "retain = 37h"), "another retain of its queue");
  ok(!topic_same("systems = a\n", "systems = b\n"), "another node's turn");

  struct settings *a = load(BASE), *b = load("[server]\nlog_level=debug\n" BASE);
  ok(!server_equal(&a->server, &b->server), "server");
  ok(settings_pool_equal(a->pools[0], b->pools[0]) && settings_pool_equal(NULL, NULL) &&
         !settings_pool_equal(a->pools[0], NULL),
     "pools");
  ok(settings_storage_equal(a->storages[0], b->storages[0]), "storages");
  settings_unref(a);
  settings_unref(b);
}

static char *made(void (*fn)(const struct settings_types *, FILE *)) {
  char *text = NULL;
  size_t len = 0;
  FILE *f = open_memstream(&text, &len);
  fn(&types, f);
  fclose(f);
  return text;
}

/* Takes the ';' away from sections and keys; the text of comments has a blank behind it. */
static char *uncomment(const char *text) {
  char *out = strdup(text), *to = out;
  for (const char *p = text; *p; p++)
    if (*p != ';' || (p > text && p[-1] != '\n') || p[1] == ' ') *to++ = *p;
  *to = 0;
  return out;
}

static void test_sample(void) {
  char *text = made(settings_sample), *bare = uncomment(text);
  settings_unref(good(text, "the sample as it stands"));
  const char *const both_keys[] = {"max_clients", "idle", "entry", "backoff", "role", "lease"};
  for (size_t i = 0; i < sizeof both_keys / sizeof *both_keys; i++)
    like(text, both_keys[i], "the sample has %s", both_keys[i]);
  unlike(text, "rounds", "but no deprecated key");
  /* Without its comment signs all but what only one run type has is sound. */
  struct settings *s = load(bare);
  ok(!s, "nobody wants all keys of all run types at once");
  for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
    ok(strstr(line, "command") || strstr(line, "[user admin]") || strstr(line, "warning: "), "%s",
       line);
  settings_unref(s);
  free(text);
  free(bare);

  text = made(settings_reference);
  like(text,
       "| `workers` | number, 1 to 100000 | `10` | **Workers.** Attempts at a time on one node. |",
       "a key with its title");
  like(text, "With `run_type = cgi`, also:", "keys of a plugin");
  like(text, "| `role` | choice: admin, operator or viewer | required |", "a choice");
  free(text);
}

static size_t times(const char *text, const char *what) {
  size_t n = 0;
  for (; (text = strstr(text, what)); text++) n++;
  return n;
}

/* What run types have alike stands in the reference and the manual once, under all their names. */
static void test_shared_options(void) {
  static const struct pb_option one[] = {
      {.name = "entry", .type = PB_OPT_STRING, .help = "Of the one."},
      {.name = "user", .type = PB_OPT_STRING, .offset = 8, .help = "Who runs it."},
      {.name = "nice", .type = PB_OPT_INT, .offset = 16, .max = 9},
      {0}};
  static const struct pb_option two[] = {
      {.name = "user", .type = PB_OPT_STRING, .help = "Who runs it."},
      {.name = "entry", .type = PB_OPT_STRING, .offset = 8, .help = "Of the other."},
      {.name = "nice", .type = PB_OPT_INT, .offset = 16, .max = 8},
      {0}};
  struct pb_transport t[3] = {{.run_type = "a", .topic_options = one},
                              {.run_type = "b", .topic_options = two},
                              {.run_type = "c", .topic_options = one}};
  const struct pb_transport *const list[] = {&t[0], &t[1], &t[2]};
  for (size_t i = 0; i < 3; i++) t[i].option_size = sizeof(struct pb_option);
  const struct settings_types before = types;
  types = (struct settings_types){.transports = list, .n = 3};
  char *text = made(settings_reference);
  is_int((int64_t)times(text, "| `user` |"), 1, "a key that all have alike stands there once");
  is_int((int64_t)times(text, "`run_type = a`, `b` or `c`, also:"), 1, "under the names of all");
  is_int((int64_t)times(text, "`run_type = a` or `c`, also:"), 1, "what two have under theirs");
  is_int((int64_t)times(text, "With `run_type = b`, also:"), 1, "what one has under its own");
  is_int((int64_t)(times(text, "Of the one.") + times(text, "Of the other.")), 2,
         "other keys of one name stay apart");
  is_int((int64_t)times(text, "| `nice` |"), 2, "those with other limits too");
  free(text);
  text = made(settings_manual);
  is_int((int64_t)times(text, "**user**"), 1, "the manual has it once as well");
  free(text);
  types = before;
}

static void test_broken_plugin(void) {
  static const struct pb_option broken[] = {{.name = "a", .type = 77}, {0}};
  const struct pb_transport odd = {.option_size = sizeof(struct pb_option),
                                   .run_type = "odd",
                                   .topic_options = broken,
                                   .topic_conf_size = 8};
  const struct pb_transport *const list[] = {&odd, &cgi};
  const struct settings_types odd_types = {.transports = list, .n = 2};
  struct settings *s = NULL;
  FILE *out = fmemopen(said, sizeof said, "w");
  memset(said, 0, sizeof said);
  is_int(settings_parse("t.ini", BASE, strlen(BASE), &odd_types, out, &s), -EINVAL,
         "a plugin with a table of unknown types");
  fclose(out);
  like(said, "the plugin for run type odd cannot be used: its table of keys: a: type 77",
       "is told");
}

int main(void) {
  test_defaults();
  test_all_keys();
  test_values();
  test_names();
  test_references();
  test_storages();
  test_server();
  test_secrets();
  test_everything_at_once();
  test_weak_passwords();
  test_files();
  test_readable_files();
  test_lookup();
  test_dump();
  test_changes();
  test_equal();
  test_sample();
  test_shared_options();
  test_broken_plugin();
  return done_testing();
}
