/* Owns requests between nodes, on both sides. See letters.h.
 *
 * Must never happen: a request that nobody with the key wrote is carried out, or one twice, or one
 * that has expired; a reply that others can read.
 */
#include "control/letters.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/out_of_memory.h"
#include "base/secret.h"
#include "event/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE_MS (2 * LETTER_MS) /* an id is remembered for longer than its letter is good */

const char *const letter_kind_names[] = {"ping",    "test",    "pool", "log",      "copy", "status",
                                         "figures", "clients", "kill", "storages", "topic"};

struct sent { /* waits for its reply */
  struct sent *next;
  struct letters *l;
  char id[LETTER_ID_SIZE];
  letter_reply_fn fn;
  void *arg;
  struct timer expiry;
  bool asking, again;
};

/* --- the form: {id, kind, to, from, user, expires_ms, body, hmac}; the body is encrypted --- */

#define MARKED 7

static int mark_make(const struct seal *seal, const json_t *o, char ret[2 * SEAL_MARK_LEN + 1]) {
  static const char *const texts[] = {"id", "kind", "to", "from", "user", "body"};
  char expires[24];
  struct seal_part parts[MARKED + 1] = {SEAL_TEXT("letter")};
  snprintf(expires, sizeof expires, "%" JSON_INTEGER_FORMAT,
           json_integer_value(json_object_get(o, "expires_ms")));
  for (int i = 0; i < MARKED - 1; i++) {
    const char *text = json_string_value(json_object_get(o, texts[i]));
    if (!text) return -1;
    parts[1 + i] = SEAL_TEXT(text);
  }
  parts[MARKED] = SEAL_TEXT(expires);
  return seal_mark(seal, SEAL_REQUESTS, parts, MARKED + 1, ret);
}

static bool mark_fits(const struct seal *seal, const json_t *o) {
  char want[2 * SEAL_MARK_LEN + 1];
  const char *is = json_string_value(json_object_get(o, "hmac"));
  if (!is || mark_make(seal, o, want) || strlen(is) != strlen(want)) return false;
  unsigned char differ = 0;
  for (size_t i = 0; want[i]; i++) differ |= (unsigned char)(want[i] ^ is[i]);
  return !differ;
}

/* Encrypted for this letter; NULL: it cannot be. To be freed. */
static char *json_close(const struct seal *seal, const char *what, const char *id,
                        const json_t *o) {
  const struct seal_part about[] = {SEAL_TEXT(what), SEAL_TEXT(id)};
  char *plain = json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY), *text = NULL;
  struct buf b = {0};
  if (plain && !seal_close(seal, SEAL_REQUESTS, about, 2, plain, strlen(plain), &b))
    text = strdup(buf_text(&b));
  buf_free(&b);
  free(plain);
  return text;
}

static json_t *json_open(const struct seal *seal, const char *what, const char *id,
                         const void *data, size_t len) {
  const struct seal_part about[] = {SEAL_TEXT(what), SEAL_TEXT(id)};
  struct buf b = {0};
  json_t *o = NULL;
  if (!seal_open(seal, SEAL_REQUESTS, about, 2, data, len, &b))
    o = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
  buf_free(&b);
  return o;
}

/* --- asking --- */

static void sent_end(struct sent *s, int status, json_t *reply, const char *why) {
  for (struct sent **at = &s->l->sent; *at; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      break;
    }
  timer_done(&s->expiry);
  s->fn(s->arg, status, reply, why);
  free(s);
}

static struct sent *sent_find(struct letters *l, const char *id) {
  struct sent *s = l->sent;
  while (s && strcmp(s->id, id)) s = s->next;
  return s;
}

static void sent_ask(struct sent *s);

static void on_reply(void *arg, enum store_rc rc, const struct store_doc *d, const char *why) {
  struct sent *s = arg;
  const struct seal *seal = s->l->ev.seal(s->l->ev.arg);
  (void)why;
  s->asking = false;
  json_t *reply = !rc && d && seal ? json_open(seal, "reply", s->id, d->data, d->len) : NULL;
  if (reply) {
    sent_end(s, 200, reply, "");
    json_decref(reply);
  } else if (!s->fn || !timer_pending(&s->expiry)) {
    sent_end(s, 504, NULL, "the node did not answer within a minute");
  } else if (s->again) {
    sent_ask(s);
  }
}

