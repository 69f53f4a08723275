/* From sections to structs: finds each section's table, parses its values, and cites file and
 * line where one is wrong. What concerns several sections is the matter of rules.c.
 */
#include "config/private.h"

#include "base/suggest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The snapshot outlives the files as they were read: so does the copy of their names. */
static struct place place_keep(struct build *b, struct place at) {
  const struct settings_private *priv = b->settings->priv;
  for (size_t i = 0; i < priv->n_files; i++)
    if (b->conf->files[i] == at.file) return (struct place){priv->files[i], at.line};
  return (struct place){arena_text(b->arena, at.file, strlen(at.file)), at.line};
}

/* Names. */

bool name_is_sound(const char *name, size_t len) {
  bool solid = false; /* "." and ".." would be paths elsewhere */
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)name[i];
    bool letter = c < 0x80 && isalnum(c);
    solid = solid || letter;
    if (!letter && !strchr("_.:-", c)) return false;
  }
  return solid && len <= NAME_LEN_MAX;
}

static void name_check(struct build *b, const struct section *section) {
  const char *name = section->ini->name, *what = kind_get(section->id)->name;
  size_t len = strlen(name), queue_len = len;
  bool sound;

  if (section->id == SERVER) {
    if (len)
      section_fault(b, section, NULL, "the server has no name; write [server] and node = %.60s",
                    name);
    return;
  }
  if (!kind_get(section->id)->example) {
    if (len)
      section_fault(b, section, NULL, "this section has no name; write [%s]%s%.60s", what,
                    section->id == CLUSTER ? " and name = " : "",
                    section->id == CLUSTER ? name : "");
    return;
  }
  if (!len) {
    section_fault(b, section, NULL, "a %s needs a name; write [%s %s]", what, what,
                  kind_get(section->id)->example);
    return;
  }
  if (section->id == TOPIC) {
    queue_len = strcspn(name, "/");
    if (!name[queue_len]) {
      section_fault(b, section, NULL, "a topic is named with its queue; write [topic QUEUE/%.128s]",
                    name);
      return;
    }
    sound =
        name_is_sound(name, queue_len) && name_is_sound(name + queue_len + 1, len - queue_len - 1);
  } else {
    sound = name_is_sound(name, len);
  }
  if (!sound) section_fault(b, section, NULL, NAME_RULE, NAME_LEN_MAX);
}

/* Values. */

static size_t option_rank(struct options t, const struct pb_option *o) {
  return (size_t)((const char *)o - (const char *)t.first) / t.stride;
}

/* One value by one option; `seen` holds which entry set each option before. */
static void value_take(struct build *b, const struct section *section, const struct ini_entry *e,
                       struct options t, const struct pb_option *o, void *conf,
                       const struct ini_entry **seen) {
  char why[OPTION_TEXT_MAX];
  const struct ini_entry **first = &seen[option_rank(t, o)];
  if (*first) {
    char title[TITLE_MAX];
    fault_add(b->faults, e->place, "%s %s: stands here twice, first at %s:%u; delete one of them",
              section_title(section->ini, title, sizeof title), e->key, (*first)->place.file,
              (*first)->place.line);
    return;
  }
  *first = e;
  const char *value = e->value;
  if (section->shared) {
    if (!shared_value_allowed(b, section, e, o)) return;
    if (o->flags & PB_OPT_SECRET) value = shared_secret(b, section, e);
  }
  if (option_set(o, conf, value, b->arena, why, sizeof why) < 0)
    section_report(b, section, e, false, why);
  if (o->flags & PB_OPT_DEPRECATED)
    section_report(b, section, e, true, o->help ? o->help : "deprecated");
  if ((o->flags & PB_OPT_SECRET) && e->cut)
    section_report(b, section, e, true,
                   "what follows the ';' or '#' is a comment; if it belongs to the secret, put it "
                   "all in double quotes");
}

