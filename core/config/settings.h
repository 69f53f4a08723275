/* The checked configuration: one immutable, reference-counted snapshot.
 *
 * INI files -> ini.c (keys with file and line) -> sections.c (values, by the option tables)
 * -> rules.c (references between sections, defaults) -> this. Everything that
 * runs holds a reference to the snapshot it was started from; a reload builds the next one
 * and compares (settings_topic_equal() ...), so that only what differs is touched.
 *
 * All pointers inside live as long as the snapshot. Cross references are resolved: a topic
 * points at its queue, storage and pool.
 */
#ifndef PB_CORE_SETTINGS_H
#define PB_CORE_SETTINGS_H

#include "config/alert_when.h"
#include "config/faults.h" /* struct place */

#include <pepperbus/option.h>
#include <pepperbus/transport.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NAME_LEN_MAX 128 /* of a system, storage, pool, queue or topic */

struct server_settings {
  struct place place;
  const char *node;          /* never empty: default is the host name */
  const char *const *listen; /* "127.0.0.1:12017", "unix:/path", "[::1]:12017" */
  const char *admin;         /* "127.0.0.1:19840"; "" : no admin port */
  const char *const *hosts;  /* further names by which the admin port may be asked */
  int metrics;               /* of a bare scrape: 0 auto, 1 totals, 2 topics */
  int metrics_auth, legacy_metrics;
  const char *const *systems; /* whose topics this node runs; empty: all */
  const char *state_dir, *plugin_dir, *console_dir;
  int64_t max_clients;
  uint64_t max_job_size;
  int64_t max_arguments;    /* of one command, after AUTH */
  uint64_t max_output;      /* bytes waiting for one client that does not read */
  int64_t max_inflight;     /* commands of one client waiting for their replies */
  uint64_t auth_timeout_ms; /* a connection that has not authenticated by then is closed */
  int64_t auth_attempts;    /* failed AUTHs a minute from one address */
  uint64_t drain_timeout_ms;
  int log_level;  /* enum pb_log_level */
  int log_format; /* 0 text, 1 json */
  /* Who may reach the admin port, and as whom. */
  const char *const *trusted_proxies; /* addresses and networks, see base/network.h */
  const char *auth_header;            /* "": none; else trusted_proxies is not empty */
  int auth_default_role;              /* enum user_role, or 3: nobody without a [user] section */
  const char *base_path;              /* "" or "/x/y" */
  int allow_plain_admin;
  /* What shared sections may have this node run and reach. */
  const char *const *entry_roots, *const *http_hosts, *const *shared_run_types;
};

/* This node is one of several that share a configuration. */
struct cluster_settings {
  struct place place;         /* line 0: the file has no such section, and all are defaults */
  const char *name;           /* never empty */
  const char *key_file;       /* absolute */
  const char *title, *colour; /* colour: "" or a word of the table */
  /* Where the shared things live: a local section; NULL: none is named, and there is not exactly
   * one. */
  const struct storage_settings *storage;
};

struct ldap_settings {
  struct place place; /* line 0: there is no such section */
  const char *url, *bind, *groups, *admin_group, *operator_group, *ca_file;
  int start_tls;
  uint64_t timeout_ms;
};

/* `shared`: the section stands in the shared configuration, not in a file of this node. `title` and
 * `comment` are for people, nothing runs by them. */
struct system_settings {
  struct place place;
  const char *name, *title, *comment;
  bool shared;
};

struct node_settings {
  struct place place;
  const char *name, *title, *comment;
  const struct system_settings *const *systems; /* n_systems; 0: what its [server] says */
  size_t n_systems;
  int drain;
  bool shared;
};

struct storage_settings {
  struct place place;
  const char *name;
  const struct system_settings *system; /* NULL: any system may use it */
  const char *address;                  /* "127.0.0.1:6379", "unix:/path"; "" when managed */
  const char *username, *password;      /* password: secret, in clear: Redis wants it so */
  int64_t db;
  int managed;
  const char *server_binary; /* of a managed storage: "redis-server" */
  uint64_t connect_timeout_ms, command_timeout_ms;
  uint64_t lease_ms;    /* a node silent for this long is dead, its running jobs are taken over */
  int64_t max_inflight; /* jobs on the way to this storage */
  int64_t max_connections; /* 2: none for jobs that wait for replicas; 0: no limit */
  const char *title, *comment;
  bool shared;
  const char *broken; /* why this node cannot use it, and never connects; NULL: it can */
};

struct pool_settings {
  struct place place;
  const char *name;
  const char *run_type;
  const struct pb_transport *transport; /* NULL: no plugin provides run_type */
  int64_t max_connections;              /* requests at a time over all topics on this node */
  int concurrency;                      /* 0 fixed, 1 auto: as many as the workers bear */
  int64_t reserve;                      /* with auto: workers left free for others */
  const void *conf;                     /* by transport->pool_options; valid with the snapshot */
  size_t conf_size;
  const char *title, *comment;
  bool shared;
  const char *broken; /* why this node cannot use it; NULL: it can */
};

