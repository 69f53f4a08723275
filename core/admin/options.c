/* Owns how a transport's own options are shown, by their table.
 *
 * Must never happen: a secret in an answer (values of options marked so are masked).
 */
#include "admin/private.h"

#include "config/option.h"

#include <stdlib.h>
#include <string.h>

static json_t *option_text(const struct pb_option *opt, const void *conf) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out) return json_null();
  option_print(opt, conf, out);
  fclose(out);
  json_t *ret = json_cstr(text);
  free(text);
  return ret;
}

/* A value of a transport's own configuration, as its option table says. */
static json_t *option_json(const struct pb_option *opt, const void *conf) {
  const char *at = (const char *)conf + opt->offset;
  if (opt->flags & PB_OPT_SECRET) return option_text(opt, conf); /* masked */
  switch ((enum pb_option_type)opt->type) {
  case PB_OPT_STRING:
    return json_cstr(*(const char *const *)at);
  case PB_OPT_BOOL:
    return json_boolean(*(const int *)at);
  case PB_OPT_INT:
    return json_integer(*(const int64_t *)at);
  case PB_OPT_SIZE:
  case PB_OPT_DURATION:
    return json_u64(*(const uint64_t *)at);
  case PB_OPT_CHOICE: {
    const char *p = opt->choices;
    for (int i = *(const int *)at; i > 0 && *p; i--) p += strcspn(p, ",") + 1;
    return json_text(p, strcspn(p, ","));
  }
  case PB_OPT_LIST: {
    json_t *list = json_array();
    for (const char *const *p = *(const char *const *const *)at; p && *p; p++)
      json_array_append_new(list, json_cstr(*p));
    return list;
  }
  case PB_OPT_RANGE: {
    const struct pb_range *r = (const struct pb_range *)at;
    return json_pack("[I,I]", (json_int_t)r->from_ms, (json_int_t)r->to_ms);
  }
  }
  return json_null();
}

void options_set_json(json_t *o, const char *member, const struct pb_option *table, size_t stride,
                      const void *conf) {
  struct options t = {table, stride};
  json_t *values = json_object(), *texts = json_object();
  char name[64];
  snprintf(name, sizeof name, "%s_text", member);
  for (const struct pb_option *opt = NULL; conf && (opt = option_next(t, opt));) {
    json_object_set_new(values, opt->name, option_json(opt, conf));
    json_object_set_new(texts, opt->name, option_text(opt, conf));
  }
  json_object_set_new(o, member, values);
  json_object_set_new(o, name, texts);
}
