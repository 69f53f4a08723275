/* Owns the check of a descriptor: its ABI, its required members, its tables. */
#include "transport/plugin_descriptor.h"

#include "config/option.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define METRICS_MAX 256
#define LOWER_CASE  "abcdefghijklmnopqrstuvwxyz"

const char *plugin_base_name(const char *file) {
  const char *slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

static bool text_ok(const char *text) {
  return text && *text;
}

static const char *name_of(const struct plugin *p) {
  return text_ok(p->desc.name) ? p->desc.name : plugin_base_name(p->file);
}

/* The tables of the descriptor that was copied: would the configuration or /metrics stumble over
 * them? Otherwise p->why says so. */
static bool keys_check(struct plugin *p, const char *section, const struct pb_option *first,
                       size_t conf_size) {
  char why[OPTION_TEXT_MAX];
  if (options_check((struct options){first, p->desc.option_size}, conf_size, why, sizeof why) >= 0)
    return true;
  snprintf(p->why, sizeof p->why,
           "%s: transport \"%.60s\" has a table of keys for [%s] that cannot be used: %s", p->file,
           name_of(p), section, why);
  return false;
}

static bool metrics_check(struct plugin *p) {
  const struct pb_transport *d = &p->desc;
  size_t n = 0;
  if (!d->metrics) return true;
  if (d->metric_size < sizeof *d->metrics) {
    snprintf(
        p->why, sizeof p->why,
        "%s: transport \"%.60s\" has metrics of metric_size %u; it is sizeof(struct pb_metric), "
        "%zu",
        p->file, name_of(p), d->metric_size, sizeof *d->metrics);
    return false;
  }
  for (; n < METRICS_MAX; n++) {
    const struct pb_metric *m =
        (const void *)((const char *)d->metrics + n * (size_t)d->metric_size);
    if (!m->name) return true;
    if (*m->name < 'a' || *m->name > 'z' || m->name[strspn(m->name, LOWER_CASE "0123456789_")] ||
        strlen(m->name) > OPTION_NAME_MAX ||
        (m->type != PB_METRIC_COUNTER && m->type != PB_METRIC_GAUGE) ||
        (m->scope != PB_SCOPE_POOL && m->scope != PB_SCOPE_TOPIC)) {
      snprintf(p->why, sizeof p->why,
               "%s: transport \"%.60s\" has a metric \"%.60s\" of type %u and scope %u; a name is "
               "of lower-case letters, digits and _, type and scope are of enum pb_metric_type and "
               "pb_metric_scope",
               p->file, name_of(p), m->name, m->type, m->scope);
      return false;
    }
  }
  snprintf(p->why, sizeof p->why,
           "%s: transport \"%.60s\" has more than %d metrics; does the table end with a NULL name?",
           p->file, name_of(p), METRICS_MAX);
  return false;
}

static bool tables_check(struct plugin *p) {
  const struct pb_transport *d = &p->desc;
  if (d->run_type[strspn(d->run_type, LOWER_CASE "0123456789_-")] ||
      strlen(d->run_type) >= sizeof p->run_type) {
    snprintf(p->why, sizeof p->why,
             "%s: transport \"%.60s\" has run_type \"%.80s\"; a run type is of lower-case letters, "
             "digits, _ and -, at most %zu",
             p->file, name_of(p), d->run_type, sizeof p->run_type - 1);
    return false;
  }
  return keys_check(p, "pool", d->pool_options, d->pool_conf_size) &&
         keys_check(p, "topic", d->topic_options, d->topic_conf_size) && metrics_check(p);
}

/* Can we use this descriptor? Otherwise p->why says what it wants and has. */
static bool descriptor_check(struct plugin *p, const struct pb_transport *d) {
  if (d->magic != PB_MAGIC) {
    snprintf(p->why, sizeof p->why, "%s: is not a Pepperbus transport (no descriptor)", p->file);
    return false;
  }
  p->info.abi_major = d->abi_major;
  p->info.abi_minor = d->abi_minor;
  if (d->abi_major != PB_ABI_MAJOR || d->abi_minor > PB_ABI_MINOR) {
    snprintf(p->why, sizeof p->why,
             "%s: transport \"%.60s\" wants plugin ABI %u.%u, this broker has %d.%d; %s", p->file,
             d->abi_major == PB_ABI_MAJOR && text_ok(d->name) ? d->name : plugin_base_name(p->file),
             d->abi_major, d->abi_minor, PB_ABI_MAJOR, PB_ABI_MINOR,
             d->abi_major > PB_ABI_MAJOR || d->abi_major == PB_ABI_MAJOR
                 ? "install a newer broker or an older plugin"
                 : "build the plugin again with this broker's headers");
    return false;
  }
  memcpy(&p->desc, d, d->size < sizeof p->desc ? d->size : sizeof p->desc);
  const char *missing = !text_ok(p->desc.run_type)                              ? "run_type"
                        : !text_ok(p->desc.name)                                ? "name"
                        : !p->desc.create                                       ? "create()"
                        : !p->desc.submit                                       ? "submit()"
                        : !p->desc.cancel                                       ? "cancel()"
                        : !p->desc.drain                                        ? "drain()"
                        : !p->desc.destroy                                      ? "destroy()"
                        : p->desc.option_size < offsetof(struct pb_option, def) ? "option_size"
                                                                                : NULL;
  if (missing) {
    snprintf(p->why, sizeof p->why, "%s: transport \"%.60s\" has no %s in its descriptor", p->file,
             name_of(p), missing);
    return false;
  }
  return tables_check(p);
}

void plugin_descriptor_take(struct plugin *p, const struct pb_transport *d) {
  if (!descriptor_check(p, d)) return;
  snprintf(p->name, sizeof p->name, "%s", p->desc.name);
  snprintf(p->run_type, sizeof p->run_type, "%s", p->desc.run_type);
  snprintf(p->version, sizeof p->version, "%s", text_ok(p->desc.version) ? p->desc.version : "?");
  snprintf(p->summary, sizeof p->summary, "%s", p->desc.summary ? p->desc.summary : "");
  p->info.transport = &p->desc;
}
