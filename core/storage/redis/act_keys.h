/* What the slices of acts have in common. */
#ifndef PB_CORE_STORAGE_REDIS_ACT_KEYS_H
#define PB_CORE_STORAGE_REDIS_ACT_KEYS_H

#include "storage/store.h"

#define ACT_SLICE_JOBS  50          /* a script of less than a millisecond */
#define ACT_SLICE_BYTES (16u << 20) /* of contents that are deleted */

struct redis_reply;

void act_put_key(struct store *s, const char *queue, const char *kind, const char *name);
/* `kinds`: a letter each, as doc/store-layout.md names the keys of a topic. */
void act_put_topic_keys(struct store *s, const struct store_act *act, const char *kinds);
struct store_slice act_slice_read(const struct redis_reply *r);

#endif