void section_key_unknown(struct build *b, const struct section *section, const struct ini_entry *e,
                         struct options more) {
  char title[TITLE_MAX];
  const char *sorts[KINDS], *run_type = NULL;
  struct suggest near = {.want = e->key};
  struct options core = kind_get(section->id)->options;
  size_t n_sorts = 0;

  section_title(section->ini, title, sizeof title);
  for (const struct pb_option *o = NULL; (o = option_next(core, o));) suggest_offer(&near, o->name);
  for (const struct pb_option *o = NULL; (o = option_next(more, o));) suggest_offer(&near, o->name);
  for (int id = 0; id < KINDS; id++) {
    bool has = option_find(kind_get((enum kind_id)id)->options, e->key) != NULL;
    for (size_t i = 0; !has && b->types && i < b->types->n; i++)
      has = option_find(transport_options(b->types->transports[i], (enum kind_id)id), e->key);
    if (has && id != (int)section->id) sorts[n_sorts++] = kind_get((enum kind_id)id)->name;
  }
  for (size_t i = 0; !run_type && b->types && i < b->types->n; i++)
    if (option_find(transport_options(b->types->transports[i], section->id), e->key))
      run_type = b->types->transports[i]->run_type;
  if (near.best)
    fault_add(b->faults, e->place, "%s %.64s: there is no such key; did you mean %s?", title,
              e->key, near.best);
  else if (run_type)
    fault_add(b->faults, e->place,
              "%s %.64s: this key belongs to run type %s, and this %s has another run type; delete "
              "the key",
              title, e->key, run_type, kind_get(section->id)->name);
  else if (n_sorts)
    fault_add(b->faults, e->place, "%s %.64s: this key belongs in a [%s] section", title, e->key,
              sorts[n_sorts - 1]);
  else {
    char all[640] = "";
    size_t len = 0;
    for (int pass = 0; pass < 2; pass++)
      for (const struct pb_option *o = NULL; (o = option_next(pass ? more : core, o));)
        if (len < sizeof all)
          len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", len ? ", " : "", o->name);
    fault_add(b->faults, e->place, "%s %.64s: there is no such key; there are %s", title, e->key,
              all);
  }
}

static void required_check(struct build *b, const struct section *section, struct options t) {
  for (const struct pb_option *o = NULL; (o = option_next(t, o));) {
    if (!(o->flags & PB_OPT_REQUIRED)) continue;
    const struct ini_entry *e = section_entry(section, o->name);
    if (!e)
      section_fault(b, section, NULL, "%s is missing; %s", o->name,
                    o->help ? o->help : "it is required");
    else if (!*e->value && (o->type == PB_OPT_STRING || o->type == PB_OPT_LIST))
      section_fault(b, section, o->name, "the value is missing; %s",
                    o->help ? o->help : "it is required");
  }
}

static void section_values(struct build *b, struct section *section) {
  const struct kind *kind = kind_get(section->id);
  const struct ini_entry *own[OPTIONS_MAX] = {0};
  const struct ini_entry **seen = section->id == SERVER ? b->server_seen : own;
  struct options none = {NULL, sizeof(struct pb_option)};

  for (const struct ini_entry *e = section->ini->entries; e; e = e->next) {
    const struct pb_option *o = option_find(kind->options, e->key);
    /* Each file may include others. */
    if (o && section->id == SERVER && strcmp(o->name, "include") == 0) {
      const struct ini_entry **first = &seen[option_rank(kind->options, o)];
      if (*first && (*first)->place.file != e->place.file) *first = NULL;
    }
    if (o)
      value_take(b, section, e, kind->options, o, section->raw, seen);
    else if (section->id != POOL && section->id != TOPIC)
      section_key_unknown(b, section, e, none);
  }
  required_check(b, section, kind->options);
}

void section_transport_fault(struct build *b, const struct section *section, bool mild,
                             struct pb_err *err) {
  err->option[sizeof err->option - 1] = err->text[sizeof err->text - 1] = 0;
  for (char *p = err->text; *p; p++)
    if ((unsigned char)*p < ' ') *p = ' ';
  const char *key = *err->option ? err->option : NULL;
  const char *why = *err->text ? err->text : "the transport refuses this without saying why";
  if (mild && section->shared)
    section_lack(b, section, key, "%s", why);
  else if (mild)
    section_warn(b, section, key, "%s; the topic does not run, its jobs are kept", why);
  else
    section_fault(b, section, key, "%s", why);
}

