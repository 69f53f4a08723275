/* The cluster's key on this node: the file, and whether it is the one that the cluster uses. The
 * storage has the id of the cluster's key, put there by the node that made the first one. */
#ifndef PB_CORE_CONTROL_KEY_H
#define PB_CORE_CONTROL_KEY_H

#include "base/seal.h"
#include "storage/shared.h"

#include <stdbool.h>

struct log;

enum key_state {
  KEY_NONE,    /* no file, and the cluster has no key yet: the first change makes it */
  KEY_OK,      /* the file is there, and no other key is the cluster's */
  KEY_MISSING, /* the cluster has one, this node has no file */
  KEY_WRONG,   /* the file holds another one */
  KEY_UNSAFE   /* the file cannot or must not be used */
};
extern const char *const key_state_names[];

struct key {
  struct log *log;
  char *path;
  bool has;         /* the file was read */
  struct seal seal; /* of it */
  int file_rc;      /* of key_file_read() */
  char file_why[512];
  char wanted[SEAL_ID_SIZE]; /* the id that the storage has; "": none, or not known */
  enum key_state state;
  char why[640]; /* what is wrong and what to do; "" */
  bool asking;
  void (*changed)(void *arg);
  void *arg;
  struct key_need *needs; /* those that wait for key_need() */
};

void key_init(struct key *k, struct log *log, const char *path, void (*changed)(void *arg),
              void *arg);
void key_done(struct key *k);
/* Reads the file where it was not read or the path is another one. */
void key_file_look(struct key *k, const char *path);
/* Asks the storage which key is the cluster's. */
void key_ask(struct key *k, struct store *s);
/* The key, or NULL: key->why says why not. */
const struct seal *key_seal(const struct key *k);
/* Before the first thing is made with it: makes the file where the cluster has no key, and says in
 * the storage whose key it is. fn(arg, 0 or -errno): then k->why says why. */
void key_need(struct key *k, struct store *s, void (*fn)(void *arg, int rc), void *arg);
/* Says in the storage that the key of this id is the cluster's, whatever was said before. */
void key_say_id(struct store *s, const char *id, store_done_fn fn, void *arg);
/* The file has another key, and the storage says that it is the cluster's. */
void key_replaced(struct key *k, const char *id);

#endif
