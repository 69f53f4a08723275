/* The start of a connection: the checks of the server before it is used. */
#ifndef PB_CORE_STORAGE_REDIS_HELLO_H
#define PB_CORE_STORAGE_REDIS_HELLO_H

#include "event/loop.h"
#include "storage/redis/script.h"
#include "storage/store.h"
#include <stdbool.h>
#include <stdint.h>

#define STORE_SHA_LEN 40

struct store;

struct store_hello {
  struct timer again; /* once more: loading, refused, name held */
  unsigned answers;   /* still to come */
  char sha[SCRIPT_MAX][STORE_SHA_LEN + 1];
  bool warned_aof, warned_info;
  char run[128]; /* the server's run id; not known: a text that names the connection */
  bool run_known;
  uint64_t greeted;   /* hellos whose server did not tell its run id */
  bool unversioned;   /* it has no pb:version */
  bool resolve_again; /* a replica: its address is to be looked up again */
  bool was_ready;
  bool twin; /* refused: another storage is the same database */
};

void hello_init(struct store *s);
void hello_begin(struct store *s); /* the connection is up */
void hello_over(struct store *s);  /* READY follows */
/* Not READY, for that reason: asked again after so long. */
void hello_again(struct store *s, enum store_state state, uint64_t again_ms, const char *why);
bool hello_lost(struct store *s); /* the connection; true: it was given up on purpose, as told */
void hello_done(struct store *s);

#endif
