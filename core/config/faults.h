/* The faults of configuration files. They are collected while files are read and checked. At the
 * end they are written in the order of files and lines, so that one run shows all of them.
 */
#ifndef PB_CORE_FAULTS_H
#define PB_CORE_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define FAULTS_MAX 1000 /* a file that is no configuration at all must not fill the terminal */

/* Where something stands in the files: "web.ini:12". */
struct place {
  const char *file;
  unsigned line; /* from 1; 0: the file as a whole */
};

struct faults;

struct faults *faults_new(void);    /* never NULL */
void faults_free(struct faults *f); /* NULL is fine */
/* Files are written in the order in which they are named here first. */
void faults_file(struct faults *f, const char *file);
/* A sentence for people; copied. fault_warn() does not make the files unusable. */
void fault_add(struct faults *f, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void fault_warn(struct faults *f, struct place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t faults_count(const struct faults *f); /* without warnings */
bool faults_many(const struct faults *f);    /* so many that help with one of them is idle */
/* One line each: "file:line: text", warnings with "warning: " before it. */
void faults_write(struct faults *f, FILE *out);

#endif
