/* Private to config/: sections between the files and the snapshot.
 *
 * Each kind of section has one table of options. The offsets are into these structs. Each struct
 * begins with the public struct. Behind it stands text that is resolved later (names of other
 * sections, password files) and has no meaning afterwards.
 */
#ifndef PB_CORE_CONFIG_PRIVATE_H
#define PB_CORE_CONFIG_PRIVATE_H

#include "base/arena.h"
#include "base/name_index.h"
#include "config/ini.h"
#include "config/option.h"
#include "config/settings.h"

struct server_raw {
  struct server_settings s;
  const char *const *include;
};

struct cluster_raw {
  struct cluster_settings s;
  const char *storage;
};

struct ldap_raw {
  struct ldap_settings s;
};

struct node_raw {
  struct node_settings s;
  const char *const *systems;
};

struct system_raw {
  struct system_settings s;
};

struct storage_raw {
  struct storage_settings s;
  const char *system, *password_file;
};

struct pool_raw {
  struct pool_settings s;
};

struct queue_raw {
  struct queue_settings s;
  const char *system, *password_file;
};

struct topic_raw {
  struct topic_settings s;
  const char *storage, *pool, *password_file, *signing_key_file;
};

struct alert_raw {
  struct alert_settings s;
  const char *webhook_secret_file;
};

struct user_raw {
  struct user_settings s;
  const char *const *systems;
  const char *password_file;
};

enum kind_id {
  SERVER,
  CLUSTER,
  LDAP,
  SYSTEM,
  NODE,
  STORAGE,
  POOL,
  QUEUE,
  TOPIC,
  ALERT,
  USER,
  KINDS
};

struct kind {
  const char *name;
  struct options options;
  size_t raw_size, public_size;
  const char *help;    /* one sentence for the reference */
  const char *help_zh; /* the same in Chinese */
  const char *example; /* the name in the sample file; NULL: has no name */
};

/* An option of the core's own tables: an option of a plugin, plus the texts of a form. */
struct core_option {
  struct pb_option o;  /* first, for `struct options` steps from one to the next */
  const char *title;   /* a few words, the label of a field */
  const char *help_zh; /* o.help in Chinese; NULL: not translated */
  bool people_only;    /* title, comment: what runs does not change with it */
};

/* schema.c */
const struct kind *kind_get(enum kind_id id);
const struct kind *kind_named(const char *name); /* NULL: there is none */
enum kind_id kind_id_of(const struct kind *k);
/* NULL: `o` is no option of the core's own table. */
const char *option_title(const struct kind *k, const struct pb_option *o);
/* The table of a run type for [pool] or [topic]; empty where `t` is NULL. */
struct options transport_options(const struct pb_transport *t, enum kind_id id);
/* transport_zh.c: the help of a key in Chinese; NULL: there is none. */
const char *transport_help_zh(const char *run_type, const char *key);

/* One section on its way. */
struct section {
  struct section *next; /* of the same kind, in the order of the files */
  enum kind_id id;
  const struct ini_section *ini;
  struct place place; /* lives with the snapshot */
  const char *name;
  void *raw;
  bool twin;        /* another section of this name came before */
  bool faulty;      /* a fault was reported for this section */
  bool shared;      /* it stands in the shared configuration */
  bool dropped;     /* shared, and no part of the snapshot here */
  const char *lack; /* shared: why it cannot be used on this node; NULL: it can */
};

struct settings_private {
  struct arena *arena;
  struct name_index queues, topics;
  const char *const *files; /* n_files */
  size_t n_files;
};

/* All sections of all files while they are checked. */
struct build {
  struct arena *arena; /* the snapshot's */
  struct arena *scratch;
  struct faults *faults;
  const struct ini *conf;
  const struct settings_types *types; /* its plugins are called by sections_call_plugin() only */
  struct settings *settings;
  struct section *sections[KINDS], **sections_end[KINDS];
  size_t n_sections[KINDS];
  struct name_index names[KINDS];
  struct server_raw server;
  struct cluster_raw cluster;
  struct ldap_raw ldap;
  const struct ini_entry *server_seen[OPTIONS_MAX];
  const struct section *server_last;
  const char *shared_file; /* its name in `conf`; NULL: there is none */
  struct clash *clashes, **clashes_end;
  struct broken *broken, **broken_end;
  struct stand_ins *stand_ins[KINDS]; /* shared_rules.c */
  size_t n_clashes, n_broken;
};

