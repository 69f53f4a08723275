/* What holds for the shared configuration alone: what may not stand in it, what this node has
 * itself, and what this node lets it run and reach.
 *
 * Must never happen: a shared text that makes a sound file unsound, or that stops more of a node
 * than what it concerns; a shared section that runs or reads something of the node which a file of
 * the node did not allow.
 */
#include "config/private.h"
#include "config/shared_text.h"

#include "base/address.h"
#include "base/network.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 256

/* Stand for a secret that a person did not enter again, while the text is only checked. */
#define KEPT_HASH   "sha256:kept:0000000000000000000000000000000000000000000000000000000000000000"
#define KEPT_SECRET "****************************************************************"

static const struct shared_text *text_of(const struct build *b) {
  return b->types && b->types->shared && b->shared_file ? b->types->shared : NULL;
}

/* Sections. */

static void clash_add(struct build *b, const struct section *local, const struct ini_section *s) {
  struct clash *clash = arena_alloc(b->arena, sizeof *clash);
  clash->c = (struct settings_clash){
      .kind = kind_get(local->id)->name,
      .name = local->name,
      .local = local->place,
      .shared = {arena_text(b->arena, s->place.file, strlen(s->place.file)), s->place.line}};
  *b->clashes_end = clash;
  b->clashes_end = &clash->next;
  b->n_clashes++;
}

bool shared_section_counts(struct build *b, const struct ini_section *s, const struct kind *kind) {
  if (!b->shared_file || s->place.file != b->shared_file) return true;
  if (!kind->example) {
    fault_add(b->faults, s->place,
              "[%s]: this section is about one node and cannot be shared; write it in a file of "
              "the node",
              kind->name);
    return false;
  }
  const struct section *own = name_index_get(&b->names[kind_id_of(kind)], s->name, strlen(s->name));
  if (!own || own->shared) return true;
  clash_add(b, own, s);
  if (text_of(b)->applying)
    fault_add(b->faults, s->place,
              "[%s %.257s]: node %.128s has this section in a file of its own (%s:%u), which "
              "counts there; delete one of the two",
              kind->name, s->name, b->server.s.node, own->ini->place.file, own->ini->place.line);
  else
    fault_warn(b->faults, s->place,
               "[%s %.257s]: this node has the section in a file of its own (%s:%u), which counts "
               "here",
               kind->name, s->name, own->ini->place.file, own->ini->place.line);
  return false;
}

/* Values. */

bool shared_value_allowed(struct build *b, const struct section *section, const struct ini_entry *e,
                          const struct pb_option *o) {
  if (!(o->flags & PB_OPT_LOCAL) || !*e->value || (o->def && !strcasecmp(o->def, e->value)))
    return true;
  section_fault(b, section, e->key,
                "it names something on the machine of a node, so only a file of the node can have "
                "it; delete this line, or write the section there");
  return false;
}

/* What nobody can give, so that a lost password lets nobody in. */
static const char *secret_lost(const struct section *section, const char *key) {
  bool hash = !strcmp(key, "password") && section->id != STORAGE;
  return hash ? KEPT_HASH : "";
}

const char *shared_secret(struct build *b, const struct section *section,
                          const struct ini_entry *e) {
  const struct shared_text *t = text_of(b);
  char *plain = NULL;
  if (t->applying && !strcmp(e->value, SHARED_MASK))
    return !strcmp(e->key, "password") && section->id != STORAGE ? KEPT_HASH : KEPT_SECRET;
  if (!shared_is_sealed(e->value)) return e->value;
  int rc = t->open ? t->open(t->arg, kind_get(section->id)->name, section->name, e->key, e->value,
                             &plain)
                   : -ENOKEY;
  if (rc) {
    section_lack(b, section, e->key, "%s",
                 rc == -ENOKEY ? "this node has not the key with which it is encrypted"
                               : "it cannot be decrypted: it was not encrypted for this place");
    return secret_lost(section, e->key);
  }
  const char *kept = arena_text(b->arena, plain, strlen(plain));
  explicit_bzero(plain, strlen(plain));
  free(plain);
  return kept;
}

/* Stand-ins. */

struct stand_in {
  struct stand_in *next;
  struct section section;
};

struct stand_ins {
  struct name_index names;
  struct stand_in *list;
  size_t n, cap;
};

static struct stand_ins *stand_ins_of(struct build *b, enum kind_id id) {
  if (!b->stand_ins[id]) b->stand_ins[id] = arena_alloc(b->scratch, sizeof *b->stand_ins[id]);
  struct stand_ins *all = b->stand_ins[id];
  if (all->n < all->cap) return all;
  all->cap = all->cap ? 2 * all->cap : 16;
  name_index_init(&all->names, all->cap, b->scratch);
  for (const struct stand_in *i = all->list; i; i = i->next)
    name_index_put(&all->names, i->section.name, i);
  return all;
}