void sections_call_plugin(struct build *b, void (*fn)(void *arg), void *arg) {
  if (b->types->call)
    b->types->call(b->types->call_arg, fn, arg);
  else
    fn(arg);
}

struct part_check { /* the plugin's verdict on the keys of a pool or a topic */
  const struct pb_transport *t;
  enum kind_id id;
  const void *conf;
  struct pb_err err;
  int rc;
};

static void part_check_run(void *arg) {
  struct part_check *c = arg;
  c->rc = c->t->check(c->id == POOL ? c->conf : NULL, c->id == TOPIC ? c->conf : NULL, &c->err);
}

const void *section_transport_conf(struct build *b, const struct section *section,
                                   const struct pb_transport *t, size_t *ret_size) {
  struct options options = transport_options(t, section->id), core = kind_get(section->id)->options;
  size_t size = section->id == POOL ? t->pool_conf_size : t->topic_conf_size;
  const struct ini_entry *seen[OPTIONS_MAX] = {0};
  struct pb_err err = {{0}, {0}};
  void *conf = arena_alloc(b->arena, size);
  size_t faults = faults_count(b->faults);

  options_default(options, conf, b->arena);
  for (const struct ini_entry *e = section->ini->entries; e; e = e->next) {
    const struct pb_option *o = option_find(options, e->key);
    /* A key that both tables have is set in both: a core that gets a new key must not make
     * plugins unusable that had it before. Faults were found with the core's own already. */
    if (o && option_find(core, e->key) &&
        (!section->shared || shared_value_allowed(b, section, e, o)))
      option_set(o, conf, e->value, b->arena, err.text, sizeof err.text);
    else if (o && !option_find(core, e->key))
      value_take(b, section, e, options, o, conf, seen);
    else if (!option_find(core, e->key))
      section_key_unknown(b, section, e, options);
  }
  required_check(b, section, options);
  *ret_size = size;
  if (!t->check || faults_count(b->faults) != faults) return conf; /* it saw no whole struct */
  struct part_check check = {.t = t, .id = section->id, .conf = conf};
  sections_call_plugin(b, part_check_run, &check);
  if (check.rc < 0) section_transport_fault(b, section, false, &check.err);
  return conf;
}

/* Sections. */

static void section_unknown(struct build *b, const struct ini_section *s) {
  char title[TITLE_MAX];
  struct suggest near = {.want = s->type};
  for (int id = 0; id < KINDS; id++) suggest_offer(&near, kind_get((enum kind_id)id)->name);
  section_title(s, title, sizeof title);
  if (near.best)
    fault_add(b->faults, s->place, "%s: there is no such section; did you mean [%s%s%.60s]?", title,
              near.best, *s->name ? " " : "", s->name);
  else
    fault_add(b->faults, s->place,
              "%s: there is no such section; there are [server], [cluster], [ldap] and, with a "
              "name, [system], [node], [storage], [pool], [queue], [topic], [alert] and [user]",
              title);
}

static void twin_check(struct build *b, struct section *section) {
  const struct section *first = NULL;
  if (section->id == SERVER) { /* one in each file; those of one file follow each other */
    if (b->server_last && b->server_last->ini->place.file == section->ini->place.file)
      first = b->server_last;
    b->server_last = section;
  } else if (*section->ini->name || !kind_get(section->id)->example) {
    first = name_index_put(&b->names[section->id], section->ini->name, section);
  }
  if (!first) return;
  section->twin = true;
  section_fault(b, section, NULL,
                "this section stands here twice, first at %s:%u; delete or rename one",
                first->ini->place.file, first->ini->place.line);
}

