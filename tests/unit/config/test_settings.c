/* The snapshot: every key with its default and its value, found by name, compared. */
#include "unit/config/settings_fixture.h"

#include <unistd.h>

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

/* Among many. */
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

int main(void) {
  test_defaults();
  test_all_keys();
  test_values();
  test_lookup();
  test_equal();
  return done_testing();
}