static struct stand_in *stand_in_new(struct build *b, const struct section *asker, enum kind_id id,
                                     const char *name) {
  static const struct ini_section nothing = {.type = "", .name = ""};
  const struct kind *kind = kind_get(id);
  struct stand_in *s = arena_alloc(b->scratch, sizeof *s);
  s->section = (struct section){.id = id,
                                .ini = &nothing,
                                .place = asker->place,
                                .name = arena_text(b->arena, name, strlen(name)),
                                .raw = arena_alloc(b->arena, kind->raw_size),
                                .shared = true};
  options_default(kind->options, s->section.raw, b->arena);
  if (id == STORAGE) {
    struct storage_settings *st = s->section.raw;
    st->place = asker->place;
    st->name = s->section.name;
    st->shared = true;
    st->broken = arena_printf(b->arena, "there is no [storage %s] on this node", name);
  } else {
    struct system_settings *system = s->section.raw;
    system->place = asker->place;
    system->name = s->section.name;
    system->shared = true;
  }
  return s;
}

void *shared_stand_in(struct build *b, const struct section *section, enum kind_id id,
                      const char *name) {
  if (!section->shared || (id != STORAGE && id != SYSTEM)) return NULL;
  struct stand_ins *all = stand_ins_of(b, id);
  struct stand_in *s =
      (struct stand_in *)(uintptr_t)name_index_get(&all->names, name, strlen(name));
  if (s) return s->section.raw;
  s = stand_in_new(b, section, id, name);
  s->next = all->list;
  all->list = s;
  all->n++;
  name_index_put(&all->names, s->section.name, s);
  return s->section.raw;
}

/* Where connections may go. */

/* The address of a host that is one, in any form that a resolver takes for one: 0xa9fea9fe, too. */
static bool host_address(const char *host, struct network *ret) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  if (getaddrinfo(host, NULL, &hints, &found) || !found) return false;
  bool known = network_of(found->ai_addr, ret);
  freeaddrinfo(found);
  return known;
}

static bool pattern_has(const char *pattern, const char *host, const struct network *address) {
  struct network range;
  size_t len = strlen(host), tail = strlen(pattern);
  if (address && network_parse(pattern, &range)) return network_has(&range, address);
  if (strncmp(pattern, "*.", 2)) return strcasecmp(pattern, host) == 0;
  return len > tail - 1 && strcasecmp(host + len - (tail - 1), pattern + 1) == 0;
}

static bool hosts_have(const struct build *b, const char *host, const struct network *address) {
  const char *const *pattern = b->server.s.http_hosts;
  if (!*pattern) return true;
  for (; *pattern; pattern++)
    if (pattern_has(*pattern, host, address)) return true;
  return false;
}

static void host_check(struct build *b, const struct section *section, const char *key,
                       const char *host) {
  char name[HOST_MAX];
  struct network address;
  size_t len = strlen(host);
  if (len && host[len - 1] == '.') len--;
  if (len >= sizeof name) len = sizeof name - 1;
  memcpy(name, host, len);
  name[len] = 0;
  bool numeric = host_address(name, &address);
  if (numeric && network_is_link_local(&address))
    section_refuse(b, section, key,
                   "a link-local address, where machines keep what is theirs alone; a shared "
                   "section cannot use it");
  else if (!hosts_have(b, name, numeric ? &address : NULL))
    section_refuse(b, section, key, "%.200s is not among the http_hosts of [server] on this node",
                   name);
}

/* The host of a URL; false where readers of it could disagree about what the host is. */
static bool url_host(const char *url, char *ret, size_t size) {
  const char *at = strstr(url, "://");
  if (!at) return false;
  at += 3;
  size_t len = strcspn(at, "/?#");
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)at[i] <= ' ' || strchr("\\%", at[i])) return false;
  const char *user = memchr(at, '@', len);
  if (user) {
    len -= (size_t)(user + 1 - at);
    at = user + 1;
    if (memchr(at, '@', len)) return false;
  }
  if (len && *at == '[') {
    const char *close = memchr(at, ']', len);
    if (!close) return false;
    at++;
    len = (size_t)(close - at);
  } else {
    const char *colon = memchr(at, ':', len);
    if (colon) len = (size_t)(colon - at);
  }
  if (!len || len >= size) return false;
  memcpy(ret, at, len);
  ret[len] = 0;
  return true;
}

static void address_check_one(struct build *b, const struct section *section, const char *run_type,
                              const char *address) {
  char host[HOST_MAX];
  const char *port;
  const char *const *pattern = b->server.s.http_hosts;
  if (!strncmp(address, "unix:", 5)) {
    /* A PHP-FPM speaks FastCGI only. HTTP is spoken by what rules the machine. */
    if (!run_type || strcmp(run_type, "http") != 0) return;
    while (*pattern && strcmp(*pattern, address)) pattern++;
    if (!*pattern)
      section_refuse(b, section, "address",
                     "%.200s is not among the http_hosts of [server] on this node", address);
  } else if (address_split(address, host, sizeof host, &port)) {
    host_check(b, section, "address", host);
  }
}

