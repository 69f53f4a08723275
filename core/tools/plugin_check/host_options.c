/* Owns how a pool's or topic's values are filled, as the core does. */
#include "tools/plugin_check/host_private.h"

#include <stdio.h>

char *host_keep_string(char ***strings, const char *text, size_t len) {
  size_t n = 0;

  while (*strings && (*strings)[n]) n++;
  *strings = host_must(realloc(*strings, (n + 2) * sizeof **strings));
  (*strings)[n] = host_copy(text, len);
  (*strings)[n + 1] = NULL;
  return (*strings)[n];
}

static uint64_t number(const char *text, bool size) {
  char *unit;
  uint64_t n = strtoull(text, &unit, 10);

  if (strcmp(unit, "s") == 0) return n * 1000;
  if (strcmp(unit, "m") == 0) return n * 60000;
  if (strcmp(unit, "h") == 0) return n * 3600000;
  if (strcmp(unit, "kb") == 0) return n << 10;
  if (strcmp(unit, "mb") == 0) return n << 20;
  if (*unit && (size || strcmp(unit, "ms") != 0)) host_give_up("option value %s", text);
  return n;
}

static void set_option(const struct pb_option *o, void *conf, const char *value, char ***strings) {
  char *at = (char *)conf + o->offset;

  switch (o->type) {
  case PB_OPT_STRING:
    *(const char **)at = host_keep_string(strings, value, strlen(value));
    break;
  case PB_OPT_BOOL:
    *(int *)at = strcmp(value, "yes") == 0;
    break;
  case PB_OPT_INT:
    *(int64_t *)at = strtoll(value, NULL, 10);
    break;
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    *(uint64_t *)at = number(value, o->type == PB_OPT_SIZE);
    break;
  case PB_OPT_CHOICE: {
    const char *at_choice = o->choices;
    int n = 0;

    while (*at_choice && (strncmp(at_choice, value, strlen(value)) != 0 ||
                          (at_choice[strlen(value)] && at_choice[strlen(value)] != ','))) {
      at_choice += strcspn(at_choice, ",");
      at_choice += *at_choice == ',';
      n++;
    }
    if (!*at_choice) host_give_up("%s has no choice %s", o->name, value);
    *(int *)at = n;
    break;
  }
  case PB_OPT_RANGE: {
    char from[32];
    const char *dots = strstr(value, "..");

    snprintf(from, sizeof from, "%.*s", dots ? (int)(dots - value) : 31, value);
    ((struct pb_range *)(void *)at)->from_ms = number(from, false);
    ((struct pb_range *)(void *)at)->to_ms = number(dots ? dots + 2 : value, false);
    break;
  }
  case PB_OPT_LIST: {
    size_t n = 0, cap = 1;
    const char **list;

    for (const char *p = value; *p; p++) cap += *p == ',';
    /* The list itself lives where strings do. */
    list = (const char **)(void *)host_keep_string(strings, NULL, (cap + 1) * sizeof *list);
    for (const char *p = value; *p;) {
      size_t len = strcspn(p, ",");

      list[n++] = host_keep_string(strings, p, len);
      p += len + (p[len] == ',');
    }
    list[n] = NULL;
    *(const char *const **)at = list;
    break;
  }
  default:
    host_give_up("option type %u", o->type);
  }
}

void *host_fill(const struct pb_option *options, size_t size, va_list ap, char ***strings) {
  void *conf = host_must(calloc(1, size ? size : 1));
  const char *pair;

  for (const struct pb_option *o = options; o && o->name; o++)
    set_option(o, conf, o->def ? o->def : "", strings);
  while ((pair = va_arg(ap, const char *)) != NULL) {
    const char *eq = strchr(pair, '=');
    const struct pb_option *o = options;

    while (o && o->name && (strncmp(o->name, pair, (size_t)(eq - pair)) != 0 || o->name[eq - pair]))
      o++;
    if (!o || !o->name) host_give_up("no option for %s", pair);
    set_option(o, conf, eq + 1, strings);
  }
  return conf;
}

void host_free_strings(char **strings) {
  for (char **s = strings; s && *s; s++) free(*s);
  free(strings);
}

int host_check(struct host *h, bool pool, struct pb_err *err, ...) {
  char **strings = NULL;
  void *conf;
  va_list ap;
  int rc;

  *err = (struct pb_err){0};
  va_start(ap, err);
  conf = host_fill(pool ? h->t->pool_options : h->t->topic_options,
                   pool ? h->t->pool_conf_size : h->t->topic_conf_size, ap, &strings);
  va_end(ap);
  rc = h->t->check ? h->t->check(pool ? conf : NULL, pool ? NULL : conf, err) : 0;
  free(conf);
  host_free_strings(strings);
  return rc;
}
