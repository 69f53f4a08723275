/* The texts and tables of a descriptor. The loader (core/transport/plugin_descriptor.c) has refused
 * a descriptor that cannot be used at all. The rules here find faults that a reader of the
 * reference, of /metrics or of a log would meet.
 */
#include "tools/plugin_check/check.h"

#include <string.h>

#define METRICS_MAX 64
#define HELP_MAX    400

static bool name_ok(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
  return *name >= 'a' && *name <= 'z' && !name[strspn(name, allowed)];
}

static bool ends_with(const char *text, const char *tail) {
  size_t n = strlen(text), m = strlen(tail);
  return n >= m && !strcmp(text + n - m, tail);
}

struct options rules_pool_options(const struct pb_transport *t) {
  return (struct options){t->pool_options, t->option_size};
}

struct options rules_topic_options(const struct pb_transport *t) {
  return (struct options){t->topic_options, t->option_size};
}

/* --- keys --- */

static void help_check(const char *what, const char *name, const char *help, struct report *r) {
  if (!help || !*help)
    report_broken(r, "has no help text for %s %s; it is printed in the reference", what, name);
  else if (strlen(help) > HELP_MAX)
    report_broken(r, "has a help text of %zu bytes for %s %s; one sentence is enough", strlen(help),
                  what, name);
  else if (strpbrk(help, "\n\t"))
    report_broken(r, "has a line break or a tab in the help text of %s %s; the host wraps it", what,
                  name);
  else if (!strchr(".!?", help[strlen(help) - 1]))
    report_broken(r, "has a help text for %s %s that is no sentence (it ends without a stop)", what,
                  name);
}

static bool sounds_secret(const char *name) {
  static const char *const words[] = {"password", "passwd", "secret", "token", "credential"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strstr(name, words[i]) && !ends_with(name, "_file")) return true;
  return false;
}

static unsigned keys_check(const char *section, struct options all, size_t conf_size,
                           struct report *r) {
  char why[OPTION_TEXT_MAX], what[64];
  unsigned n = 0;
  if (options_check(all, conf_size, why, sizeof why) < 0) {
    report_broken(r, "has a table of keys for [%s] that cannot be used: %s", section, why);
    return 0;
  }
  snprintf(what, sizeof what, "[%s]", section);
  for (const struct pb_option *o = NULL; (o = option_next(all, o)); n++) {
    help_check(what, o->name, o->help, r);
    if (o->flags & ~(uint32_t)(PB_OPT_REQUIRED | PB_OPT_SECRET | PB_OPT_DEPRECATED | PB_OPT_LOCAL))
      report_broken(r, "has flags for [%s] %s that this version does not know", section, o->name);
    if (o->flags & PB_OPT_REQUIRED && o->def && *o->def)
      report_broken(r, "has a default for [%s] %s, which is required: it is never used", section,
                    o->name);
    if (o->flags & PB_OPT_REQUIRED && o->flags & PB_OPT_DEPRECATED)
      report_broken(r, "requires [%s] %s and calls it deprecated", section, o->name);
    if (sounds_secret(o->name) && o->type == PB_OPT_STRING && !(o->flags & PB_OPT_SECRET))
      report_broken(r,
                    "shows the value of [%s] %s to everybody who looks at the configuration; "
                    "PB_OPT_SECRET is missing",
                    section, o->name);
  }
  return n;
}

/* --- metrics --- */

static const struct pb_metric *metric_at(const struct pb_transport *t, unsigned n) {
  const char *p = (const char *)t->metrics;
  return (const struct pb_metric *)(const void *)(p + (size_t)n * t->metric_size);
}

static unsigned metrics_check(const struct pb_transport *t, struct report *r) {
  unsigned n = 0;
  if (!t->metrics) return 0;
  if (t->metric_size < sizeof(struct pb_metric)) {
    report_broken(r,
                  "says that an entry of its metrics has %u bytes: metric_size is "
                  "sizeof(struct pb_metric), %zu",
                  t->metric_size, sizeof(struct pb_metric));
    return 0;
  }
  for (const struct pb_metric *m; n < METRICS_MAX && (m = metric_at(t, n))->name; n++) {
    if (!name_ok(m->name))
      report_broken(r, "has a metric named \"%.60s\"; a name is of lower-case letters, digits, _",
                    m->name);
    if (m->type != PB_METRIC_COUNTER && m->type != PB_METRIC_GAUGE)
      report_broken(r, "has a metric %s of type %u, which is none", m->name, m->type);
    if ((m->type == PB_METRIC_COUNTER) != ends_with(m->name, "_total"))
      report_broken(r,
                    m->type == PB_METRIC_COUNTER
                        ? "has a counter named %s; counters end with _total"
                        : "has a gauge named %s; only counters end with _total",
                    m->name);
    if (m->scope != PB_SCOPE_POOL && m->scope != PB_SCOPE_TOPIC)
      report_broken(r, "has a metric %s of scope %u, which is none", m->name, m->scope);
    help_check("metric", m->name, m->help, r);
    for (unsigned i = 0; i < n; i++)
      if (!strcmp(metric_at(t, i)->name, m->name))
        report_broken(r, "has the metric %s twice", m->name);
  }
  if (n == METRICS_MAX)
    report_broken(r, "has a table of metrics that does not end with a NULL name");
  return n;
}

/* --- the rest --- */

static void texts_check(const struct pb_transport *t, struct report *r) {
  if (!name_ok(t->run_type))
    report_broken(r, "serves run type \"%.60s\"; run types are of lower-case letters, digits and _",
                  t->run_type);
  if (!t->version || !*t->version) report_broken(r, "has no version in its descriptor");
  if (!t->summary || !*t->summary)
    report_broken(r, "has no summary in its descriptor; pepperbusctl plugin ls shows it");
  if (!t->pool_open != !t->pool_close)
    report_broken(r, "has pool_open() or pool_close(), and not both");
  if (t->unload && !t->load) report_broken(r, "has unload() without load()");
}

void rules_check(const struct pb_transport *const *descs, struct report *r) {
  for (; *descs; descs++) {
    const struct pb_transport *t = *descs;
    report_rule(r, "descriptor", t->run_type);
    texts_check(t, r);
    report_rule(r, "keys", t->run_type);
    keys_check("pool", rules_pool_options(t), t->pool_conf_size, r);
    keys_check("topic", rules_topic_options(t), t->topic_conf_size, r);
    report_rule(r, "metrics", t->run_type);
    metrics_check(t, r);
  }
  report_end(r);
}
