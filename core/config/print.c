/* The tables as text: the effective configuration, the sample file. */
#include "config/private.h"

#include <stdlib.h>
#include <string.h>

#define HELP_WIDTH 96

/* Dump. */

static void reference_print(const char *key, const char *name, FILE *out) {
  if (name) fprintf(out, "%s = %s\n", key, name);
}

static void option_line(const struct pb_option *o, const void *conf, FILE *out) {
  char *text = NULL;
  size_t len = 0;
  FILE *mem = open_memstream(&text, &len);
  if (!mem) return;
  option_print(o, conf, mem);
  fclose(mem);
  fprintf(out, "%s =%s%s\n", o->name, len ? " " : "", text ? text : "");
  free(text);
}

/* The keys of the struct itself. */
static void core_print(enum kind_id id, const void *conf, FILE *out) {
  const struct kind *k = kind_get(id);
  for (const struct pb_option *o = NULL; (o = option_next(k->options, o));) {
    if (o->offset >= k->public_size || (o->flags & PB_OPT_DEPRECATED)) continue;
    option_line(o, conf, out);
  }
}

static void conf_print(const struct pb_transport *t, enum kind_id id, const void *conf, FILE *out) {
  struct options own = transport_options(t, id);
  for (const struct pb_option *o = NULL; conf && (o = option_next(own, o));)
    if (!option_find(kind_get(id)->options, o->name) && !(o->flags & PB_OPT_DEPRECATED))
      option_line(o, conf, out);
}

static void storage_print(const struct storage_settings *st, FILE *out) {
  if (st->broken && !*st->address) return; /* it stands for one that is not there */
  fprintf(out, "\n[storage %s]\n", st->name);
  reference_print("system", st->system ? st->system->name : NULL, out);
  core_print(STORAGE, st, out);
}

static void topic_print(const struct topic_settings *t, FILE *out) {
  struct topic_settings shown = *t;
  if (t->password == t->queue->password) shown.password = ""; /* its own by the next parsing too */
  fprintf(out, "\n[topic %s]\n", t->path);
  reference_print("storage", t->storage->name, out);
  reference_print("pool", t->pool ? t->pool->name : NULL, out);
  core_print(TOPIC, &shown, out);
  conf_print(t->transport, TOPIC, t->conf, out);
}

static void systems_print(const struct system_settings *const *systems, size_t n, FILE *out) {
  fputs("systems =", out);
  for (size_t i = 0; i < n; i++) fprintf(out, "%s %s", i ? "," : "", systems[i]->name);
  putc('\n', out);
}

static void alert_print(const struct alert_settings *a, FILE *out) {
  fprintf(out, "\n[alert %s]\n", a->name);
  core_print(ALERT, a, out);
}

static void user_print(const struct user_settings *u, FILE *out) {
  fprintf(out, "\n[user %s]\n", u->name);
  core_print(USER, u, out);
  systems_print(u->systems, u->n_systems, out);
}

/* Sections that have no name, and that a file need not have. */
static void unnamed_print(const struct settings *s, FILE *out) {
  if (s->cluster.place.line) {
    fputs("\n[cluster]\n", out);
    reference_print("storage", s->cluster.storage ? s->cluster.storage->name : NULL, out);
    core_print(CLUSTER, &s->cluster, out);
  }
  if (s->ldap.place.line) {
    fputs("\n[ldap]\n", out);
    core_print(LDAP, &s->ldap, out);
  }
}

static void head_print(const struct settings *s, FILE *out) {
  fputs("; The effective configuration, secrets masked. Read from", out);
  for (size_t i = 0; i < s->priv->n_files; i++)
    fprintf(out, "%s %s", i ? "," : "", s->priv->files[i]);
  fputs("\n\n[server]\n", out);
  core_print(SERVER, &s->server, out);
  unnamed_print(s, out);
  for (size_t i = 0; i < s->n_systems; i++) {
    fprintf(out, "\n[system %s]\n", s->systems[i]->name);
    core_print(SYSTEM, s->systems[i], out);
  }
  for (size_t i = 0; i < s->n_nodes; i++) {
    fprintf(out, "\n[node %s]\n", s->nodes[i]->name);
    core_print(NODE, s->nodes[i], out);
    systems_print(s->nodes[i]->systems, s->nodes[i]->n_systems, out);
  }
  for (size_t i = 0; i < s->n_storages; i++) storage_print(s->storages[i], out);
  for (size_t i = 0; i < s->n_pools; i++) {
    const struct pool_settings *p = s->pools[i];
    fprintf(out, "\n[pool %s]\n", p->name);
    core_print(POOL, p, out);
    conf_print(p->transport, POOL, p->conf, out);
  }
}

/* The first part is all that comes before the queues. Then each queue with its topics is one part.
 * The last part is the alerts and the users. */
bool settings_dump_part(const struct settings *s, size_t part, FILE *out) {
  if (!part) {
    head_print(s, out);
    return true;
  }
  if (part > s->n_queues) {
    for (size_t i = 0; i < s->n_alerts; i++) alert_print(s->alerts[i], out);
    for (size_t i = 0; i < s->n_users; i++) user_print(s->users[i], out);
    return false;
  }
  const struct queue_settings *q = s->queues[part - 1];
  fprintf(out, "\n[queue %s]\n", q->name);
  reference_print("system", q->system ? q->system->name : NULL, out);
  core_print(QUEUE, q, out);
  for (size_t n = 0; n < q->n_topics; n++) topic_print(q->topics[n], out);
  return true;
}

