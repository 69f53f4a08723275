/* Owns the checks that one table cannot express: references between sections, secrets, addresses,
 * and sense.
 *
 * Must never happen: a snapshot with a reference that leads nowhere. So an unresolved reference is
 * a fault, and a faulty build never becomes a snapshot.
 */
#include "config/private.h"

#include "base/address.h"
#include "base/network.h"
#include "base/secret.h"
#include "base/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PB_PLUGIN_DIR
#define PB_PLUGIN_DIR "/usr/lib/pepperbus"
#endif
#ifndef PB_CONSOLE_DIR
#define PB_CONSOLE_DIR "/usr/share/pepperbus/console"
#endif

#define SIGNING_KEY_MIN     16 /* characters */
#define CLIENT_PASSWORD_MIN 12
#define FILES_TOLD          64 /* of the files that everyone can read */
#define SECRET_FILE_MAX     4096
#define NAMES_SHOWN         6
#define LISTEN_MAX          64
#define AUTO_CONNECTIONS    128 /* max_connections where concurrency = auto and none is given */
#define HOST_NAME_SIZE      256

static const struct section *section_named(const struct build *b, enum kind_id id,
                                           const char *name) {
  return name_index_get(&b->names[id], name, strlen(name));
}

/* "[system liev]" where that is missing: what to say. */
static const char *missing_text(const struct build *b, enum kind_id id, const char *name) {
  const char *what = kind_get(id)->name;
  struct suggest near = {.want = name};
  /* Thousands of them would each look at thousands of names. */
  if (faults_many(b->faults))
    return arena_printf(b->scratch, "there is no [%s %.128s]", what, name);
  for (const struct section *i = b->sections[id]; i; i = i->next) suggest_offer(&near, i->name);
  if (near.best)
    return arena_printf(b->scratch, "there is no [%s %.128s]; did you mean %s?", what, name,
                        near.best);
  char all[768] = "";
  size_t len = 0, n = 0;
  for (const struct section *i = b->sections[id]; i && n < NAMES_SHOWN && len < sizeof all;
       i = i->next)
    len += (size_t)snprintf(all + len, sizeof all - len, "%s%.128s", n++ ? ", " : "", i->name);
  if (!n) return arena_printf(b->scratch, "there is no [%s %.128s]; add that section", what, name);
  return arena_printf(b->scratch, "there is no [%s %.128s]; there %s %s%s", what, name,
                      n > 1 ? "are" : "is", all, n < b->n_sections[id] ? " and more" : "");
}

/* Finds the section that `name` under `key` names. NULL and a fault if there is none. A shared
 * section may name one that another node has, and has a stand-in for it then. A file may not lean
 * on what is shared: it must be sound before anything shared is known. */
static void *reference(struct build *b, const struct section *section, const char *key,
                       enum kind_id id, const char *name) {
  const struct section *found = section_named(b, id, name);
  if (found && found->shared && !section->shared && section->id != SERVER) {
    section_fault(b, section, key,
                  "[%s %.128s] stands in the shared configuration, and a file of the node cannot "
                  "use it; write one of the two where the other is",
                  kind_get(id)->name, name);
    return NULL;
  }
  if (!found) section_lack(b, section, key, "%s", missing_text(b, id, name));
  return found ? found->raw : shared_stand_in(b, section, id, name);
}

/* Paths and secrets. */

/* `path`, relative to the folder of `file`, as an absolute path. */
static const char *path_resolve(struct arena *a, const char *file, const char *path) {
  if (*path == '/') return path;
  const char *slash = strrchr(file, '/');
  size_t len = slash ? (size_t)(slash - file) + (slash == file) : 1;
  char *folder = arena_text(a, slash ? file : ".", len);
  char *real = realpath(folder, NULL);
  while (path[0] == '.' && path[1] == '/') path += 2;
  const char *base = real ? real : folder;
  const char *joined =
      arena_printf(a, "%s%s%s", strcmp(base, "/") ? base : "", "/", strcmp(path, ".") ? path : "");
  free(real);
  return joined;
}

/* The first line of a secret's file, or NULL and a fault. */
static const char *secret_read(struct build *b, const struct section *section, const char *key,
                               const char *name) {
  const struct ini_entry *e = section_entry(section, key);
  const char *path = path_resolve(b->scratch, e ? e->place.file : "", name), *ret = NULL;
  char text[SECRET_FILE_MAX + 1];
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

  if (fd < 0 || fstat(fd, &st) < 0) {
    section_fault(b, section, key, "%s cannot be read: %s", path, strerror(errno));
    goto out;
  }
  if (!S_ISREG(st.st_mode)) {
    section_fault(b, section, key, "%s is not a regular file", path);
    goto out;
  }
  if (st.st_mode & S_IROTH)
    section_warn(b, section, key, "everyone on this machine can read it; chmod o-r %s", path);
  ssize_t n = read(fd, text, sizeof text);
  if (n < 0) {
    section_fault(b, section, key, "%s cannot be read: %s", path, strerror(errno));
    goto out;
  }
  char *newline = memchr(text, '\n', (size_t)n);
  size_t len = newline ? (size_t)(newline - text) : (size_t)n;
  if (len && text[len - 1] == '\r') len--;
  if (len >= SECRET_FILE_MAX)
    section_fault(b, section, key, "the first line of %s has more than %d bytes", path,
                  SECRET_FILE_MAX - 1);
  else if (!len)
    section_fault(b, section, key, "the first line of %s is empty", path);
  else if (memchr(text, 0, len))
    section_fault(b, section, key, "the first line of %s has a NUL byte", path);
  else
    ret = arena_text(b->arena, text, len);
  explicit_bzero(text, sizeof text);
out:
  if (fd >= 0) close(fd);
  return ret;
}

