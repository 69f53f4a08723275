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

#define CONF_FILE_MAX  (16u << 20) /* bytes of one file */
#define CONF_FILES_MAX 4096        /* files, with all that are included */
#define CONF_VALUE_MAX (64u << 10)

struct conf_entry {
  struct conf_entry *next;
  const char *key, *value; /* value never NULL, comments and quotes taken off */
  struct place place;
  bool cut; /* a comment began without a blank after its sign: "ab ;cd" */
};

struct conf_section {
  struct conf_section *next;
  const char *type, *name; /* "topic", "msg/reply"; name "" where there is none */
  struct place place;
  struct conf_entry *entries; /* in the order of the file */
};

struct conf {
  struct conf_section *sections;
  const char *const *files; /* as read, n_files */
  size_t n_files;
  struct conf_private *priv;
};

/* Reads `file` and, after it, what the comma list of globs in its key `include` of section
 * [server] names, relative to the file in which the key stands. Never NULL; what could not be
 * read is among the faults. */
struct conf *conf_read(const char *file, struct faults *faults);
/* The same from memory; `name` stands for the file. Includes are faults. */
struct conf *conf_parse(const char *name, const void *text, size_t len, struct faults *faults);
void conf_free(struct conf *c); /* NULL is fine */

#endif