struct queue_settings {
  struct place place;
  const char *name;
  const struct system_settings *system; /* NULL only where the file has no [system] at all */
  const char *password;                 /* plain, or "sha256:SALT:HEX"; see secret.h */
  int64_t max_length;                   /* 0: no limit */
  uint64_t max_bytes;
  uint64_t retain_ms;
  const char *title, *comment;
  bool shared;
  const struct topic_settings *const *topics; /* of this queue, n_topics */
  size_t n_topics;
};

enum signing_version { SIGNING_V2, SIGNING_V1 };

struct topic_settings {
  struct place place;
  const char *name; /* without the queue */
  const char *path; /* "queue/topic" */
  const struct queue_settings *queue;
  const struct storage_settings *storage;
  const struct pool_settings *pool; /* NULL: none named */
  const char *run_type;
  const struct pb_transport *transport; /* NULL: no plugin provides run_type */
  const char *password;                 /* never NULL: the topic's password or the queue's */
  const char *signing_key;              /* "": requests are not signed */
  int signing_version;                  /* enum signing_version */
  int64_t workers, chunk, attempts;
  int64_t crashes;        /* a job found running at the end of a node this often is dead */
  uint64_t chunk_wait_ms; /* a request that is not full waits so long for more jobs */
  uint64_t timeout_ms;
  struct pb_range backoff;
  int start_from; /* 0 now, 1 beginning */
  int enabled;
  bool pulled;          /* run_type = pull without an entry: workers come by themselves */
  bool here;            /* this node runs it: its system is one of this node's */
  const char *not_here; /* why not, for people; NULL: it does */
  const char *title, *comment;
  bool shared;
  const char *broken;        /* a shared topic that cannot run on this node: why; NULL: it can */
  const char *const *listen; /* the server's */
  const void *conf;          /* by transport->topic_options */
  size_t conf_size;
  const void *pool_conf; /* by transport->pool_options: the pool's, or without one all defaults */
};

enum user_role { USER_ADMIN, USER_OPERATOR, USER_VIEWER };

struct user_settings {
  struct place place;
  const char *name;
  int role;     /* enum user_role */
  int entries;  /* may change `entry` and `run_type` of topics */
  int contents; /* may see what is in jobs */
  bool shared;
  const struct system_settings *const *systems; /* n_systems; 0: all */
  size_t n_systems;
  const char *password;
};

/* What is watched, and who is told. */
struct alert_settings {
  struct place place;
  const char *name, *title, *comment;
  const char *when_text; /* as it stands in the file */
  struct alert_when when;
  const char *topic, *queue, *system;          /* the target: one of them, the others are "" ... */
  int all;                                     /* ... or this */
  const char *of;                              /* the system whose rights it needs; "": admins' */
  const char *webhook, *webhook_secret, *exec; /* "": none */
  uint64_t repeat_ms;                          /* 0: never told again */
  int enabled;
  bool shared;
  const char *broken; /* why this node cannot watch it; NULL: it can */
};

/* A section of the shared configuration that does not count on this node: the node's own of the
 * same name does. */
struct settings_clash {
  const char *kind, *name;
  struct place local, shared;
};

/* What of the shared configuration cannot run on this node. */
struct settings_broken {
  const char *kind, *name, *why; /* "topic", "storage" */
};

struct settings {
  unsigned refs;
  const char *file;
  uint64_t shared_number; /* revision of the shared configuration in it; 0: none */
  const struct settings_clash *clashes;
  const struct settings_broken *broken;
  size_t n_clashes, n_broken;
  struct server_settings server;
  struct cluster_settings cluster;
  struct ldap_settings ldap;
  bool drain; /* [node NAME] of this node says so: it runs no topic */
  const struct system_settings *const *systems;
  const struct node_settings *const *nodes;
  const struct storage_settings *const *storages;
  const struct pool_settings *const *pools;
  const struct queue_settings *const *queues;
  const struct topic_settings *const *topics; /* of all queues */
  const struct alert_settings *const *alerts;
  const struct user_settings *const *users;
  size_t n_systems, n_nodes, n_storages, n_pools, n_queues, n_topics, n_alerts, n_users;
  /* Private to settings.c: arena, indexes. */
  struct settings_private *priv;
};

/* The part of the configuration that all nodes have alike. */
struct shared_text {
  const char *text; /* its sections */
  size_t len;
  uint64_t number; /* of the revision; 0: not one yet */
  /* Somebody wants to apply it: what this node's own rules refuse (run types, entry_roots,
   * http_hosts, a section that the node has too) is a fault. Else, where the node only follows,
   * what they refuse is broken here and everything else runs. What is missing here (a plugin, a
   * pool, a storage, a file, a key) is broken in both cases, never a fault. */
  bool applying;
  /* A sealed secret in clear, in memory of malloc(): 0; -ENOKEY: this node has not the key;
   * -EBADMSG: it was not sealed for this section and key. On the thread of settings_load(). NULL:
   * there is no key. */
  int (*open)(void *arg, const char *kind, const char *name, const char *key, const char *sealed,
              char **ret);
  void *arg;
};