/* Sets *secret, of key `key`, from the file where key `key`_file names one. False where the secret
 * is not known, and a fault says so already. */
static bool secret_resolve(struct build *b, const struct section *section, const char *key,
                           const char **secret, const char *file) {
  char file_key[64];
  if (!*file) return true;
  snprintf(file_key, sizeof file_key, "%s_file", key);
  if (**secret) {
    section_fault(b, section, file_key, "%s and %s are both here; delete one", key, file_key);
    return false;
  }
  const char *text = secret_read(b, section, file_key, file);
  if (text) *secret = text;
  return text;
}

static const char *secret_key(const struct section *section) {
  const struct ini_entry *e = section_entry(section, "password_file");
  return e && *e->value ? "password_file" : "password";
}

/* Queues and topics: plain or sha256. A producer's AUTH must not cost what crypt(3) costs. */
static void client_secret_check(struct build *b, const struct section *section,
                                const char *password) {
  if (!secret_claims_hash(password)) return;
  if (*password == '$')
    section_fault(
        b, section, secret_key(section),
        "a crypt hash is slow on purpose and would stall all clients at each AUTH; make a "
        "sha256 one with `pepperbusctl passwd`");
  else if (!secret_is_hash(password))
    section_fault(
        b, section, secret_key(section),
        "a broken hash; it is sha256:SALT:HEX with 64 hex digits, as `pepperbusctl passwd` "
        "makes it");
}

/* Server. */

static void address_fault(struct build *b, const struct section *section, const char *key,
                          const char *address, bool listening) {
  char why[256];
  if (address_check(address, listening, why, sizeof why) < 0)
    section_fault(b, section, key, "%s", why);
}

/* The section of [server] in which `key` stands, for messages; it may be in several files. */
static const struct section *server_section(const struct build *b, const char *key) {
  for (const struct section *i = b->sections[SERVER]; i; i = i->next)
    if (section_entry(i, key)) return i;
  return b->sections[SERVER];
}

static bool any_port(const char *address) {
  const char *colon = strrchr(address, ':');
  return colon && strcmp(colon, ":0") == 0;
}

static void listen_check(struct build *b) {
  struct server_settings *s = &b->server.s;
  const struct section *section = server_section(b, "listen");
  size_t n = 0;
  while (s->listen[n]) n++;
  if (n > LISTEN_MAX) {
    section_fault(b, section, "listen", "%zu addresses; at most %d are allowed", n, LISTEN_MAX);
    return;
  }
  for (const char *const *a = s->listen; *a && section; a++) {
    address_fault(b, section, "listen", *a, true);
    for (const char *const *o = s->listen; o < a; o++)
      if (strcmp(*o, *a) == 0 && !any_port(*a))
        section_fault(b, section, "listen", "%s stands here twice; delete one", *a);
  }
  if (section && !*s->listen)
    section_warn(b, section, "listen",
                 "no address: this node accepts no jobs, it only runs topics");
  section = server_section(b, "admin");
  if (!section || !*s->admin) return;
  address_fault(b, section, "admin", s->admin, true);
  for (const char *const *a = s->listen; *a; a++)
    if (strcmp(*a, s->admin) == 0 && !any_port(*a))
      section_fault(b, section, "admin",
                    "producers connect there already (listen); choose another port");
}

static void node_check(struct build *b) {
  struct server_settings *s = &b->server.s;
  char host[HOST_NAME_SIZE] = "";
  bool own = !*s->node, solid = false;
  if (own && (gethostname(host, sizeof host) < 0 || !*host)) strcpy(host, "localhost");
  host[sizeof host - 1] = 0;
  if (own) host[NAME_LEN_MAX] = 0;
  char *name = arena_text(b->arena, own ? host : s->node, strlen(own ? host : s->node));
  for (char *p = name; *p; p++) {
    bool letter = (unsigned char)*p < 0x80 && isalnum((unsigned char)*p);
    solid = solid || letter;
    if (letter || strchr("_.:-", *p)) continue;
    if (!own) {
      solid = false;
      break;
    }
    *p = '-';
  }
  if (!own && (!solid || strlen(name) > NAME_LEN_MAX))
    section_fault(
        b, server_section(b, "node"), "node",
        "a name has 1 to %d letters, digits and _ . : -, and at least one letter or digit",
        NAME_LEN_MAX);
  s->node = name;
}

static const char *folder_check(struct build *b, const char *key, const char *path) {
  const struct section *section = server_section(b, key);
  const struct ini_entry *e = section ? section_entry(section, key) : NULL;
  if (!*path && section)
    section_fault(b, section, key, "a folder is needed; leave the line out for the default");
  const char *folder = path_resolve(b->arena, e ? e->place.file : b->settings->file, path);
  struct stat st;
  if (section && *path && !stat(folder, &st) && !S_ISDIR(st.st_mode))
    section_fault(b, section, key, "it exists and is not a folder; remove it, or name another one");
  return folder;
}

