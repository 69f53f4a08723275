/* Owns the check of a server that is no storage yet: a connection of its own, and what the server
 * tells of itself.
 */
#include "storage/redis/private.h"

#include "base/out_of_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_PASSWORD "it asks for a password; set `password` (and `username`) of this storage"

struct probe {
  struct loop *loop;
  struct link *link;
  struct link_callback callback;
  struct timer end; /* its time is over, or it is freed */
  const struct storage_settings *st;
  store_probed_fn fn;
  void *arg;
  bool told;
  struct store_server server;
};

/* Not from a callback of the link. */
static void probe_end(void *arg) {
  struct probe *p = arg;
  struct link *link = p->link;
  if (!p->told) p->fn(p->arg, false, NULL, "it did not answer in time");
  p->told = true;
  p->link = NULL;
  link_free(link);
  timer_done(&p->end);
  free(p);
}

static void probe_tell(struct probe *p, bool good, const struct store_server *server,
                       const char *why) {
  if (p->told) return;
  p->told = true;
  timer_start(&p->end, 0);
  p->fn(p->arg, good, server, why);
}

static void on_version(struct link_callback *callback, struct redis_reply *r) {
  struct probe *p = CONTAINER_OF(callback, struct probe, callback);
  char text[200];
  if (p->told || !r) return; /* down() tells */
  if (r->type == REPLY_STRING && redis_reply_u64(r) != STORE_LAYOUT) {
    snprintf(text, sizeof text,
             "it holds data of another version of Pepperbus (layout %.20s, this one knows %d); "
             "run that version, or choose another db",
             r->str, STORE_LAYOUT);
    probe_tell(p, false, &p->server, text);
  } else if (r->type == REPLY_ERROR) {
    snprintf(text, sizeof text, "it refuses to read: %.150s", r->str);
    probe_tell(p, false, &p->server, text);
  } else {
    probe_tell(p, true, &p->server, "");
  }
}

static void probe_send(struct probe *p, const char *a, const char *b,
                       void (*fn)(struct link_callback *callback, struct redis_reply *r)) {
  struct cmd out = {.p = NULL};
  struct redis_piece piece;
  p->callback.fn = fn;
  cmd_begin(&out);
  cmd_text(&out, a);
  if (b) cmd_text(&out, b);
  if (!cmd_end(&out, &piece.p, &piece.n)) out_of_memory();
  if (link_send(p->link, &piece, 1, &p->callback))
    probe_tell(p, false, NULL, "the connection broke");
  cmd_done(&out);
}

static void on_info(struct link_callback *callback, struct redis_reply *r) {
  struct probe *p = CONTAINER_OF(callback, struct probe, callback);
  char text[300];
  if (p->told || !r) return;
  if (r->type == REPLY_ERROR && !strncmp(r->str, "NOAUTH", 6)) {
    probe_tell(p, false, NULL, WANTS_PASSWORD);
  } else if (r->type != REPLY_STRING) {
    snprintf(text, sizeof text, "it answers, but cannot be checked: %.200s",
             r->type == REPLY_ERROR ? r->str : "it gave an unexpected answer to INFO");
    probe_tell(p, false, NULL, text);
  } else {
    info_read(r->str, p->st->db, &p->server);
    p->server.at_ms = loop_now_ms(p->loop);
    if (info_fault(r->str, text, sizeof text))
      probe_tell(p, false, &p->server, text);
    else
      probe_send(p, "GET", STORE_KEY_VERSION, on_version);
  }
}

static void probe_up(void *arg) {
  struct probe *p = arg;
  if (!p->told) probe_send(p, "INFO", NULL, on_info);
}

static void probe_down(void *arg, bool refused, const char *why) {
  struct probe *p = arg;
  char text[STORE_WORDS];
  if (refused && !strncmp(why, "NOAUTH", 6)) {
    probe_tell(p, false, NULL, WANTS_PASSWORD);
    return;
  }
  snprintf(text, sizeof text, "%s%.400s", refused ? "it refuses: " : "no connection: ", why);
  probe_tell(p, false, NULL, text);
}

void store_probe(struct loop *loop, const struct storage_settings *st, store_probed_fn fn,
                 void *arg) {
  struct probe *p = calloc(1, sizeof *p);
  struct link_events ev = {.up = probe_up, .down = probe_down, .arg = p};
  struct link_settings ls = {.name = "storage check",
                             .address = st->address,
                             .username = st->username,
                             .password = st->password,
                             .client_name = "pepperbus-check",
                             .db = st->db,
                             .connect_timeout_ms = STORE_PROBE_MS,
                             .command_timeout_ms = STORE_PROBE_MS};
  if (!p) out_of_memory();
  p->loop = loop;
  p->st = st;
  p->fn = fn;
  p->arg = arg;
  timer_init(&p->end, loop, probe_end, p);
  if (!(p->link = link_new(loop, &ls, &ev))) out_of_memory();
  timer_start(&p->end, STORE_PROBE_MS);
}