/* Fills the members that the tables cannot fill. */
static void section_identify(struct section *section, struct arena *a) {
  const char *name = section->name;
  switch (section->id) {
  case SYSTEM:
    ((struct system_raw *)section->raw)->s.place = section->place;
    ((struct system_raw *)section->raw)->s.name = name;
    ((struct system_raw *)section->raw)->s.shared = section->shared;
    break;
  case STORAGE:
    ((struct storage_raw *)section->raw)->s.place = section->place;
    ((struct storage_raw *)section->raw)->s.name = name;
    ((struct storage_raw *)section->raw)->s.shared = section->shared;
    break;
  case POOL:
    ((struct pool_raw *)section->raw)->s.place = section->place;
    ((struct pool_raw *)section->raw)->s.name = name;
    ((struct pool_raw *)section->raw)->s.shared = section->shared;
    break;
  case QUEUE:
    ((struct queue_raw *)section->raw)->s.place = section->place;
    ((struct queue_raw *)section->raw)->s.name = name;
    ((struct queue_raw *)section->raw)->s.shared = section->shared;
    break;
  case TOPIC: {
    struct topic_raw *topic = section->raw;
    const char *slash = strchr(name, '/');
    topic->s.place = section->place;
    topic->s.path = name;
    topic->s.shared = section->shared;
    topic->s.name = arena_text(a, slash ? slash + 1 : "", slash ? strlen(slash + 1) : 0);
    break;
  }
  case ALERT:
    ((struct alert_raw *)section->raw)->s.place = section->place;
    ((struct alert_raw *)section->raw)->s.name = name;
    ((struct alert_raw *)section->raw)->s.shared = section->shared;
    break;
  case USER:
    ((struct user_raw *)section->raw)->s.place = section->place;
    ((struct user_raw *)section->raw)->s.name = name;
    ((struct user_raw *)section->raw)->s.shared = section->shared;
    break;
  case NODE:
    ((struct node_raw *)section->raw)->s.place = section->place;
    ((struct node_raw *)section->raw)->s.name = name;
    ((struct node_raw *)section->raw)->s.shared = section->shared;
    break;
  case CLUSTER:
    ((struct cluster_raw *)section->raw)->s.place = section->place;
    break;
  case LDAP:
    ((struct ldap_raw *)section->raw)->s.place = section->place;
    break;
  case SERVER:
  case KINDS:
    break;
  }
}

static void section_add(struct build *b, const struct ini_section *s, const struct kind *kind) {
  struct section *section = arena_alloc(b->scratch, sizeof *section);
  section->id = (enum kind_id)(kind - kind_get(SERVER));
  section->ini = s;
  section->place = place_keep(b, s->place);
  section->shared = b->shared_file && s->place.file == b->shared_file;
  section->name = arena_text(b->arena, s->name, strlen(s->name));
  *b->sections_end[section->id] = section;
  b->sections_end[section->id] = &section->next;
  if (section->id == SERVER) {
    section->raw = &b->server;
    if (!b->server.s.place.line) b->server.s.place = section->place;
  } else if (section->id == CLUSTER || section->id == LDAP) {
    section->raw = section->id == CLUSTER ? (void *)&b->cluster : &b->ldap;
  } else {
    section->raw = arena_alloc(b->arena, kind->raw_size);
    options_default(kind->options, section->raw, b->arena);
  }
  size_t faults = faults_count(b->faults);
  name_check(b, section);
  twin_check(b, section);
  section_identify(section, b->arena);
  section_values(b, section);
  section->faulty = faults_count(b->faults) != faults;
  if (!section->twin) b->n_sections[section->id]++;
}

void sections_read(struct build *b) {
  size_t n[KINDS] = {0};
  for (const struct ini_section *s = b->conf->sections; s; s = s->next) {
    const struct kind *kind = kind_named(s->type);
    if (kind) n[kind - kind_get(SERVER)]++;
  }
  for (int id = 0; id < KINDS; id++) {
    b->sections_end[id] = &b->sections[id];
    name_index_init(&b->names[id], n[id], b->scratch);
  }
  options_default(kind_get(SERVER)->options, &b->server, b->arena);
  options_default(kind_get(CLUSTER)->options, &b->cluster, b->arena);
  options_default(kind_get(LDAP)->options, &b->ldap, b->arena);
  for (const struct ini_section *s = b->conf->sections; s; s = s->next) {
    const struct kind *kind = kind_named(s->type);
    if (!kind)
      section_unknown(b, s);
    else if (shared_section_counts(b, s, kind))
      section_add(b, s, kind);
  }
}