/* The lists and texts of plugins are looked at as they stand in the section: which plugin reads
 * them, and whether it is there, does not matter. */
static void addresses_check(struct build *b, const struct section *section, const char *run_type) {
  const struct ini_entry *e = section_entry(section, "address");
  for (const char *at = e ? e->value : ""; *at;) {
    size_t len = strcspn(at, ",");
    const char *end = at + len;
    while (len && strchr(" \t", *at)) at++, len--;
    while (len && strchr(" \t", at[len - 1])) len--;
    if (len) address_check_one(b, section, run_type, arena_text(b->scratch, at, len));
    at = end + (*end == ',');
  }
}

/* Of each kind. */

void shared_run_type_check(struct build *b, const struct section *section, const char *run_type) {
  const char *const *allowed = b->server.s.shared_run_types;
  if (!section->shared) return;
  for (; *allowed; allowed++)
    if (strcmp(*allowed, run_type) == 0) return;
  section_refuse(b, section, section_entry(section, "run_type") ? "run_type" : NULL,
                 "run type %.60s is not among the shared_run_types of [server] on this node",
                 run_type);
}

void shared_storage_check(struct build *b, const struct section *section) {
  char host[HOST_MAX];
  const char *port;
  struct network address;
  struct storage_settings *st = section->raw;
  if (!section->shared) return;
  if (address_split(st->address, host, sizeof host, &port) && host_address(host, &address) &&
      network_is_link_local(&address))
    section_refuse(b, section, "address",
                   "a link-local address, where machines keep what is theirs alone; a shared "
                   "section cannot use it");
}

void shared_pool_check(struct build *b, const struct section *section) {
  struct pool_settings *p = section->raw;
  if (!section->shared) return;
  if (*p->run_type) shared_run_type_check(b, section, p->run_type);
  addresses_check(b, section, p->run_type);
}

static bool path_is_below(const char *path, const char *root) {
  size_t len = strlen(root);
  while (len > 1 && root[len - 1] == '/') len--;
  return !strncmp(path, root, len) && (len == 1 || path[len] == '/');
}

/* The path as it is on this machine; one that is not here (PHP-FPM in a container) as it stands. */
static void entry_root_check(struct build *b, const struct section *section, const char *entry) {
  const char *const *root = b->server.s.entry_roots;
  if (!*root) return;
  char *real = realpath(entry, NULL);
  const char *path = real ? real : entry;
  bool below = false, dots = !real && strstr(entry, "/..");
  for (; *root && !below && !dots; root++) {
    char *real_root = realpath(*root, NULL);
    below = path_is_below(path, real && real_root ? real_root : *root);
    free(real_root);
  }
  if (!below)
    section_refuse(b, section, "entry", "%s%.300s is below none of the entry_roots of [server]%s",
                   real && strcmp(real, entry) ? "it leads to " : "",
                   real && strcmp(real, entry) ? real : "this", " on this node");
  free(real);
}

void shared_topic_check(struct build *b, const struct section *section) {
  char host[HOST_MAX];
  const struct topic_settings *t = section->raw;
  const struct ini_entry *e = section_entry(section, "entry");
  if (!section->shared) return;
  if (*t->run_type) shared_run_type_check(b, section, t->run_type);
  if (!e || !*e->value) return;
  if (!strcmp(t->run_type, "cgi")) entry_root_check(b, section, e->value);
  if (strcmp(t->run_type, "http")) return;
  if (url_host(e->value, host, sizeof host))
    host_check(b, section, "entry", host);
  else
    section_refuse(b, section, "entry", "this is no URL with a plain host name");
}

void shared_alert_check(struct build *b, const struct section *section) {
  char host[HOST_MAX];
  const struct alert_settings *a = section->raw;
  if (!section->shared || !*a->webhook) return;
  if (url_host(a->webhook, host, sizeof host))
    host_check(b, section, "webhook", host);
  else
    section_refuse(b, section, "webhook", "this is no URL with a plain host name");
}

/* The end. */

void shared_broken_add(struct build *b, const struct section *section, const char *why) {
  struct broken *broken = arena_alloc(b->arena, sizeof *broken);
  broken->b = (struct settings_broken){kind_get(section->id)->name, section->name, why};
  *b->broken_end = broken;
  b->broken_end = &broken->next;
  b->n_broken++;
}

void shared_rules_end(struct build *b) {
  if (!b->stand_ins[STORAGE]) return;
  for (struct stand_in *s = b->stand_ins[STORAGE]->list; s; s = s->next) {
    s->section.next = NULL;
    *b->sections_end[STORAGE] = &s->section;
    b->sections_end[STORAGE] = &s->section.next;
    b->n_sections[STORAGE]++;
  }
}
