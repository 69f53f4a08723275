/* Owns the sections of the shared configuration as text: how they are read, kept in order, and
 * printed in one form. What differs between two of them stands in shared_compare.c, what becomes of
 * their secrets in shared_seal.c.
 */
#include "config/shared_text.h"

#include "config/private.h"
#include "config/shared_private.h"

#include "base/out_of_memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SEALED_HEAD      "enc:"
#define KEY_ID_LEN       16
#define KEYS_MAX         512 /* of one section; no table has so many */
#define KIND_LEN_MAX     40
#define SECTION_NAME_MAX (2 * NAME_LEN_MAX + 1)

static struct shared_sections *sections_new(void) {
  struct shared_sections *s = calloc(1, sizeof *s);
  if (!s) out_of_memory();
  s->arena = arena_new();
  s->index_arena = arena_new();
  return s;
}

void shared_free(struct shared_sections *s) {
  if (!s) return;
  arena_free(s->arena);
  arena_free(s->index_arena);
  free(s->list);
  free(s);
}

static void index_make(struct shared_sections *s) {
  arena_free(s->index_arena);
  s->index_arena = arena_new();
  name_index_init(&s->index, s->cap, s->index_arena);
  for (size_t i = 0; i < s->n; i++)
    name_index_put(&s->index, s->list[i].title, (const void *)(uintptr_t)(i + 1));
}

/* The place of a section in the list, from 1; 0: there is none. */
static size_t rank_of(const struct shared_sections *s, const char *kind, const char *name) {
  char title[KIND_LEN_MAX + SECTION_NAME_MAX + 2];
  int len = snprintf(title, sizeof title, "%s %s", kind, name);
  if (!s->n || len >= (int)sizeof title) return 0;
  return (size_t)(uintptr_t)name_index_get(&s->index, title, (size_t)len);
}

/* Room for one more, at the end; its name is in the index then. */
static struct shared_item *item_append(struct shared_sections *s, const char *kind,
                                       const char *name) {
  bool grown = s->n == s->cap;
  if (grown) {
    s->cap = s->cap ? 2 * s->cap : 64;
    struct shared_item *more = realloc(s->list, s->cap * sizeof *more);
    if (!more) out_of_memory();
    s->list = more;
  }
  struct shared_item *item = &s->list[s->n++];
  memset(item, 0, sizeof *item);
  item->s.kind = arena_text(s->arena, kind, strlen(kind));
  item->s.name = arena_text(s->arena, name, strlen(name));
  item->title = arena_printf(s->arena, "%s %s", kind, name);
  if (grown)
    index_make(s);
  else
    name_index_put(&s->index, item->title, (const void *)(uintptr_t)s->n);
  return item;
}

static void entries_copy(struct shared_sections *s, struct shared_section *to,
                         const struct shared_section *from) {
  struct shared_entry *all = arena_alloc(s->arena, (from->n_entries + 1) * sizeof *all);
  for (size_t i = 0; i < from->n_entries; i++) {
    const struct shared_entry *e = &from->entries[i];
    all[i].key = arena_text(s->arena, e->key, strlen(e->key));
    all[i].value = arena_text(s->arena, e->value, strlen(e->value));
  }
  to->entries = all;
  to->lines = NULL;
  to->n_entries = from->n_entries;
}

/* Reading. */

static void entries_take(struct shared_sections *s, struct shared_section *to,
                         const struct ini_section *from, struct faults *faults) {
  size_t n = 0;
  for (const struct ini_entry *e = from->entries; e; e = e->next) n++;
  if (n > KEYS_MAX) {
    fault_add(faults, from->place, "[%.40s %.128s]: %zu keys; at most %d are allowed", to->kind,
              to->name, n, KEYS_MAX);
    return;
  }
  struct shared_entry *all = arena_alloc(s->arena, (n + 1) * sizeof *all);
  unsigned *lines = arena_alloc(s->arena, (n + 1) * sizeof *lines);
  n = 0;
  for (const struct ini_entry *e = from->entries; e; e = e->next) {
    for (size_t i = 0; i < n; i++)
      if (strcmp(all[i].key, e->key) == 0)
        fault_add(faults, e->place, "[%.40s %.128s] %.64s: stands here twice; delete one of them",
                  to->kind, to->name, e->key);
    all[n].key = arena_text(s->arena, e->key, strlen(e->key));
    lines[n] = e->place.line;
    all[n++].value = arena_text(s->arena, e->value, strlen(e->value));
  }
  to->entries = all;
  to->lines = lines;
  to->n_entries = n;
}