/* Known before the rest: the copy of the shared configuration is read with this key. */
static void key_file_check(struct build *b) {
  struct cluster_settings *c = &b->cluster.s;
  if (!*c->key_file)
    section_fault(b, b->sections[CLUSTER], "key_file", "the value is missing; write cluster.key");
  if (*c->key_file != '/')
    c->key_file = arena_printf(b->arena, "%s/%s", b->server.s.state_dir, c->key_file);
}

void rules_check_server(struct build *b) {
  struct server_settings *s = &b->server.s;
  node_check(b);
  listen_check(b);
  s->state_dir = folder_check(b, "state_dir", s->state_dir);
  if (!*s->plugin_dir) s->plugin_dir = PB_PLUGIN_DIR;
  s->plugin_dir = folder_check(b, "plugin_dir", s->plugin_dir);
  key_file_check(b);
  if (!*s->console_dir) s->console_dir = PB_CONSOLE_DIR;
  s->console_dir = folder_check(b, "console_dir", s->console_dir);
}

static bool is_loopback(const char *address) {
  char host[HOST_NAME_SIZE];
  const char *port;
  if (!address_split(address, host, sizeof host, &port)) return true;
  return !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "localhost");
}

static bool base_path_is_sound(const char *path) {
  for (; *path; path += strcspn(path + 1, "/") + 1) {
    if (*path != '/' || !path[1] || path[1] == '/') return false;
    for (const char *p = path + 1; *p && *p != '/'; p++)
      if ((unsigned char)*p >= 0x80 || (!isalnum((unsigned char)*p) && !strchr("._~-", *p)))
        return false;
  }
  return true;
}

static bool header_is_sound(const char *name) {
  for (; *name; name++)
    if ((unsigned char)*name >= 0x80 || (!isalnum((unsigned char)*name) && !strchr("-_", *name)))
      return false;
  return true;
}

/* Who may reach the admin port, and whom it believes. */
static void admin_access_check(struct build *b) {
  const struct server_settings *s = &b->server.s;
  struct network network;
  for (const char *const *p = s->trusted_proxies; *p; p++)
    if (!network_parse(*p, &network))
      section_fault(b, server_section(b, "trusted_proxies"), "trusted_proxies",
                    "%.60s is no address and no network; write 127.0.0.1 or 10.0.0.0/8", *p);
  if (*s->auth_header && !header_is_sound(s->auth_header))
    section_fault(b, server_section(b, "auth_header"), "auth_header",
                  "a header has letters, digits, - and _; write X-Remote-User");
  else if (*s->auth_header && !*s->trusted_proxies)
    section_fault(b, server_section(b, "auth_header"), "auth_header",
                  "anybody could send it; name the proxy that sets it in trusted_proxies");
  if (!base_path_is_sound(s->base_path))
    section_fault(
        b, server_section(b, "base_path"), "base_path",
        "a path has letters, digits and . _ ~ - between its /, and no / at its end; write "
        "/tools/pepperbus");
  if (*s->admin && !is_loopback(s->admin) && !*s->trusted_proxies && !s->allow_plain_admin)
    section_warn(b, server_section(b, "admin"), "admin",
                 "other machines can reach it, and passwords cross the network in clear; put a "
                 "proxy with TLS before it (trusted_proxies), or write allow_plain_admin = yes");
}

/* What shared sections may run and reach. */
static void shared_access_check(struct build *b) {
  struct network network;
  for (const char *const *p = b->server.s.entry_roots; *p; p++)
    if (**p != '/')
      section_fault(b, server_section(b, "entry_roots"), "entry_roots",
                    "%.200s is no absolute path; write /srv/app", *p);
  for (const char *const *p = b->server.s.http_hosts; *p; p++)
    if (strncmp(*p, "unix:", 5) && strchr(*p, '/') && !network_parse(*p, &network))
      section_fault(b, server_section(b, "http_hosts"), "http_hosts",
                    "%.200s is no host; write app.example.com, *.example.com or 10.0.0.0/8", *p);
}

static void server_systems_check(struct build *b) {
  const struct section *section = server_section(b, "systems");
  bool maybe = b->shared_file || b->sections[CLUSTER]; /* the system may be a shared one */
  for (const char *const *name = b->server.s.systems; *name && section; name++)
    if (maybe && !section_named(b, SYSTEM, *name))
      section_warn(b, section, "systems", "%s", missing_text(b, SYSTEM, *name));
    else
      reference(b, section, "systems", SYSTEM, *name);
}

/* The cluster, its nodes, and who may log in. */

/* A section that is there at most once, or NULL. */
static const struct section *only_section(const struct build *b, enum kind_id id) {
  return b->sections[id];
}

static void cluster_storage_check(struct build *b, const struct section *section) {
  struct cluster_raw *c = &b->cluster;
  const struct section *only = NULL;
  size_t n = 0;
  if (*c->storage) {
    struct storage_raw *st = reference(b, section, "storage", STORAGE, c->storage);
    if (st) c->s.storage = &st->s;
    return;
  }
  for (const struct section *i = b->sections[STORAGE]; i; i = i->next)
    if (!i->twin && !i->shared && !n++) only = i;
  if (n == 1) c->s.storage = &((struct storage_raw *)only->raw)->s;
}