static void sent_ask(struct sent *s) {
  struct store *store = s->l->ev.store(s->l->ev.arg);
  s->again = s->asking;
  if (s->asking || !store) return;
  s->asking = true;
  store_doc_get(store, STORE_DOC_REPLY, s->id, on_reply, s);
}

static void on_expired(void *arg) {
  struct sent *s = arg;
  if (!s->asking) sent_end(s, 504, NULL, "the node did not answer within a minute");
}

void letters_replied(struct letters *l, const char *id) {
  for (struct sent *s = l->sent; s; s = s->next)
    if (!*id || !strcmp(s->id, id)) sent_ask(s);
}

struct sending {
  struct letters *l;
  char id[LETTER_ID_SIZE];
};

static void on_sent(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct sending *sending = arg;
  struct sent *s = sent_find(sending->l, sending->id);
  (void)count;
  /* STORE_UNKNOWN: it may have been sent, and then its reply comes. */
  if (s && !s->asking && rc && rc != STORE_UNKNOWN) sent_end(s, 503, NULL, why);
  free(sending);
}

static char *letter_write(struct letters *l, const struct seal *seal, const char *id,
                          const char *node, enum letter_kind kind, const char *user,
                          const json_t *body, uint64_t now_ms) {
  char mark[2 * SEAL_MARK_LEN + 1];
  char *closed = json_close(seal, "letter", id, body), *text = NULL;
  json_t *o = closed ? json_pack("{ss ss ss ss ss sI ss}", "id", id, "kind",
                                 letter_kind_names[kind], "to", node, "from", l->node, "user", user,
                                 "expires_ms", (json_int_t)(now_ms + LETTER_MS), "body", closed)
                     : NULL;
  if (o && !mark_make(seal, o, mark) && !json_object_set_new(o, "hmac", json_string(mark)))
    text = json_dumps(o, JSON_COMPACT);
  json_decref(o);
  free(closed);
  return text;
}

void letters_send(struct letters *l, const char *node, enum letter_kind kind, const char *user,
                  const json_t *body, letter_reply_fn fn, void *arg) {
  struct store *store = l->ev.store(l->ev.arg);
  const struct seal *seal = l->ev.seal(l->ev.arg);
  struct sent *s = calloc(1, sizeof *s);
  struct sending *sending = malloc(sizeof *sending);
  if (!s || !sending || secret_token((LETTER_ID_SIZE - 1) / 2, s->id)) out_of_memory();
  *sending = (struct sending){.l = l};
  memcpy(sending->id, s->id, sizeof s->id);
  s->l = l;
  s->fn = fn;
  s->arg = arg;
  s->next = l->sent;
  l->sent = s;
  timer_init(&s->expiry, l->loop, on_expired, s);
  char *text = store && seal
                   ? letter_write(l, seal, s->id, node, kind, user, body, store_clock_ms(store))
                   : NULL;
  timer_start(&s->expiry, text ? LETTER_MS : 0); /* without a storage or a key: at once */
  if (text)
    store_letter_send(store, node, text, strlen(text), on_sent, sending);
  else
    free(sending);
  free(text);
}

/* --- being asked --- */

struct carried {
  struct letters *l;
  struct letter letter;
  json_t *doc;
};

static void carried_free(struct carried *x) {
  json_decref(x->letter.body);
  json_decref(x->doc);
  free(x);
}

static void on_nothing(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  (void)arg, (void)rc, (void)count, (void)why;
}

void letters_reply(struct letters *l, const char *id, json_t *reply) {
  struct store *store = l->ev.store(l->ev.arg);
  const struct seal *seal = l->ev.seal(l->ev.arg);
  char *text = store && seal ? json_close(seal, "reply", id, reply) : NULL;
  if (text)
    store_doc_put(store, STORE_DOC_REPLY, id, text, strlen(text), LETTER_MS, STORE_DOC_NEW,
                  on_nothing, NULL);
  free(text);
  json_decref(reply);
}