struct clash {
  struct clash *next;
  struct settings_clash c;
};

struct broken {
  struct broken *next;
  struct settings_broken b;
};

#define NAME_RULE "a name has 1 to %d letters, digits and _ . : -, and at least one letter or digit"

/* section.c: the faults of a section. */
#define TITLE_MAX 320
/* "[topic msg/reply]". A long name is cut so that the line stays readable. */
const char *section_title(const struct ini_section *s, char *ret, size_t size);
/* At an entry; NULL: at the section. */
void section_report(struct build *b, const struct section *section, const struct ini_entry *e,
                    bool warning, const char *text);
/* A key of a core section or of a transport that holds a secret. */
bool section_key_is_secret(const struct build *b, enum kind_id id, const char *key);
const struct ini_entry *section_entry(const struct section *section, const char *key);
/* A fault or warning at a key, or where it is not there at the section:
 * "[topic msg/reply] timeout = 60: ...". */
void section_fault(struct build *b, const struct section *section, const char *key, const char *fmt,
                   ...) __attribute__((format(printf, 4, 5)));
void section_warn(struct build *b, const struct section *section, const char *key, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));

/* Something that a section needs is not there. Of a file: a fault. A shared one can then not be
 * used on this node, which a warning tells. */
void section_lack(struct build *b, const struct section *section, const char *key, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
/* A rule of this node forbids it: the same, but for somebody who wants to apply it, a fault. */
void section_refuse(struct build *b, const struct section *section, const char *key,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* sections.c: sections by the tables of their kinds. */
void sections_read(struct build *b);
bool name_is_sound(const char *name, size_t len);
/* Reads the other keys of a pool or topic into a new struct, by the table of its run type. */
const void *section_transport_conf(struct build *b, const struct section *section,
                                   const struct pb_transport *t, size_t *ret_size);
/* Reports an unknown key and the key that was probably meant. `more`: the keys of a transport. */
void section_key_unknown(struct build *b, const struct section *section, const struct ini_entry *e,
                         struct options more);
/* Calls into a plugin: on the loop's thread, wherever this one is. */
void sections_call_plugin(struct build *b, void (*fn)(void *arg), void *arg);
/* A fault that a transport told: at its option, or at the section. Mild: a warning. */
void section_transport_fault(struct build *b, const struct section *section, bool mild,
                             struct pb_err *err);
/* shared_rules.c: what holds for sections of the shared configuration alone. */
/* False: the section does not count on this node, and that was told. */
bool shared_section_counts(struct build *b, const struct ini_section *s, const struct kind *kind);
/* False, and a fault: only a file of the node may have this value. */
bool shared_value_allowed(struct build *b, const struct section *section, const struct ini_entry *e,
                          const struct pb_option *o);
/* The value of a secret, opened where it is sealed. */
const char *shared_secret(struct build *b, const struct section *section,
                          const struct ini_entry *e);
/* Stands for a section that is not there on this node, so that nothing points nowhere. */
void *shared_stand_in(struct build *b, const struct section *section, enum kind_id id,
                      const char *name);
void shared_run_type_check(struct build *b, const struct section *section, const char *run_type);
void shared_storage_check(struct build *b, const struct section *section);
void shared_pool_check(struct build *b, const struct section *section);
void shared_topic_check(struct build *b, const struct section *section);
void shared_alert_check(struct build *b, const struct section *section);
/* At the end: what is broken is listed, and stand-ins of storages join the others. */
void shared_rules_end(struct build *b);
void shared_broken_add(struct build *b, const struct section *section, const char *why);

/* rules.c: references between sections, and everything one table cannot say. */
void rules_check(struct build *b);
void rules_check_server(struct build *b);

/* rules_alert.c: after queues and topics. */
void rules_alert_check(struct build *b, const struct section *section);

#endif
