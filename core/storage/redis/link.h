/* One connection to a Redis server: commands in, replies out, in order. Connects by itself and
 * again after a loss.
 *
 * link.c is the only file that includes hiredis. It uses the reader of replies, nothing else.
 */
#ifndef PB_CORE_STORAGE_REDIS_LINK_H
#define PB_CORE_STORAGE_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_UNSENT_MAX (256u << 20) /* bytes of commands that wait for a slow server */

struct loop;
struct link;

enum redis_reply_type {
  REPLY_STRING = 1,
  REPLY_ARRAY = 2,
  REPLY_INTEGER = 3,
  REPLY_NIL = 4,
  REPLY_STATUS = 5,
  REPLY_ERROR = 6
};

/* Valid during the callback. */
struct redis_reply {
  int type; /* enum redis_reply_type */
  long long integer;
  size_t len;
  char *str; /* also NUL-terminated */
  size_t elements;
  struct redis_reply **element;
};

/* The text of a string reply as malloc'd memory that is the caller's: large ones are not copied
 * but taken out of the reply. NULL: no memory. */
char *redis_reply_take_text(struct redis_reply *r);

/* Embedded in the object that waits for a reply. After link_send() returned 0, `fn` is called
 * exactly once: with the reply, or with NULL when the connection was lost. Then the command may
 * have run. */
struct link_callback {
  void (*fn)(struct link_callback *callback, struct redis_reply *r);
};

struct redis_piece {
  const char *p;
  size_t n;
};

struct link_settings {
  const char *name;     /* for the log: "storage main" */
  const char *unusable; /* why there is no address; NULL: there is one */
  const char *address;  /* "127.0.0.1:6379", "[::1]:6379", "host:6379", "unix:/path" */
  const char *username, *password;
  const char *client_name; /* CLIENT SETNAME */
  const char *channel;     /* not NULL: this link only subscribes to it */
  int64_t db;
  uint64_t connect_timeout_ms, command_timeout_ms;
  uint64_t reconnect_max_ms; /* longest pause between two connections; 0: three seconds */
  uint64_t refused_ms;       /* pause after the server did not want this link; 0: the longest */
};

struct link_events {
  void (*up)(void *arg);
  /* Not connected (any more); connecting again by itself. `refused`: it answered, and does not
   * want us (password); `why` is for people. */
  void (*down)(void *arg, bool refused, const char *why);
  void (*message)(void *arg, const char *text, size_t len); /* of the channel */
  void *arg;
};

struct link_stats {
  uint64_t commands, reconnects, in_flight, rtt_us;
};

/* Strings must outlive the link. Starts connecting in the next turn. NULL: no memory. */
struct link *link_new(struct loop *loop, const struct link_settings *st,
                      const struct link_events *ev);
/* Answers the commands on the way with NULL. Never from a callback of this link. */
void link_free(struct link *link);
bool link_is_up(const struct link *link);
/* Sends one command, already in the protocol's form; the first piece holds at least the
 * command's name. It leaves at the end of the turn. 0; -ENOTCONN; -EAGAIN: too much waits already.
 * On failure `callback` is not touched. */
int link_send(struct link *link, const struct redis_piece *piece, size_t n,
              struct link_callback *callback);
/* Would so many bytes of commands still be taken? */
bool link_has_room(const struct link *link, size_t bytes);
/* Gives the connection up at the end of the turn and connects again. */
void link_drop(struct link *link, const char *why);
void link_stats(const struct link *link, struct link_stats *ret);

#endif