static void cluster_check(struct build *b) {
  static const char *const colours[] = {"",      "red",  "orange", "yellow",
                                        "green", "blue", "purple", "grey"};
  struct cluster_raw *c = &b->cluster;
  const struct section *section = only_section(b, CLUSTER);
  bool known = false;
  for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
    known |= strcmp(c->s.colour, colours[i]) == 0;
  if (!known)
    section_fault(b, section, "colour", "write red, orange, yellow, green, blue, purple or grey");
  if (!name_is_sound(c->s.name, strlen(c->s.name)))
    section_fault(b, section, "name", NAME_RULE, NAME_LEN_MAX);
  cluster_storage_check(b, section);
}

static bool ldap_is_near(const char *host) {
  return !strncmp(host, "127.", 4) || !strncmp(host, "localhost", 9) || !strncmp(host, "[::1]", 5);
}

static void ldap_check(struct build *b) {
  struct ldap_settings *l = &b->ldap.s;
  const struct section *section = only_section(b, LDAP);
  if (!section) return;
  bool plain = !strncmp(l->url, "ldap://", 7);
  if (*l->url && !plain && strncmp(l->url, "ldaps://", 8) && strncmp(l->url, "ldapi://", 8))
    section_fault(b, section, "url", "write ldaps://HOST, or ldap://HOST and start_tls = yes");
  else if (plain && !l->start_tls && !ldap_is_near(l->url + 7))
    section_fault(b, section, "url",
                  "the passwords would cross the network in clear; write ldaps://, or start_tls = "
                  "yes");
  if (l->start_tls && !plain && *l->url)
    section_fault(b, section, "start_tls", "only an ldap:// address needs it; delete this line");
  if (*l->bind && !strstr(l->bind, "%u"))
    section_fault(b, section, "bind",
                  "%%u is missing, the place of the user's name; write uid=%%u,ou=people,...");
  const struct ini_entry *e = section_entry(section, "ca_file");
  if (e && *l->ca_file) l->ca_file = path_resolve(b->arena, e->place.file, l->ca_file);
}

static const struct system_settings *const *systems_resolve(struct build *b,
                                                            const struct section *section,
                                                            const char *const *names,
                                                            size_t *ret_n) {
  size_t n = 0;
  while (names[n]) n++;
  const struct system_settings **systems = arena_alloc(b->arena, (n + 1) * sizeof *systems);
  for (size_t i = 0; i < n; i++) systems[i] = reference(b, section, "systems", SYSTEM, names[i]);
  *ret_n = n;
  return systems;
}

static void node_section_check(struct build *b, const struct section *section) {
  struct node_raw *n = section->raw;
  n->s.systems = systems_resolve(b, section, n->systems, &n->s.n_systems);
  if (strcmp(n->s.name, b->server.s.node) != 0) return;
  if (n->s.n_systems) b->server.s.systems = n->systems;
  b->settings->drain = n->s.drain;
}

/* Storages. */

static bool same_database(const struct storage_raw *a, const struct storage_raw *b) {
  return *a->s.address && strcmp(a->s.address, b->s.address) == 0 && a->s.db == b->s.db;
}

/* Cannot be used on this node, whatever else it says. */
static void storage_break(struct build *b, const struct section *section) {
  struct storage_raw *st = section->raw;
  if (!section->lack || st->s.broken) return;
  st->s.broken = section->lack;
  shared_broken_add(b, section, section->lack);
}

static void storage_check(struct build *b, const struct section *section) {
  struct storage_raw *st = section->raw;
  shared_storage_check(b, section);
  if (*st->system) st->s.system = reference(b, section, "system", SYSTEM, st->system);
  bool known = secret_resolve(b, section, "password", &st->s.password, st->password_file);
  if (known && secret_claims_hash(st->s.password) && secret_is_hash(st->s.password))
    section_fault(b, section, secret_key(section), "Redis needs the password itself, not a hash");
  if (*st->s.username && !*st->s.password && known && !section->lack)
    section_fault(b, section, "username",
                  "a user without a password; add password or password_file");
  if (st->s.managed) {
    if (*st->s.address)
      section_fault(b, section, "address",
                    "a managed storage has no address, the broker starts it; delete this line or "
                    "managed = yes");
    if (*st->s.password || *st->s.username)
      section_warn(b, section, secret_key(section),
                   "a managed storage is the broker's alone and needs none; ignored");
    if (!*st->s.server_binary)
      section_fault(b, section, "server_binary", "the value is missing; write redis-server");
    return;
  }
  if (!*st->s.address)
    section_fault(
        b, section, NULL,
        "address is missing; write address = 127.0.0.1:6379, or managed = yes for a private "
        "redis-server");
  else
    address_fault(b, section, "address", st->s.address, false);
}

/* Two storages in one database would mix separate data, or store a queue's jobs twice. */
static void databases_check(struct build *b) {
  struct name_index seen;
  name_index_init(&seen, b->n_sections[STORAGE], b->scratch);
  for (const struct section *i = b->sections[STORAGE]; i; i = i->next) {
    const struct storage_raw *st = i->raw;
    if (i->twin || !*st->s.address || st->s.managed) continue;
    const char *key = arena_printf(b->scratch, "%s %lld", st->s.address, (long long)st->s.db);
    const struct section *first = name_index_put(&seen, key, i);
    if (first && same_database(first->raw, st))
      section_refuse(b, i, "address",
                     "[storage %s] (%s:%u) has the same address and db; use one of them",
                     first->name, first->place.file, first->place.line);
  }
}

