/* One section while it is checked: its entries, and its faults with their place.
 */
#include "config/private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SHOWN_MAX 60 /* bytes of a value in a message */

/* "[topic msg/reply]". A long name is cut so that the line stays readable. */
const char *section_title(const struct ini_section *s, char *ret, size_t size) {
  int n = (int)strnlen(s->name, 2 * NAME_LEN_MAX + 1);
  snprintf(ret, size, "[%.40s%s%.*s]", s->type, n ? " " : "", n, s->name);
  return ret;
}

/* A name for messages: whole where it is sane. */
static int shown_len(const char *text) {
  size_t n = strnlen(text, VALUE_SHOWN_MAX + 1);
  if (n <= VALUE_SHOWN_MAX) return (int)n;
  n = VALUE_SHOWN_MAX;
  while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not within a character */
  return (int)n;
}

bool section_key_is_secret(const struct build *b, enum kind_id id, const char *key) {
  const struct pb_option *o = option_find(kind_get(id)->options, key);
  for (size_t i = 0; !o && b->types && i < b->types->n; i++) {
    o = option_find(transport_options(b->types->transports[i], id), key);
    if (o && !(o->flags & PB_OPT_SECRET)) o = NULL;
  }
  return o && (o->flags & PB_OPT_SECRET);
}

const struct ini_entry *section_entry(const struct section *section, const char *key) {
  for (const struct ini_entry *e = section->ini->entries; e; e = e->next)
    if (strcmp(e->key, key) == 0) return e;
  return NULL;
}

void section_report(struct build *b, const struct section *section, const struct ini_entry *e,
                    bool warning, const char *text) {
  char title[TITLE_MAX];
  section_title(section->ini, title, sizeof title);
  void (*report)(struct faults *, struct place, const char *, ...) =
      warning ? fault_warn : fault_add;
  if (!e) {
    report(b->faults, section->ini->place, "%s: %s", title, text);
  } else if (section_key_is_secret(b, section->id, e->key)) {
    report(b->faults, e->place, "%s %s: %s", title, e->key, text);
  } else {
    int n = shown_len(e->value);
    report(b->faults, e->place, "%s %.64s = %.*s%s: %s", title, e->key, n, e->value,
           e->value[n] ? "..." : "", text);
  }
}

void section_fault(struct build *b, const struct section *section, const char *key, const char *fmt,
                   ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  section_report(b, section, key ? section_entry(section, key) : NULL, false, text);
}

void section_warn(struct build *b, const struct section *section, const char *key, const char *fmt,
                  ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  section_report(b, section, key ? section_entry(section, key) : NULL, true, text);
}

static void lack_note(struct build *b, const struct section *section, const char *key,
                      const char *text) {
  struct section *s = (struct section *)(uintptr_t)section;
  char told[832];
  if (!s->lack) s->lack = arena_text(b->arena, text, strlen(text));
  snprintf(told, sizeof told, "%s; this node cannot use it", text);
  section_report(b, section, key ? section_entry(section, key) : NULL, true, told);
}

void section_lack(struct build *b, const struct section *section, const char *key, const char *fmt,
                  ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (section->shared)
    lack_note(b, section, key, text);
  else
    section_report(b, section, key ? section_entry(section, key) : NULL, false, text);
}

void section_refuse(struct build *b, const struct section *section, const char *key,
                    const char *fmt, ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (section->shared && !b->types->shared->applying)
    lack_note(b, section, key, text);
  else
    section_report(b, section, key ? section_entry(section, key) : NULL, false, text);
}