static void section_take(struct shared_sections *s, const struct ini_section *from,
                         struct faults *faults) {
  if (strlen(from->type) > KIND_LEN_MAX || strlen(from->name) > SECTION_NAME_MAX) {
    fault_add(faults, from->place, "[%.40s %.128s...]: " NAME_RULE, from->type, from->name,
              NAME_LEN_MAX);
    return;
  }
  size_t rank = rank_of(s, from->type, from->name);
  if (rank) {
    fault_add(faults, from->place,
              "[%.40s %.128s]: this section stands here twice, first in line %u; delete or rename "
              "one",
              from->type, from->name, s->list[rank - 1].s.line);
    return;
  }
  struct shared_item *item = item_append(s, from->type, from->name);
  item->s.line = from->place.line;
  entries_take(s, &item->s, from, faults);
}

int shared_read(const char *file, const char *text, size_t len, struct shared_sections **ret,
                FILE *errors) {
  struct faults *faults = faults_new();
  struct shared_sections *s = sections_new();
  int rc = 0;
  if (len > INI_FILE_MAX) {
    fault_add(faults, (struct place){file, 0},
              "it is larger than 16 MB, which no configuration is");
  } else {
    struct ini *ini = ini_parse_text(file, text, len, faults);
    for (const struct ini_section *i = ini->sections; i; i = i->next) section_take(s, i, faults);
    ini_free(ini);
  }
  if (faults_count(faults)) {
    if (errors) faults_write(faults, errors);
    shared_free(s);
    rc = -EINVAL;
  } else {
    *ret = s;
  }
  faults_free(faults);
  return rc;
}

struct shared_sections *shared_copy(const struct shared_sections *from) {
  struct shared_sections *s = sections_new();
  for (size_t i = 0; i < from->n; i++) {
    const struct shared_section *section = &from->list[i].s;
    struct shared_item *item = item_append(s, section->kind, section->name);
    item->s.line = section->line;
    entries_copy(s, &item->s, section);
  }
  return s;
}

/* Looking. */

size_t shared_n(const struct shared_sections *s) {
  return s->n;
}

const struct shared_section *shared_at(const struct shared_sections *s, size_t i) {
  return &s->list[i].s;
}

const struct shared_section *shared_find(const struct shared_sections *s, const char *kind,
                                         const char *name) {
  size_t rank = rank_of(s, kind, name);
  return rank ? &s->list[rank - 1].s : NULL;
}

const char *shared_value(const struct shared_section *s, const char *key) {
  for (size_t i = 0; s && i < s->n_entries; i++)
    if (strcmp(s->entries[i].key, key) == 0) return s->entries[i].value;
  return NULL;
}

/* Secrets. */

bool shared_is_sealed(const char *value) {
  if (strncmp(value, SEALED_HEAD, strlen(SEALED_HEAD)) != 0) return false;
  value += strlen(SEALED_HEAD);
  if (strspn(value, "0123456789abcdef") != KEY_ID_LEN || value[KEY_ID_LEN] != ':') return false;
  value += KEY_ID_LEN + 1;
  size_t len = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=");
  return len && !value[len];
}

const char *shared_sealed_key(const char *value) {
  return value + strlen(SEALED_HEAD);
}

/* Printing. */

bool shared_key_is_secret(const struct settings_types *types, const char *kind, const char *key) {
  const struct kind *k = kind_named(kind);
  if (!k) return true;
  const struct pb_option *o = option_find(k->options, key);
  bool known = o != NULL, secret = o && o->flags & PB_OPT_SECRET;
  for (size_t i = 0; types && i < types->n && !secret; i++) {
    o = option_find(transport_options(types->transports[i], kind_id_of(k)), key);
    known = known || o;
    secret = o && o->flags & PB_OPT_SECRET;
  }
  return secret || !known;
}

struct print {
  FILE *out;
  const struct settings_types *types;
  bool masked, in_place;
  unsigned line; /* that comes next */
};

static void line_reach(struct print *p, unsigned line) {
  for (; p->in_place && p->line < line; p->line++) putc('\n', p->out);
}

static void line_end(struct print *p) {
  putc('\n', p->out);
  p->line++;
}

