/* Owns how a script of an act is asked: the keys that it gets, and how its answer is read. */
#include "storage/redis/act_keys.h"

#include "storage/redis/private.h"

#include <stdio.h>

void act_put_key(struct store *s, const char *queue, const char *kind, const char *name) {
  char key[2 * NAME_LEN_MAX + 32];
  snprintf(key, sizeof key, "pb:{%s}:%s:%s", queue, kind, name);
  cmd_text(&s->out, key);
}

/* `kinds`: a letter each, as doc/store-layout.md names the keys of a topic. */
void act_put_topic_keys(struct store *s, const struct store_act *act, const char *kinds) {
  for (; *kinds; kinds++) act_put_key(s, act->queue, (char[]){*kinds, 0}, act->topic);
}

static uint64_t number_at(const struct redis_reply *r, size_t i) {
  return i < r->elements ? redis_reply_u64(r->element[i]) : 0;
}

struct store_slice act_slice_read(const struct redis_reply *r) {
  if (r->type != REPLY_ARRAY) return (struct store_slice){0};
  return (struct store_slice){.done = number_at(r, 0),
                              .of = number_at(r, 1),
                              .over = number_at(r, 2) != 0,
                              .left = number_at(r, 3),
                              .wait_ms = number_at(r, 4)};
}