/* Run types. */

#define RUN_TYPE_PULL "pull"

static const struct pb_transport *transport_named(const struct build *b, const char *run_type) {
  for (size_t i = 0; b->types && i < b->types->n; i++)
    if (strcmp(b->types->transports[i]->run_type, run_type) == 0) return b->types->transports[i];
  return NULL;
}

static const char *run_types_text(const struct build *b) {
  char all[512] = "";
  size_t len = 0;
  const char *refused = b->types && b->types->refused ? b->types->refused : "";
  if (!b->types || !b->types->n)
    return arena_printf(b->scratch, "no plugin is loaded from %s%s%s", b->server.s.plugin_dir,
                        *refused ? "; refused, as told above: " : "", refused);
  for (size_t i = 0; i < b->types->n && len < sizeof all; i++)
    len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "",
                            b->types->transports[i]->run_type);
  return arena_printf(b->scratch, "there %s %s%s%s", b->types->n > 1 ? "are" : "is", all,
                      *refused ? "; refused, as told above: " : "", refused);
}

/* Where a plugin was refused, the run type may be that plugin's: the broker then goes on with
 * everything else, takes jobs for these topics too, and keeps them until the plugin is mended. */
static const struct pb_transport *transport_find(struct build *b, const struct section *section,
                                                 const char *run_type) {
  const struct pb_transport *t = transport_named(b, run_type);
  struct suggest near = {.want = run_type};
  if (t) return t;
  for (size_t i = 0; b->types && i < b->types->n; i++)
    suggest_offer(&near, b->types->transports[i]->run_type);
  if (near.best)
    section_lack(b, section, "run_type", "no plugin provides this run type; did you mean %s?",
                 near.best);
  else if (!section->shared && b->types && b->types->refused && *b->types->refused)
    section_warn(b, section, "run_type",
                 "no plugin provides this run type, so its jobs wait and none is lost; %s",
                 run_types_text(b));
  else
    section_lack(b, section, "run_type", "no plugin provides this run type; %s", run_types_text(b));
  return NULL;
}

static void pool_check(struct build *b, const struct section *section) {
  struct pool_raw *pool = section->raw;
  if (pool->s.concurrency && !section_entry(section, "max_connections"))
    pool->s.max_connections = AUTO_CONNECTIONS;
  if (!pool->s.concurrency && section_entry(section, "reserve"))
    section_warn(
        b, section, "reserve",
        "reserve has no effect with a fixed number of requests; write concurrency = auto, or "
        "a lower max_connections");
  if (!*pool->s.run_type) return; /* required: told already */
  shared_pool_check(b, section);
  pool->s.transport = transport_find(b, section, pool->s.run_type);
  if (pool->s.transport)
    pool->s.conf = section_transport_conf(b, section, pool->s.transport, &pool->s.conf_size);
  pool->s.broken = section->lack;
}

/* Queues. */

/* The only system. A file counts those of files; the shared configuration its own, if it has any,
 * so that it means the same on every node. */
static void system_default(struct build *b, const struct section *section, struct queue_raw *q) {
  const struct section *only[2] = {NULL, NULL};
  size_t n[2] = {0, 0};
  for (const struct section *i = b->sections[SYSTEM]; i; i = i->next)
    if (!i->twin && !n[i->shared]++) only[i->shared] = i;
  bool own = section->shared && n[true];
  if (n[own] == 1)
    q->s.system = only[own]->raw;
  else if (n[own] && own)
    section_fault(b, section, NULL, "system is missing; there are several, say which (system = %s)",
                  only[own]->name);
  else if (n[own])
    section_lack(b, section, NULL, "system is missing; there are several, say which (system = %s)",
                 only[own]->name);
}

static void queue_check(struct build *b, const struct section *section) {
  struct queue_raw *q = section->raw;
  if (*q->system) {
    q->s.system = reference(b, section, "system", SYSTEM, q->system);
  } else {
    system_default(b, section, q);
  }
  if (!secret_resolve(b, section, "password", &q->s.password, q->password_file)) return;
  if (!*q->s.password && !section->lack)
    section_fault(b, section, section_entry(section, "password") ? "password" : NULL,
                  "password is missing, producers could not authenticate; add password or "
                  "password_file");
  else
    client_secret_check(b, section, q->s.password);
}

/* Topics. */

static bool storage_fits(const struct storage_raw *st, const struct queue_raw *q) {
  return !st->s.system || !q || !q->s.system || st->s.system == q->s.system;
}

static const char *system_name(const struct system_settings *s) {
  return s ? s->name : "";
}

/* The only storage that topics of `q` can use; else NULL, and how many there are. */
static struct storage_raw *storage_default(const struct build *b, const struct section *section,
                                           const struct queue_raw *q, size_t *ret_n) {
  struct storage_raw *only = NULL;
  *ret_n = 0;
  for (const struct section *i = b->sections[STORAGE]; i && *ret_n < 2; i = i->next)
    if (!i->twin && (section->shared || !i->shared) && storage_fits(i->raw, q)) {
      only = i->raw;
      ++*ret_n;
    }
  return *ret_n == 1 ? only : NULL;
}

