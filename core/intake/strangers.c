/* Owns the counts that have not been logged yet. The table has a fixed size. When there are more
 * addresses than places, the address that was quiet longest is logged and makes room.
 */
#include "intake/strangers.h"

#include "base/log.h"
#include "event/loop.h"
#include "intake/auth.h"
#include "intake/peer.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define PLACES   64
#define EVERY_MS 60000

struct place {
  struct auth_peer who;
  enum stranger_kind kind;
  char host[PEER_TEXT_MAX];
  uint64_t told_ms, last_ms; /* told_ms 0: free */
  uint64_t untold;
};

struct strangers {
  struct loop *loop;
  struct timer timer;
  struct place places[PLACES];
};

static void say_first(struct strangers *s, const struct place *p) {
  if (p->kind == STRANGER_PASSWORD)
    log_warning(loop_log(s->loop), "clients",
                "%s gave a wrong password, or a queue or topic that does not exist; refused. More "
                "from there are counted and logged once a minute",
                p->host);
  else
    log_warning(loop_log(s->loop), "clients",
                "%s sent HTTP or TLS instead of the Redis protocol, and was cut off: somebody may "
                "be making a browser or a server send requests here. More from there are counted "
                "and logged once a minute",
                p->host);
}

static void say_count(struct strangers *s, struct place *p) {
  if (!p->untold) return;
  log_warning(loop_log(s->loop), "clients", "%s: %" PRIu64 " more %s in the last %" PRIu64 " s",
              p->host, p->untold,
              p->kind == STRANGER_PASSWORD ? "wrong passwords"
                                           : "connections that spoke HTTP or TLS",
              (loop_now_ms(s->loop) - p->told_ms + 999) / 1000);
  p->untold = 0;
}

static void on_timer(void *arg) {
  struct strangers *s = arg;
  uint64_t now = loop_now_ms(s->loop);
  bool any = false;
  for (struct place *p = s->places; p < s->places + PLACES; p++) {
    if (!p->told_ms) continue;
    if (now - p->told_ms >= EVERY_MS && !p->untold) {
      p->told_ms = 0;
      continue;
    }
    if (now - p->told_ms >= EVERY_MS) {
      say_count(s, p);
      p->told_ms = now;
    }
    any = true;
  }
  if (any) timer_start(&s->timer, EVERY_MS / 4);
}

struct strangers *strangers_new(struct loop *loop) {
  struct strangers *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->loop = loop;
  timer_init(&s->timer, loop, on_timer, s);
  return s;
}

void strangers_free(struct strangers *s) {
  if (!s) return;
  for (int i = 0; i < PLACES; i++) say_count(s, &s->places[i]);
  timer_done(&s->timer);
  free(s);
}

/* Without the port, which is another one each time. */
static void host_of(const struct peer *peer, const struct auth_peer *who, char *ret) {
  peer_format(peer, ret);
  char *colon = peer->kind == PEER_UNIX ? NULL : strrchr(ret, ':');
  if (colon) *colon = 0;
  if (who->bytes[15] == AF_INET && who->bytes[0] == 127) strcpy(ret, "127.0.0.1");
}

void strangers_note(struct strangers *s, enum stranger_kind kind, const struct peer *peer) {
  struct auth_peer who = peer_key(peer);
  struct place *p = NULL, *oldest = s->places;
  for (struct place *q = s->places; q < s->places + PLACES && !p; q++) {
    if (q->told_ms && q->kind == kind && !memcmp(&q->who, &who, sizeof who)) p = q;
    if (q->last_ms < oldest->last_ms || !q->told_ms) oldest = q;
  }
  uint64_t now = loop_now_ms(s->loop);
  if (p) {
    p->untold++;
    p->last_ms = now;
    return;
  }
  say_count(s, oldest);
  *oldest = (struct place){.who = who, .kind = kind, .told_ms = now, .last_ms = now};
  host_of(peer, &who, oldest->host);
  say_first(s, oldest);
  if (!timer_pending(&s->timer)) timer_start(&s->timer, EVERY_MS / 4);
}
