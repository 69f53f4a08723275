/* Owns the way from files to a snapshot: read, sorted by kind, checked, filled.
 *
 * Must never happen: a snapshot that is used before all of it was checked.
 */
#include "config/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct settings *snapshot_new(const char *file) {
  struct arena *arena = arena_new();
  struct settings *s = arena_alloc(arena, sizeof *s);
  s->refs = 1;
  s->file = arena_text(arena, file, strlen(file));
  s->priv = arena_alloc(arena, sizeof *s->priv);
  s->priv->arena = arena;
  return s;
}

static void build_init(struct build *b, const char *file, struct ini *conf,
                       const struct settings_types *types, struct faults *faults) {
  memset(b, 0, sizeof *b);
  b->settings = snapshot_new(file);
  b->arena = b->settings->priv->arena;
  b->scratch = arena_new();
  b->faults = faults;
  b->conf = conf;
  b->types = types;
  b->clashes_end = &b->clashes;
  b->broken_end = &b->broken;
  const char **files = arena_alloc(b->arena, (conf->n_files + 1) * sizeof *files);
  for (size_t i = 0; i < conf->n_files; i++)
    files[i] = arena_text(b->arena, conf->files[i], strlen(conf->files[i]));
  b->settings->priv->files = files;
  b->settings->priv->n_files = conf->n_files;
}

/* The structs of one kind, as an array of pointers: raw structs begin with the public ones. */
static const void *array_make(struct build *b, enum kind_id id, size_t *ret_n) {
  const void **all = arena_alloc(b->arena, (b->n_sections[id] + 1) * sizeof *all);
  size_t n = 0;
  for (const struct section *i = b->sections[id]; i; i = i->next)
    if (!i->twin && !i->dropped) all[n++] = i->raw;
  *ret_n = n;
  return all;
}

/* Gives each queue the list of its topics, in the order of the files. */
static void queues_link(struct build *b) {
  struct settings *s = b->settings;
  for (size_t i = 0; i < s->n_queues; i++) {
    struct queue_settings *q = &((struct queue_raw *)(uintptr_t)s->queues[i])->s;
    q->topics = arena_alloc(b->arena, (q->n_topics + 1) * sizeof *q->topics);
    q->n_topics = 0;
  }
  for (size_t i = 0; i < s->n_topics; i++) {
    const struct topic_settings *t = s->topics[i];
    struct queue_settings *q = (struct queue_settings *)(uintptr_t)t->queue;
    ((const struct topic_settings **)(uintptr_t)q->topics)[q->n_topics++] = t;
  }
}

/* What the shared configuration has here that does not count, or does not run. */
static void shared_fill(struct build *b) {
  struct settings *s = b->settings;
  struct settings_clash *clashes = arena_alloc(b->arena, (b->n_clashes + 1) * sizeof *clashes);
  struct settings_broken *broken = arena_alloc(b->arena, (b->n_broken + 1) * sizeof *broken);
  for (const struct clash *i = b->clashes; i; i = i->next) clashes[s->n_clashes++] = i->c;
  for (const struct broken *i = b->broken; i; i = i->next) broken[s->n_broken++] = i->b;
  s->clashes = clashes;
  s->broken = broken;
  if (b->types && b->types->shared) s->shared_number = b->types->shared->number;
}

static void snapshot_fill(struct build *b) {
  struct settings *s = b->settings;
  struct settings_private *priv = s->priv;

  s->server = b->server.s;
  s->cluster = b->cluster.s;
  s->ldap = b->ldap.s;
  s->systems = array_make(b, SYSTEM, &s->n_systems);
  s->nodes = array_make(b, NODE, &s->n_nodes);
  s->storages = array_make(b, STORAGE, &s->n_storages);
  s->pools = array_make(b, POOL, &s->n_pools);
  s->queues = array_make(b, QUEUE, &s->n_queues);
  s->topics = array_make(b, TOPIC, &s->n_topics);
  s->alerts = array_make(b, ALERT, &s->n_alerts);
  s->users = array_make(b, USER, &s->n_users);
  queues_link(b);
  shared_fill(b);
  name_index_init(&priv->queues, s->n_queues, b->arena);
  for (size_t i = 0; i < s->n_queues; i++)
    name_index_put(&priv->queues, s->queues[i]->name, s->queues[i]);
  name_index_init(&priv->topics, s->n_topics, b->arena);
  for (size_t i = 0; i < s->n_topics; i++)
    name_index_put(&priv->topics, s->topics[i]->path, s->topics[i]);
}