static void section_print(const struct shared_section *s, struct print *p) {
  line_reach(p, s->line);
  fprintf(p->out, "[%s%s%s]", s->kind, *s->name ? " " : "", s->name);
  line_end(p);
  for (size_t i = 0; i < s->n_entries; i++) {
    const struct shared_entry *e = &s->entries[i];
    bool hide = p->masked && *e->value &&
                (shared_is_sealed(e->value) || shared_key_is_secret(p->types, s->kind, e->key));
    if (s->lines) line_reach(p, s->lines[i]);
    fputs(e->key, p->out);
    fputs(*e->value ? " = " : " =", p->out);
    option_print_text(hide ? SHARED_MASK : e->value, p->out);
    line_end(p);
  }
}

static char *print(const struct shared_sections *s, struct print p, size_t *ret_len) {
  char *text = NULL;
  size_t len = 0;
  p.out = open_memstream(&text, &len);
  p.line = 1;
  if (!p.out) out_of_memory();
  for (size_t i = 0; i < s->n; i++) {
    if (i && !p.in_place) line_end(&p);
    section_print(&s->list[i].s, &p);
  }
  if (fclose(p.out)) out_of_memory();
  if (ret_len) *ret_len = len;
  return text;
}

char *shared_print(const struct shared_sections *s, size_t *ret_len) {
  return print(s, (struct print){.masked = false}, ret_len);
}

char *shared_print_in_place(const struct shared_sections *s, size_t *ret_len) {
  return print(s, (struct print){.in_place = true}, ret_len);
}

char *shared_print_masked(const struct shared_sections *s, const struct settings_types *types,
                          size_t *ret_len) {
  return print(s, (struct print){.masked = true, .types = types}, ret_len);
}

/* Changing. */

/* Would the section be the same after it was printed and read? A line break in a value would make
 * two of it, and a control character none. */
static bool section_survives(const struct shared_section *s, FILE *errors) {
  char *text = NULL;
  size_t len = 0;
  struct shared_sections *read = NULL;
  FILE *out = open_memstream(&text, &len);
  if (!out) out_of_memory();
  section_print(s, &(struct print){.out = out});
  if (fclose(out)) out_of_memory();
  bool same = !shared_read(s->kind, text, len, &read, errors) && read->n == 1 &&
              !strcmp(read->list[0].s.kind, s->kind) && !strcmp(read->list[0].s.name, s->name) &&
              read->list[0].s.n_entries == s->n_entries;
  for (size_t i = 0; same && i < s->n_entries; i++)
    same = !strcmp(read->list[0].s.entries[i].key, s->entries[i].key) &&
           !strcmp(read->list[0].s.entries[i].value, s->entries[i].value);
  if (!same && read && errors)
    fprintf(errors, "[%.40s %.128s]: a name or a value has a line break, or a ']' in a name\n",
            s->kind, s->name);
  shared_free(read);
  explicit_bzero(text, len);
  free(text);
  return same;
}

int shared_put(struct shared_sections *s, const struct shared_section *section, FILE *errors) {
  if (!section_survives(section, errors)) return -EINVAL;
  size_t rank = rank_of(s, section->kind, section->name);
  struct shared_item *item =
      rank ? &s->list[rank - 1] : item_append(s, section->kind, section->name);
  item->s.line = 0;
  entries_copy(s, &item->s, section);
  return 0;
}

bool shared_remove(struct shared_sections *s, const char *kind, const char *name) {
  size_t rank = rank_of(s, kind, name);
  if (!rank) return false;
  memmove(&s->list[rank - 1], &s->list[rank], (s->n - rank) * sizeof *s->list);
  s->n--;
  index_make(s);
  return true;
}

void shared_keep_users(struct shared_sections *to, const struct shared_sections *from) {
  size_t kept = 0;
  for (size_t i = 0; i < to->n; i++)
    if (strcmp(to->list[i].s.kind, "user") != 0) to->list[kept++] = to->list[i];
  to->n = kept;
  if (to->cap) index_make(to);
  for (size_t i = 0; i < from->n; i++) {
    const struct shared_section *user = &from->list[i].s;
    if (strcmp(user->kind, "user") != 0) continue;
    struct shared_item *item = item_append(to, user->kind, user->name);
    entries_copy(to, &item->s, user);
  }
}
