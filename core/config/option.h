/* Configuration values by tables of struct pb_option: parsed into structs, compared, printed. The
 * tables of the core and of plugins are treated alike.
 */
#ifndef PB_CORE_OPTION_H
#define PB_CORE_OPTION_H

#include "base/arena.h"

#include <pepperbus/option.h>
#include <stdbool.h>
#include <stdio.h>

#define OPTIONS_MAX     128 /* of one table */
#define OPTION_NAME_MAX 63
#define OPTION_TEXT_MAX 256

/* A table. A plugin built against a later interface may have larger entries: `stride`. */
struct options {
  const struct pb_option *first; /* NULL: an empty table */
  size_t stride;
};

/* The first of the table, then the one after `o`; NULL at the end. */
const struct pb_option *option_next(struct options t, const struct pb_option *o);
const struct pb_option *option_find(struct options t, const char *name);
/* Can this file work with the table of a plugin? 0, or -EINVAL and the reason. */
int options_check(struct options t, size_t conf_size, char *ret_why, size_t why_size);

/* Parses `text` into `conf`, with memory of `a`. 0, or -EINVAL and a sentence that follows
 * "key = value: ". An empty text is an error but for strings and lists. */
int option_set(const struct pb_option *o, void *conf, const char *text, struct arena *a,
               char *ret_why, size_t why_size);
/* All defaults; `conf` is zeroed before. */
void options_default(struct options t, void *conf, struct arena *a);

bool option_equal(const struct pb_option *o, const void *a, const void *b);
/* The same value in the part of the struct below `size`; members behind it are not looked at. */
bool options_equal(struct options t, const void *a, const void *b, size_t size);

/* The value as it would stand in a file, in quotes where it needs them; secrets masked. */
void option_print(const struct pb_option *o, const void *conf, FILE *out);
/* A text as it would stand in a file. */
void option_print_text(const char *text, FILE *out);
/* For people: "duration", "1 to 10000", "admin, operator or viewer"; "" where there is none. */
const char *option_type_name(const struct pb_option *o);
void option_range_text(const struct pb_option *o, char *ret, size_t size);
size_t option_size(const struct pb_option *o); /* bytes in the struct; 0: unknown type */

#endif
