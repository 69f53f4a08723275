/* INI files as they stand: sections and keys, each with its file and line, nothing checked but
 * the form.
 *
 *   ; comment                   # comment
 *   [type name]                 ; a comment may follow anything after a blank
 *   key = value
 *   key = "value; with # and a \" in it"
 *
 * The packaged inih reads the lines; what it would cut or misread (see ini.c) goes past it,
 * so that its limits are none of the user's.
 */
#ifndef PB_CORE_INI_H
#define PB_CORE_INI_H

#include "config/faults.h"

#include <stdbool.h>
#include <stddef.h>

#define INI_FILE_MAX  (16u << 20) /* bytes of one file */
#define INI_FILES_MAX 4096        /* files, with all that are included */
#define INI_VALUE_MAX (64u << 10)

struct ini_entry {
  struct ini_entry *next;
  const char *key, *value; /* value never NULL, comments and quotes taken off */
  struct place place;
  bool cut; /* a comment began without a blank after its sign: "ab ;cd" */
};

struct ini_section {
  struct ini_section *next;
  const char *type, *name; /* "topic", "msg/reply"; name "" where there is none */
  struct place place;
  struct ini_entry *entries; /* in the order of the file */
};

struct ini {
  struct ini_section *sections;
  const char *const *files; /* as read, n_files */
  size_t n_files;
  struct ini_private *priv;
};

/* Reads `file`. Then it reads the files that the key `include` of section [server] names: a list of
 * globs with commas, relative to the file of the key. Never NULL. A file that cannot be read is
 * among the faults. */
struct ini *ini_read(const char *file, struct faults *faults);
/* The same from memory; `name` stands for the file. Includes are faults. */
struct ini *ini_parse_text(const char *name, const void *text, size_t len, struct faults *faults);
/* Reads `text` after all that is there, as a file `name` that includes nothing. */
void ini_add_text(struct ini *c, const char *name, const void *text, size_t len,
                  struct faults *faults);
void ini_free(struct ini *c); /* NULL is fine */

#endif
