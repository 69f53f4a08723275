/* Each way of being unsound is told with its place and with what would be right. */
#include "unit/config/settings_fixture.h"

#include "base/secret.h"

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
  test_names();
  test_references();
  test_storages();
  test_server();
  test_secrets();
  test_everything_at_once();
  test_weak_passwords();
  test_broken_plugin();
  return done_testing();
}