static void on_first(void *arg, enum store_rc rc, uint64_t count, const char *why) {
  struct carried *x = arg;
  struct letters *l = x->l;
  (void)why;
  if (!rc && count == 1) {
    json_t *reply = l->ev.carry(l->ev.arg, &x->letter);
    if (reply) letters_reply(l, x->letter.id, reply);
  } else if (!rc) {
    l->ignored++; /* it was carried out before */
  }
  carried_free(x);
}

/* Why nothing is done for it; NULL: it is good. */
static const char *letter_fault(struct letters *l, struct carried *x, const struct seal *seal,
                                uint64_t now_ms) {
  const char *id = json_string_value(json_object_get(x->doc, "id"));
  const char *kind = json_string_value(json_object_get(x->doc, "kind"));
  const char *to = json_string_value(json_object_get(x->doc, "to"));
  const char *body = json_string_value(json_object_get(x->doc, "body"));
  json_int_t expires = json_integer_value(json_object_get(x->doc, "expires_ms"));
  if (!id || !mark_fits(seal, x->doc)) return "it was not written with the cluster's key";
  if (strlen(id) != LETTER_ID_SIZE - 1 || strcmp(to, l->node)) return "it is for another node";
  if (expires < (json_int_t)now_ms || expires > (json_int_t)(now_ms + 2 * LETTER_MS))
    return "it has expired";
  memcpy(x->letter.id, id, LETTER_ID_SIZE);
  x->letter.from = json_string_value(json_object_get(x->doc, "from"));
  x->letter.user = json_string_value(json_object_get(x->doc, "user"));
  x->letter.kind = LETTER_KINDS;
  for (int i = 0; i < LETTER_KINDS; i++)
    if (!strcmp(kind, letter_kind_names[i])) x->letter.kind = (enum letter_kind)i;
  if (x->letter.kind == LETTER_KINDS) return "it asks for something that this release cannot do";
  x->letter.body = json_open(seal, "letter", id, body, strlen(body));
  return x->letter.body ? NULL : "its body cannot be opened";
}

static void letter_take(struct letters *l, struct store *store, const struct store_letter *one) {
  const struct seal *seal = l->ev.seal(l->ev.arg);
  struct carried *x = calloc(1, sizeof *x);
  if (!x) out_of_memory();
  x->l = l;
  x->doc = json_loadb(one->data, one->len, JSON_REJECT_DUPLICATES, NULL);
  const char *fault = !seal     ? "this node has no key"
                      : !x->doc ? "it cannot be read"
                                : letter_fault(l, x, seal, store_clock_ms(store));
  if (fault) {
    l->ignored++;
    log_warning(l->log, "cluster", "a request of another node is ignored: %s", fault);
    carried_free(x);
    return;
  }
  store_doc_put(store, STORE_DOC_DONE, x->letter.id, "", 0, DONE_MS, STORE_DOC_NEW, on_first, x);
}

static void on_taken(void *arg, enum store_rc rc, const struct store_letter *letters, size_t n,
                     const char *why) {
  struct letters *l = arg;
  struct store *store = l->ev.store(l->ev.arg);
  (void)why;
  l->taking = false;
  for (size_t i = 0; !rc && store && i < n; i++) letter_take(l, store, &letters[i]);
  if (l->again) letters_come(l);
}

void letters_come(struct letters *l) {
  struct store *store = l->ev.store(l->ev.arg);
  l->again = l->taking;
  if (l->taking || !store) return;
  l->taking = true;
  store_letter_take(store, on_taken, l);
}

/* --- life --- */

void letters_init(struct letters *l, struct loop *loop, struct log *log, const char *node,
                  const struct letters_events *ev) {
  *l = (struct letters){.loop = loop, .log = log, .ev = *ev, .node_copy = strdup(node)};
  if (!l->node_copy) out_of_memory();
  l->node = l->node_copy;
}

void letters_done(struct letters *l) {
  while (l->sent) sent_end(l->sent, 503, NULL, "the broker stopped meanwhile");
  free(l->node_copy);
  *l = (struct letters){.node = NULL};
}
