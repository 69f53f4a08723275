/* The refusals of a storage's server. */
#ifndef PB_CORE_STORAGE_REDIS_REFUSALS_H
#define PB_CORE_STORAGE_REDIS_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#define STORE_WORDS 512 /* of a text for people */
/* A question that belongs to no job, and that was refused for a missing right, is repeated only
 * after this time. */
#define STORE_FORBIDDEN_MS 30000

struct store;

struct store_refusals {
  char forbidden[STORE_WORDS];         /* by its ACL: the last one ... */
  uint64_t forbidden_ms;               /* ... monotonic: when ... */
  char forbidden_told[8][STORE_WORDS]; /* ... and the ones in the log */
  char writes[STORE_WORDS];            /* why it takes no writes though it is ready; or "" */
  uint64_t refused, said_ms;
  struct {
    char why[STORE_WORDS];
    uint64_t said_ms, more;
  } logged;              /* the last error of the server that a topic met */
  uint64_t bulk_max;     /* bytes that the server takes in one piece; 0: not known */
  const char *bulk_name; /* the name of that limit */
  bool bulk_told;        /* the server said it; else it was learnt from a refusal */
};

/* Whether it takes writes: "" it does, else why not. The first refused one is logged, in one line
 * for all topics; the refresh of the lease tells when it takes them again. */
void refusals_writes(struct store *s, const char *why);
/* A command was refused for want of a right: told once in the log, and in the status for as long as
 * it goes on. */
void refusals_right(struct store *s, const char *why);
const char *refusals_forbidden(const struct store *s); /* such a one, not long ago; or "" */
/* It is not the server to talk to: the connections are given up and made again. */
void refusals_place(struct store *s, const char *why);
/* The server closed a connection that sent so many bytes in one piece; or it tells its bound. */
void refusals_size(struct store *s, uint64_t bytes);
void refusals_size_told(struct store *s, uint64_t bytes, const char *name);

#endif