static void topic_storage_check(struct build *b, const struct section *section,
                                const struct queue_raw *q) {
  struct topic_raw *topic = section->raw;
  struct storage_raw *st;
  size_t n;

  if (*topic->storage) {
    st = reference(b, section, "storage", STORAGE, topic->storage);
    if (st && q && !storage_fits(st, q))
      section_lack(
          b, section, "storage",
          "it belongs to system %s and queue %s to system %s; use a storage of that system "
          "or of none",
          system_name(st->s.system), q->s.name, system_name(q->s.system));
  } else {
    st = storage_default(b, section, q, &n);
    if (!st && n)
      section_refuse(b, section, NULL,
                     "storage is missing; there are several, say which (storage = %s)",
                     b->sections[STORAGE]->name);
    else if (!st && b->sections[STORAGE])
      section_lack(b, section, NULL,
                   "storage is missing; no [storage] belongs to system %s or to none",
                   system_name(q ? q->s.system : NULL));
    else if (!st)
      section_lack(b, section, NULL,
                   "storage is missing; add [storage main] with address = 127.0.0.1:6379 or "
                   "managed = yes");
  }
  if (!st && section->lack) st = shared_stand_in(b, section, STORAGE, "(none)");
  if (st) topic->s.storage = &st->s;
}

/* A key without which a pool of `t` cannot be. */
static const struct pb_option *pool_needs(const struct pb_transport *t) {
  struct options options = transport_options(t, POOL);
  for (const struct pb_option *o = NULL; (o = option_next(options, o));)
    if (o->flags & PB_OPT_REQUIRED) return o;
  return NULL;
}

static const char *pool_hint(const struct build *b, const char *run_type) {
  for (const struct section *i = b->sections[POOL]; i; i = i->next)
    if (strcmp(((const struct pool_raw *)i->raw)->s.run_type, run_type) == 0) return i->name;
  return NULL;
}

static void *pool_defaults(struct build *b, const struct pb_transport *t) {
  void *conf = arena_alloc(b->arena, t->pool_conf_size);
  options_default(transport_options(t, POOL), conf, b->arena);
  return conf;
}

/* Is it served by workers that come by themselves? The core does that, no plugin is asked. */
static bool topic_pulled(const struct section *section) {
  const struct ini_entry *e = section_entry(section, "run_type");
  if (!e || strcmp(e->value, RUN_TYPE_PULL) != 0) return false;
  e = section_entry(section, "entry");
  return !e || !*e->value;
}

static void topic_pulled_check(struct build *b, const struct section *section) {
  struct topic_raw *topic = section->raw;
  const struct pb_transport *starts = transport_named(b, RUN_TYPE_PULL);
  struct options options = {NULL, sizeof(struct pb_option)};
  if (starts) options = transport_options(starts, TOPIC);
  topic->s.pulled = true;
  if (*topic->pool)
    section_fault(b, section, "pool",
                  "run_type = pull without `entry`: its workers come by themselves, so there is no "
                  "pool to use; delete it");
  for (const struct ini_entry *e = section->ini->entries; e; e = e->next) {
    if (!strcmp(e->key, "entry") || option_find(kind_get(TOPIC)->options, e->key)) continue;
    if (option_find(options, e->key))
      section_fault(
          b, section, e->key,
          "this key is for workers that the broker starts; name them in `entry`, or delete "
          "the key: without `entry` workers come by themselves");
    else
      section_key_unknown(b, section, e, options);
  }
}

static void topic_transport_check(struct build *b, const struct section *section) {
  struct topic_raw *topic = section->raw;
  struct topic_settings *t = &topic->s;
  const struct pool_raw *pool = NULL;
  bool pool_unknown = false;

  if (*t->run_type) shared_topic_check(b, section);
  if (topic_pulled(section)) {
    topic_pulled_check(b, section);
    return;
  }
  if (*topic->pool) {
    pool = reference(b, section, "pool", POOL, topic->pool);
    if (pool) t->pool = &pool->s;
    pool_unknown = !pool;
  }
  if (!*t->run_type) {
    if (!pool && !pool_unknown)
      section_fault(b, section, NULL,
                    "run_type is missing; write pool = NAME or run_type = ..., %s",
                    run_types_text(b));
    if (!pool || !*pool->s.run_type) return;
    t->run_type = pool->s.run_type;
    shared_topic_check(b, section);
    t->transport = transport_named(b, t->run_type); /* the pool's line tells where it is none */
  } else {
    if (pool && *pool->s.run_type && strcmp(pool->s.run_type, t->run_type) != 0)
      section_lack(b, section, "pool",
                   "its run type is %s and this topic's %s; name a pool of that run type",
                   pool->s.run_type, t->run_type);
    t->transport = transport_find(b, section, t->run_type);
  }
  if (!t->transport) return;
  t->conf = section_transport_conf(b, section, t->transport, &t->conf_size);
  t->pool_conf = pool ? pool->s.conf : pool_defaults(b, t->transport);
  const struct pb_option *needs = pool_needs(t->transport);
  if (!*topic->pool && needs) {
    const char *hint = pool_hint(b, t->run_type);
    section_fault(b, section, NULL, "pool is missing; run type %s needs one (for its %s)%s%s",
                  t->run_type, needs->name, hint ? ", such as pool = " : "; add a [pool] section",
                  hint ? hint : "");
  }
  if (t->chunk > 1 && !(t->transport->caps & PB_CAP_CHUNK))
    section_fault(b, section, "chunk", "run type %s carries one job in a request; write chunk = 1",
                  t->run_type);
  if (t->chunk_wait_ms && t->chunk == 1)
    section_warn(b, section, "chunk_wait", "chunk = 1: every request is full, none waits");
}

