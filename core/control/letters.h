/* What nodes ask of one another, by way of the storage: a request with a mark of who wrote it, that
 * expires, is carried out at most once, and is answered by an encrypted reply. */
#ifndef PB_CORE_CONTROL_LETTERS_H
#define PB_CORE_CONTROL_LETTERS_H

#include "base/seal.h"
#include "storage/shared.h"

#include <jansson.h>

struct log;
struct loop;

enum letter_kind {              /* all that there are */
                   LETTER_PING, /* of a topic's worker */
                   LETTER_TEST,
                   LETTER_POOL,
                   LETTER_LOG,
                   LETTER_COPY, /* the revision that the node runs, as stored */
                   LETTER_STATUS,
                   LETTER_FIGURES, /* of its topics */
                   LETTER_CLIENTS, /* the connections of its producers */
                   LETTER_KILL,    /* one of these is ended */
                   LETTER_STORAGES,
                   LETTER_TOPIC, /* how the node runs one */
                   LETTER_KINDS
};
extern const char *const letter_kind_names[];

#define LETTER_ID_SIZE 33
#define LETTER_MS      60000 /* by the storage's clock */

struct letter { /* one that this node was sent; its rights are to be checked here, too */
  char id[LETTER_ID_SIZE];
  enum letter_kind kind;
  const char *from, *user; /* node; who asked there */
  json_t *body;
};

struct letters_events {
  struct store *(*store)(void *arg);     /* NULL: none is ready */
  const struct seal *(*seal)(void *arg); /* NULL: there is no key */
  /* Carries it out: the reply, at once or later by letters_reply() with l->id. NULL: later. */
  json_t *(*carry)(void *arg, const struct letter *l);
  void *arg;
};

/* status: 200 with a reply, 503 or 504 with a sentence. */
typedef void (*letter_reply_fn)(void *arg, int status, json_t *reply, const char *why);

struct letters {
  struct loop *loop;
  struct log *log;
  const char *node;
  char *node_copy;
  struct letters_events ev;
  struct sent *sent;
  bool taking, again;
  uint64_t ignored; /* forged, expired or repeated ones */
};

void letters_init(struct letters *l, struct loop *loop, struct log *log, const char *node,
                  const struct letters_events *ev);
void letters_done(struct letters *l); /* after the stores are freed; answers what waits */
/* `body` is borrowed. fn is called once, never from within the call. */
void letters_send(struct letters *l, const char *node, enum letter_kind kind, const char *user,
                  const json_t *body, letter_reply_fn fn, void *arg);
void letters_reply(struct letters *l, const char *id, json_t *reply); /* takes it over */
void letters_come(struct letters *l);                                 /* there may be some */
void letters_replied(struct letters *l, const char *id); /* id "": any of them may be there */

#endif
