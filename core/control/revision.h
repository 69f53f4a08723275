/* One revision of the shared configuration as it is stored: a JSON object with a mark of who wrote
 * it. The storage and the copy in state_dir hold the same bytes. */
#ifndef PB_CORE_CONTROL_REVISION_H
#define PB_CORE_CONTROL_REVISION_H

#include "base/seal.h"

#include <jansson.h>
#include <pepperbus/abi.h>
#include <stddef.h>
#include <stdint.h>

#define REVISION_MAX       (8u << 20) /* bytes of one, as stored */
#define REVISION_TEXT_MAX  (4u << 20) /* of its sections */
#define REVISION_WORDS_MAX 1024       /* of author, place and comment each */
#define REVISION_HASH_SIZE (2 * SEAL_MARK_LEN + 1)

struct revision {
  uint64_t number;
  uint64_t at_ms;    /* Unix, of the storage's clock */
  uint64_t restored; /* the newest revision up to this one that `config restore` made; 0: none */
  const char *base_hash; /* of the revision it was made from; "": of none */
  const char *cluster, *by, *from, *comment;
  const char *text; /* the sections; NUL-terminated, without a NUL in it */
  const char *mark; /* of what was read */
  json_t *doc;      /* owns the texts of what was read; else NULL */
};

/* The stored form, marked, to be freed. NULL: no memory, or a text is not UTF-8 or is too long. */
char *revision_write(const struct revision *r, const struct seal *seal, size_t *ret_len);
/* From the stored form; nothing is verified yet. 0 or -EINVAL with `reterr`. */
int revision_read(const void *data, size_t len, struct revision *ret, struct pb_err *reterr);
/* Was it written with this key for this cluster? 0; -EXDEV: for another cluster; -EBADMSG: not with
 * this key, or it was changed. */
int revision_verify(const struct revision *r, const struct seal *seal, const char *cluster);
void revision_done(struct revision *r); /* zeroed is fine */

#endif