static bool faulty(const struct build *b, enum kind_id id, const char *name) {
  const struct section *i = name_index_get(&b->names[id], name, strlen(name));
  return i && i->faulty;
}

struct whole_check {
  const struct topic_settings *t;
  struct pb_err err;
  int rc;
};

static void whole_check_run(void *arg) {
  struct whole_check *c = arg;
  const struct topic_settings *t = c->t;
  struct pb_topic_info info = settings_topic_info(t);
  c->rc = t->transport->check_topic(&info, t->pool ? t->pool_conf : NULL, t->conf, &c->err);
}

/* Asks the transport about pool, topic and core keys together, once each part alone is sound. */
static void topic_whole_check(struct build *b, const struct section *section) {
  struct topic_settings *t = &((struct topic_raw *)section->raw)->s;
  struct whole_check c = {.t = t};
  if (!t->queue || !t->transport || !t->transport->check_topic || section->faulty) return;
  if (section->lack || (t->pool && (t->pool->broken || faulty(b, POOL, t->pool->name)))) return;
  sections_call_plugin(b, whole_check_run, &c);
  if (c.rc == -ENOENT && !(t->enabled && t->here)) return; /* it need not be there */
  if (c.rc < 0)
    section_transport_fault(b, section, c.rc == -ENOENT && (b->types->starting || section->shared),
                            &c.err);
}

static bool runs_here(const struct build *b, const struct queue_raw *q) {
  const char *const *name = b->server.s.systems;
  if (!*name) return true;
  for (; *name; name++)
    if (strcmp(*name, system_name(q->s.system)) == 0) return true;
  return false;
}

/* Why this node does not run a topic that is sound. */
static const char *not_here_text(const struct build *b) {
  const struct section *own = section_named(b, NODE, b->server.s.node);
  if (b->types->drained)
    return arena_printf(b->arena,
                        "this node is drained; `pepperbusctl node drain %s --off` ends it",
                        b->server.s.node);
  if (b->settings->drain)
    return arena_printf(b->arena, "this node is drained ([node %s] drain = yes)", b->server.s.node);
  if (own && ((const struct node_raw *)own->raw)->s.n_systems)
    return arena_printf(b->arena, "this node does not run its system ([node %s] systems)",
                        b->server.s.node);
  return "this node does not run its system ([server] systems)";
}

static void topic_check(struct build *b, const struct section *section) {
  struct topic_raw *topic = section->raw;
  struct topic_settings *t = &topic->s;
  size_t queue_len = strcspn(section->name, "/");
  const struct section *queue = name_index_get(&b->names[QUEUE], section->name, queue_len);
  struct queue_raw *q = queue ? queue->raw : NULL;

  if (!queue && section->name[queue_len] && queue_len)
    section_lack(b, section, NULL, "%s",
                 missing_text(b, QUEUE, arena_text(b->scratch, section->name, queue_len)));
  topic_storage_check(b, section, q);
  topic_transport_check(b, section);
  bool known = secret_resolve(b, section, "password", &t->password, topic->password_file);
  if (known && *t->password) client_secret_check(b, section, t->password);
  if (secret_resolve(b, section, "signing_key", &t->signing_key, topic->signing_key_file) &&
      *t->signing_key && strlen(t->signing_key) < SIGNING_KEY_MIN)
    section_fault(b, section,
                  section_entry(section, "signing_key") ? "signing_key" : "signing_key_file",
                  "a key of fewer than %d characters can be guessed; take a random one, such as "
                  "`openssl rand -hex 32` prints",
                  SIGNING_KEY_MIN);
  if (section_entry(section, "workers") && t->pool && t->workers > t->pool->max_connections)
    section_warn(b, section, "workers", "pool %s carries %lld requests at a time (max_connections)",
                 t->pool->name, (long long)t->pool->max_connections);
  if (!q) return;
  if (queue->shared && !section->shared)
    section_fault(b, section, NULL,
                  "[queue %s] stands in the shared configuration, and a file of the node cannot "
                  "use it; write one of the two where the other is",
                  q->s.name);
  t->queue = &q->s;
  if (b->types->drained) b->settings->drain = true;
  t->here = !b->settings->drain && runs_here(b, q);
  if (!t->here) t->not_here = not_here_text(b);
  t->listen = b->server.s.listen;
  if (known && !*t->password) t->password = q->s.password;
  q->s.n_topics++;
}

/* What cannot run here is whole all the same, for its jobs are kept. A topic without a queue is
 * none. */
static void topic_settle(struct build *b, const struct section *section) {
  struct topic_settings *t = &((struct topic_raw *)section->raw)->s;
  const struct section *queue =
      name_index_get(&b->names[QUEUE], section->name, strcspn(section->name, "/"));
  const char *why = section->lack                      ? section->lack
                    : queue && queue->lack             ? queue->lack
                    : t->storage && t->storage->broken ? t->storage->broken
                    : t->pool && t->pool->broken       ? t->pool->broken
                                                       : NULL;
  if (!why) return;
  t->broken = why;
  t->pulled = false;
  ((struct section *)(uintptr_t)section)->dropped = !queue;
  shared_broken_add(b, section, why);
}

/* Alerts. */

