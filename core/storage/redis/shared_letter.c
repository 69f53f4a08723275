/* Owns letters from node to node: the stream pb:{@}:letters:NODE has those that wait for one. */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>

static void put_letters_key(struct store *s, const char *node) {
  char key[NAME_LEN_MAX + 64];
  snprintf(key, sizeof key, "pb:{@}:letters:%s", node);
  cmd_text(&s->out, key);
}

static void on_sent(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  if (!rc && !redis_reply_u64(r)) {
    rc = STORE_FULL;
    why = "too many letters wait for that node";
  }
  query->fn.done(query->arg, rc, rc ? 0 : 1, why);
}

void store_letter_send(struct store *s, const char *node, const void *data, size_t len,
                       store_done_fn fn, void *arg) {
  struct cmd *out = &s->out;
  struct query *query = query_new(s, NULL, NULL, on_sent, arg);
  query->fn.done = fn;
  if (!shared_fits(query, len, STORE_LETTERS_BYTES, "a letter")) return;
  query_script(s, SCRIPT_LETTER_SEND, 2);
  put_letters_key(s, node);
  cmd_text(out, STORE_KEY_TOLD);
  cmd_text(out, node);
  cmd_bytes(out, data, len);
  cmd_text(out, s->node_instance);
  cmd_u64(out, STORE_LETTER_MS);
  cmd_u64(out, STORE_LETTERS_MAX);
  cmd_u64(out, STORE_LETTERS_BYTES);
  query_send(query, SCRIPT_LETTER_SEND);
}

static void on_letters(struct query *query, enum store_rc rc, struct redis_reply *r,
                       const char *why) {
  struct store_letter *letters = NULL;
  size_t n = 0;
  if (!rc && r->type == REPLY_ARRAY) {
    if (!(letters = calloc(r->elements + 1, sizeof *letters))) out_of_memory();
    for (size_t i = 0; i + 2 <= r->elements; i += 2) {
      uint64_t seq;
      if (!entry_parse(r->element[i]->str, &letters[n].at_ms, &seq)) continue;
      letters[n].data = r->element[i + 1]->str;
      letters[n++].len = r->element[i + 1]->len;
    }
  }
  query->fn.letters(query->arg, rc, letters, n, why);
  free(letters);
}

void store_letter_take(struct store *s, store_letters_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_letters, arg);
  query->fn.letters = fn;
  query_script(s, SCRIPT_LETTER_TAKE, 1);
  put_letters_key(s, s->server->node);
  cmd_u64(&s->out, STORE_LETTER_MS);
  query_send(query, SCRIPT_LETTER_TAKE);
}