/* The run types that plugins provide, for their option tables. */
struct settings_types {
  const struct pb_transport *const *transports;
  size_t n;
  const char *refused; /* files of plugins that cannot be used, for people; "" or NULL: none */
  bool drained;        /* an operator said so: this node runs no topic */
  bool starting; /* a file or user that a topic names and that is not there stops that topic alone:
                  * a warning. Else it is a fault. */
  /* Runs fn(fn_arg) on the loop's thread, because plugins are called on that thread only. Returns
   * when fn has run, or without running it when the loop has ended. NULL: the present thread is the
   * loop's. */
  void (*call)(void *call_arg, void (*fn)(void *fn_arg), void *fn_arg);
  void *call_arg;
  /* Read after the files, as a file "shared configuration, revision N"; NULL: there is none. */
  const struct shared_text *shared;
};

/* A reload: what takes effect at the next start only stays as it was at this one. */
void settings_keep_start(struct settings *to, const struct settings *from);

/* Reads and checks `file` and what it includes. Every fault of all files is written to
 * `errors`, one line each: "file:line: what is wrong; what would be right". Warnings
 * (deprecated key, run type without a plugin, readable password file) too, after
 * "warning: ". Returns 0, or -EINVAL with *ret untouched. A run type that no plugin provides
 * is a fault; the line says which run types there are. Where a plugin was refused it is a warning:
 * the run type may be that plugin's. */
int settings_load(const char *file, const struct settings_types *types, FILE *errors,
                  struct settings **ret);
/* The same from memory, with `name` for the file. Includes are faults. */
int settings_parse(const char *name, const void *text, size_t len,
                   const struct settings_types *types, FILE *errors, struct settings **ret);
/* Only [server] of `file`, and of [cluster] name and key_file, before plugins are loaded
 * (plugin_dir, log_level); faults of other sections are not looked for. With `errors` NULL it is
 * lenient: a key at fault has its default, so that plugins can be loaded and settings_load() then
 * tells the faults of all sections at once; it fails only where no [server] can be read at all, and
 * settings_load() says why. */
int settings_peek(const char *file, FILE *errors, struct settings **ret);
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s); /* NULL is fine */

/* The effective configuration as an INI file: every key, defaults included, secrets masked. */
void settings_dump(const struct settings *s, FILE *out);
/* "added: queue q, topic q/t", "changed: ...", "removed: ...", a line each, or "nothing changed".
 */
void settings_changes(const struct settings *from, const struct settings *to, FILE *out);
/* The same in parts, from 0 on, for a caller that cannot wait for all at once. False: that was the
 * last part.
 */
bool settings_dump_part(const struct settings *s, size_t part, FILE *out);
/* A commented sample with every key of every table (conf/pepperbus.ini is made by this), the
 * configuration reference as Markdown (doc/configuration.md), and the section SECTIONS of
 * pepperbus.ini(5) in the Markdown of manual pages. */
void settings_sample(const struct settings_types *types, FILE *out);
void settings_reference(const struct settings_types *types, FILE *out);
void settings_manual(const struct settings_types *types, FILE *out);

/* What forms are made of: each key of each kind of section, then those of the run types that
 * `types` has. All texts are static. */
struct settings_key {
  const char *kind;     /* "topic" */
  const char *run_type; /* whose key it is; NULL: the core's own */
  const struct pb_option *option;
  const char *title, *help_zh; /* NULL: there is none */
};
typedef void (*settings_key_fn)(void *arg, const struct settings_key *key);
void settings_each_key(const struct settings_types *types, settings_key_fn fn, void *arg);

/* By name; NULL when there is none. Hashed: they are on the way of every job. */
const struct queue_settings *settings_queue(const struct settings *s, const char *name, size_t len);
const struct topic_settings *settings_topic(const struct settings *s, const char *path, size_t len);

/* Each section that has a name, in no order: the other nodes hear of the local ones. */
typedef void (*settings_section_fn)(void *arg, const char *kind, const char *name, struct place at,
                                    bool shared);
void settings_each_section(const struct settings *s, settings_section_fn fn, void *arg);

/* The description of a topic for a plugin; lives as long as `t`. */
struct pb_topic_info settings_topic_info(const struct topic_settings *t);

/* Equal in everything that a running one depends on (not in place). */
bool settings_storage_equal(const struct storage_settings *a, const struct storage_settings *b);
bool settings_pool_equal(const struct pool_settings *a, const struct pool_settings *b);
bool settings_topic_equal(const struct topic_settings *a, const struct topic_settings *b);
/* Of two topics: the worker is called the same way (run type, entry and other plugin keys). */
bool settings_worker_equal(const struct topic_settings *a, const struct topic_settings *b);

#endif