void settings_dump(const struct settings *s, FILE *out) {
  for (size_t part = 0; settings_dump_part(s, part, out); part++) {
  }
}

/* Sample file. */

static void help_print(const char *text, FILE *out) {
  size_t at = 0;
  for (const char *word = text; *word;) {
    size_t len = strcspn(word, " ");
    if (!at || at + 1 + len > HELP_WIDTH) {
      fputs(at ? "\n;" : ";", out);
      at = 1;
    }
    fprintf(out, " %.*s", (int)len, word);
    at += 1 + len;
    word += len + strspn(word + len, " ");
  }
  putc('\n', out);
}

static void facts_print(const struct pb_option *o, FILE *out) {
  char range[160];
  option_range_text(o, range, sizeof range);
  if (*range) fprintf(out, "; %s: %s\n", option_type_name(o), range);
}

/* The value that the sample shows where the default is empty: something to start from. */
static const struct {
  const char *section, *run_type, *key, *value; /* run_type NULL: the core's own keys */
} examples[] = {{"system", NULL, "title", "Live rooms"},
                {"cluster", NULL, "title", "Production"},
                {"cluster", NULL, "colour", "red"},
                {"cluster", NULL, "storage", "main"},
                {"ldap", NULL, "url", "ldaps://ldap.example.com"},
                {"ldap", NULL, "bind", "uid=%u,ou=people,dc=example,dc=com"},
                {"node", NULL, "systems", "live"},
                {"storage", NULL, "address", "127.0.0.1:6379"},
                {"pool", NULL, "run_type", "cgi"},
                {"pool", "cgi", "address", "127.0.0.1:9000"},
                {"queue", NULL, "password", "secret"},
                {"topic", NULL, "storage", "main"},
                {"topic", NULL, "run_type", "cgi"},
                {"topic", NULL, "pool", "local"},
                {"topic", "cgi", "entry", "/srv/app/worker/ReplyWorker.php"},
                {"topic", "http", "entry", "https://app.example/worker.php"},
                {"topic", "exec", "entry", "/srv/app/bin/resize --quality 80"},
                {"topic", "pull", "entry", "php /srv/app/worker.php -q %q -t %t -h %h -p %p"},
                {"alert", NULL, "when", "ready > 10000 for 2m"},
                {"alert", NULL, "topic", "msg/reply"},
                {"alert", NULL, "webhook", "https://example.org/hook"},
                {"user", NULL, "role", "admin"}};

static const char *example_value(const char *section, const char *run_type,
                                 const struct pb_option *o) {
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
    if (strcmp(examples[i].section, section) == 0 && strcmp(examples[i].key, o->name) == 0 &&
        !examples[i].run_type == !run_type &&
        (!run_type || strcmp(examples[i].run_type, run_type) == 0))
      return examples[i].value;
  return NULL;
}

/* `run_type` of a transport's key; NULL: the core's own. */
static void option_sample(const struct kind *k, const char *run_type, const struct pb_option *o,
                          FILE *out) {
  const char *example = o->def ? NULL : example_value(k->name, run_type, o);
  if (o->flags & PB_OPT_DEPRECATED) return;
  putc('\n', out);
  if (o->help) help_print(o->help, out);
  facts_print(o, out);
  if (o->flags & PB_OPT_REQUIRED) fputs("; required\n", out);
  fprintf(out, ";%s =%s", o->name, o->def || example ? " " : "");
  option_print_text(o->def ? o->def : example ? example : "", out);
  putc('\n', out);
}

static void transport_sample(const struct kind *k, enum kind_id id, const struct pb_transport *t,
                             FILE *out) {
  struct options own = transport_options(t, id);
  if (!option_next(own, NULL)) return;
  fprintf(out, "\n; With run_type = %s", t->run_type);
  if (t->summary && *t->summary) fprintf(out, " (%s)", t->summary);
  fputs(":\n", out);
  for (const struct pb_option *o = NULL; (o = option_next(own, o));)
    if (!option_find(k->options, o->name)) option_sample(k, t->run_type, o, out);
}

void settings_sample(const struct settings_types *types, FILE *out) {
  fputs("; Every key of Pepperbus with its default. Lines that begin with ';' are comments: take\n"
        "; the ';' away from a section and from the keys that shall differ. See\n"
        "; doc/configuration.md; `pepperbusd -t` checks this file and `pepperbusd --dump-config`\n"
        "; prints what is in effect.\n",
        out);
  for (int id = 0; id < KINDS; id++) {
    const struct kind *k = kind_get((enum kind_id)id);
    fputs("\n\n", out);
    help_print(k->help, out);
    if (!k->example)
      fprintf(out, "%s[%s]\n", id == SERVER ? "" : ";", k->name);
    else
      fprintf(out, ";[%s %s]\n", k->name, k->example);
    for (const struct pb_option *o = NULL; (o = option_next(k->options, o));)
      option_sample(k, NULL, o, out);
    for (size_t i = 0; types && i < types->n; i++)
      transport_sample(k, (enum kind_id)id, types->transports[i], out);
  }
}