static void alert_check(struct build *b, const struct section *section) {
  struct alert_raw *a = section->raw;
  if (secret_resolve(b, section, "webhook_secret", &a->s.webhook_secret, a->webhook_secret_file) &&
      *a->s.webhook_secret && strlen(a->s.webhook_secret) < SIGNING_KEY_MIN)
    section_fault(b, section,
                  section_entry(section, "webhook_secret") ? "webhook_secret"
                                                           : "webhook_secret_file",
                  "a key of fewer than %d characters can be guessed; take a random one, such as "
                  "`openssl rand -hex 32` prints",
                  SIGNING_KEY_MIN);
  rules_alert_check(b, section);
}

/* Users. */

static void user_check(struct build *b, const struct section *section) {
  struct user_raw *u = section->raw;
  u->s.systems = systems_resolve(b, section, u->systems, &u->s.n_systems);
  if (!section_entry(section, "entries")) u->s.entries = u->s.role == USER_ADMIN;
  if (!section_entry(section, "contents")) u->s.contents = u->s.role != USER_VIEWER;
  if (!secret_resolve(b, section, "password", &u->s.password, u->password_file)) return;
  if (!*u->s.password)
    section_fault(b, section, section_entry(section, "password") ? "password" : NULL,
                  "password is missing; make a hash with `pepperbusctl passwd`");
  else if (secret_claims_hash(u->s.password) && !secret_is_hash(u->s.password))
    section_fault(b, section, secret_key(section),
                  "a broken hash; make one with `pepperbusctl passwd`");
  else if (!secret_is_hash(u->s.password) && !section->shared)
    section_warn(b, section, secret_key(section),
                 "a password in clear; make a hash of it with `pepperbusctl passwd`");
}

static void each(struct build *b, enum kind_id id,
                 void (*fn)(struct build *, const struct section *)) {
  for (struct section *i = b->sections[id]; i; i = i->next) {
    size_t faults = faults_count(b->faults);
    if (!i->twin) fn(b, i);
    i->faulty |= faults_count(b->faults) != faults;
  }
}

/* Told once for all: there may be thousands. */
static void short_passwords_check(struct build *b) {
  const struct section *first = NULL;
  size_t n = 0;
  for (int id = QUEUE; id <= TOPIC; id++)
    for (const struct section *i = b->sections[id]; i; i = i->next) {
      const char *password = id == QUEUE ? ((const struct queue_raw *)i->raw)->s.password
                                         : ((const struct topic_raw *)i->raw)->s.password;
      if (i->twin || !password || !*password || secret_claims_hash(password) ||
          strlen(password) >= CLIENT_PASSWORD_MIN)
        continue;
      if (id == TOPIC && !section_entry(i, "password") && !section_entry(i, "password_file"))
        continue;
      if (!n++) first = i;
    }
  if (!n) return;
  char others[64] = "";
  if (n > 1) snprintf(others, sizeof others, " (and %zu more like it)", n - 1);
  section_warn(b, first, secret_key(first),
               "it is shorter than %d characters, and anybody who reaches the port can guess it%s; "
               "`pepperbusctl passwd --generate` makes one",
               CLIENT_PASSWORD_MIN, others);
}

/* Does the file of `section` contain one of its secrets in clear text? Returns the key. */
static const struct ini_entry *clear_secret(const struct build *b, const struct section *section) {
  for (const struct ini_entry *e = section->ini->entries; e; e = e->next)
    if (*e->value && section_key_is_secret(b, section->id, e->key) && !secret_claims_hash(e->value))
      return e;
  return NULL;
}

/* Secrets in clear in a file that every user of the machine can read. Once for each file. */
static void readable_files_check(struct build *b) {
  const char *told[FILES_TOLD];
  size_t n = 0;
  for (int id = STORAGE; id < KINDS; id++)
    for (const struct section *i = b->sections[id]; i && n < FILES_TOLD; i = i->next) {
      const struct ini_entry *e = clear_secret(b, i);
      struct stat st;
      size_t t = 0;
      while (e && t < n && strcmp(told[t], e->place.file)) t++;
      if (!e || t < n) continue;
      told[n++] = e->place.file;
      if (!stat(e->place.file, &st) && S_ISREG(st.st_mode) && st.st_mode & S_IROTH)
        section_warn(b, i, e->key,
                     "the secret stands here in clear, and everyone on this machine can read the "
                     "file; chmod o-r %s",
                     e->place.file);
    }
}

void rules_check(struct build *b) {
  rules_check_server(b);
  admin_access_check(b);
  shared_access_check(b);
  server_systems_check(b);
  cluster_check(b);
  ldap_check(b);
  each(b, NODE, node_section_check);
  each(b, STORAGE, storage_check);
  databases_check(b);
  each(b, STORAGE, storage_break);
  each(b, POOL, pool_check);
  each(b, QUEUE, queue_check);
  each(b, TOPIC, topic_check);
  each(b, TOPIC, topic_whole_check);
  each(b, TOPIC, topic_settle);
  each(b, ALERT, alert_check);
  each(b, USER, user_check);
  for (const struct section *i = b->sections[QUEUE]; i; i = i->next)
    if (!i->twin && !((const struct queue_raw *)i->raw)->s.n_topics)
      section_warn(b, i, NULL,
                   "no topic subscribes to it; its producers get an error. Add [topic %s/NAME]",
                   i->name);
  readable_files_check(b);
  short_passwords_check(b);
  shared_rules_end(b);
}
