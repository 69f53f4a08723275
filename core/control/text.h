/* A revision that this node holds in memory: the stored bytes, what they say, and the key that its
 * secrets are opened with. Immutable and counted; counted on the loop's thread only. */
#ifndef PB_CORE_CONTROL_TEXT_H
#define PB_CORE_CONTROL_TEXT_H

#include "base/seal.h"
#include "config/settings.h"
#include "config/shared_text.h"
#include "control/revision.h"

struct control_text {
  unsigned refs;
  char *data; /* as stored; NULL: it is not a revision yet */
  size_t len;
  char hash[REVISION_HASH_SIZE]; /* of these bytes; "": none */
  struct revision rev;
  char *plain; /* the sections of one that is not a revision yet */
  char *cluster;
  struct seal seal;          /* id "": this node has no key */
  struct shared_text shared; /* what settings_load() reads */
};

/* Of stored bytes, which are copied; not verified. `seal` NULL: without a key. NULL with `reterr`.
 */
struct control_text *control_text_new(const void *data, size_t len, const struct seal *seal,
                                      const char *cluster, struct pb_err *reterr);
/* Of sections that somebody wants to apply. */
struct control_text *control_text_draft(const char *sections, size_t len, const struct seal *seal,
                                        const char *cluster);
struct control_text *control_text_ref(struct control_text *t); /* NULL is fine */
void control_text_unref(struct control_text *t);
/* The copy in state_dir, opened with the key in `key_file`; NULL: there is none, or it cannot be
 * used, and `reterr` says why. */
struct control_text *control_text_of_copy(const char *state_dir, const char *key_file,
                                          const char *cluster, struct pb_err *reterr);
/* Seals and opens with its key for its cluster. Valid with `t`; any thread. */
struct sealer control_text_sealer(struct control_text *t);

#endif