/* The transports whose tables can be worked with; the plugin loader refuses others as well. */
static void types_check(struct build *b, struct settings_types *ret,
                        const struct pb_transport **sound) {
  char why[OPTION_TEXT_MAX];
  if (b->types) *ret = *b->types;
  ret->transports = sound;
  ret->n = 0;
  for (size_t i = 0; b->types && i < b->types->n; i++) {
    const struct pb_transport *t = b->types->transports[i];
    if (options_check(transport_options(t, POOL), t->pool_conf_size, why, sizeof why) < 0 ||
        options_check(transport_options(t, TOPIC), t->topic_conf_size, why, sizeof why) < 0)
      fault_add(b->faults, (struct place){b->settings->file, 0},
                "the plugin for run type %s cannot be used: its table of keys: %s", t->run_type,
                why);
    else
      sound[ret->n++] = t;
  }
  b->types = ret;
}

/* Reads the shared sections after those of the files; returns their file's name. */
static const char *shared_add(struct ini *conf, const struct shared_text *t,
                              struct faults *faults) {
  char name[64] = "shared configuration";
  if (t->number) snprintf(name, sizeof name, "shared configuration, revision %" PRIu64, t->number);
  ini_add_text(conf, name, t->text, t->len, faults);
  return conf->files[conf->n_files - 1];
}

static int settings_make(const char *name, struct ini *conf, const struct settings_types *types,
                         struct faults *faults, FILE *errors, struct settings **ret) {
  struct build b;
  struct settings_types sound = {0};
  int rc = 0;

  const char *shared_file = types && types->shared ? shared_add(conf, types->shared, faults) : NULL;
  build_init(&b, name, conf, types, faults);
  b.shared_file = shared_file;
  types_check(&b, &sound, arena_alloc(b.scratch, (types ? types->n + 1 : 1) * sizeof(void *)));
  sections_read(&b);
  rules_check(&b);
  if (errors) faults_write(faults, errors);
  if (faults_count(faults)) {
    rc = -EINVAL;
    arena_free(b.arena);
  } else {
    snapshot_fill(&b);
    *ret = b.settings;
  }
  arena_free(b.scratch);
  return rc;
}

void settings_keep_start(struct settings *to, const struct settings *from) {
  const char **texts[] = {&to->server.node, &to->server.state_dir, &to->server.plugin_dir};
  bool key_moved = strcmp(to->server.state_dir, from->server.state_dir) != 0;
  const char *was[] = {from->server.node, from->server.state_dir, from->server.plugin_dir};
  for (size_t i = 0; i < sizeof was / sizeof *was; i++)
    *texts[i] = arena_text(to->priv->arena, was[i], strlen(was[i]));
  if (key_moved) /* with the folder that does not move before the next start */
    to->cluster.key_file =
        arena_text(to->priv->arena, from->cluster.key_file, strlen(from->cluster.key_file));
}

int settings_load(const char *file, const struct settings_types *types, FILE *errors,
                  struct settings **ret) {
  struct faults *faults = faults_new();
  struct ini *conf = ini_read(file, faults);
  int rc = settings_make(file, conf, types, faults, errors, ret);
  ini_free(conf);
  faults_free(faults);
  return rc;
}

int settings_parse(const char *name, const void *text, size_t len,
                   const struct settings_types *types, FILE *errors, struct settings **ret) {
  struct faults *faults = faults_new();
  struct ini *conf = ini_parse_text(name, text, len, faults);
  int rc = settings_make(name, conf, types, faults, errors, ret);
  ini_free(conf);
  faults_free(faults);
  return rc;
}

/* Leaves only [server] and [cluster]. */
static void sections_peek(struct ini *c) {
  for (struct ini_section **at = &c->sections; *at;)
    if (strcmp((*at)->type, "server") != 0 && strcmp((*at)->type, "cluster") != 0)
      *at = (*at)->next;
    else
      at = &(*at)->next;
}

int settings_peek(const char *file, FILE *errors, struct settings **ret) {
  struct faults *unheard = faults_new(), *faults = faults_new();
  struct ini *conf = ini_read(file, unheard);
  struct build b;
  int rc = 0;

  sections_peek(conf);
  build_init(&b, file, conf, NULL, faults);
  sections_read(&b);
  rules_check_server(&b);
  if (!conf->n_files) { /* no file was read: report only why */
    if (errors) faults_write(unheard, errors);
    rc = -EINVAL;
  } else if (errors && faults_count(faults)) {
    faults_write(faults, errors);
    rc = -EINVAL;
  }
  if (rc) {
    arena_free(b.arena);
  } else {
    snapshot_fill(&b);
    *ret = b.settings;
  }
  arena_free(b.scratch);
  ini_free(conf);
  faults_free(faults);
  faults_free(unheard);
  return rc;
}
