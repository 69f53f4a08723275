/* Owns grants and the table of wrong attempts.
 *
 * Wrong passwords are counted by address and name together, so that one misconfigured producer
 * locks out nobody else on its machine; names that do not exist share one count. While the count
 * is over the limit even the right password is refused: otherwise guessing could go on.
 */
#include "auth.h"

#include "secret.h"
#include "topic.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW_MS    60000
#define PATH_MAX_LEN (2 * NAME_LEN_MAX + 1)
/* The table: SETS sets of WAYS entries; the oldest of a full set makes room. */
#define SETS 512
#define WAYS 4

struct grant {
  struct grant *next;
  size_t len, queue_len; /* equal: the whole queue */
  char path[];
};

struct wrong {
  uint64_t key;
  uint64_t since_ms;
  int64_t count; /* 0: unused */
};

struct auth_limiter {
  struct wrong table[SETS][WAYS];
};

/* --- grants --- */

bool auth_queue(const struct auth *a, const char *name, size_t len) {
  for (const struct grant *g = a->grants; g; g = g->next)
    if (g->len == len && g->queue_len == len && !memcmp(g->path, name, len)) return true;
  return false;
}

bool auth_topic(const struct auth *a, const char *path, size_t len) {
  for (const struct grant *g = a->grants; g; g = g->next) {
    if (g->len == len && !memcmp(g->path, path, len)) return true;
    if (g->queue_len == g->len && len > g->len && path[g->len] == '/' &&
        !memcmp(g->path, path, g->len))
      return true;
  }
  return false;
}

void auth_drop(struct auth *a) {
  while (a->grants) {
    struct grant *g = a->grants;
    a->grants = g->next;
    free(g);
  }
}

static enum auth_rc add_grant(struct auth *a, const char *path, size_t len) {
  for (const struct grant *g = a->grants; g; g = g->next)
    if (g->len == len && !memcmp(g->path, path, len)) return AUTH_OK;
  struct grant *g = malloc(sizeof *g + len);
  if (!g) return AUTH_MEMORY;
  const char *slash = memchr(path, '/', len);
  g->len = len;
  g->queue_len = slash ? (size_t)(slash - path) : len;
  memcpy(g->path, path, len);
  g->next = a->grants;
  a->grants = g;
  return AUTH_OK;
}

/* --- wrong attempts --- */

struct auth_limiter *auth_limiter_new(void) {
  return calloc(1, sizeof(struct auth_limiter));
}
void auth_limiter_free(struct auth_limiter *l) {
  free(l);
}

static uint64_t hash(uint64_t h, const void *data, size_t len) {
  const unsigned char *p = data;
  while (len--) h = (h ^ *p++) * UINT64_C(0x100000001b3);
  return h;
}

static uint64_t peer_key(const struct auth_peer *peer, const char *name, size_t len) {
  uint64_t h = hash(UINT64_C(0xcbf29ce484222325), peer->bytes, sizeof peer->bytes);
  h = hash(h, name, len);
  return h ^ h >> 29;
}

/* The entry of `key` in this minute, or NULL. */
static struct wrong *wrong_find(struct auth_limiter *l, uint64_t key, uint64_t now_ms) {
  struct wrong *set = l->table[key % SETS];
  for (int i = 0; i < WAYS; i++)
    if (set[i].count && set[i].key == key && now_ms - set[i].since_ms < WINDOW_MS) return &set[i];
  return NULL;
}

static void wrong_count(struct auth_limiter *l, uint64_t key, uint64_t now_ms) {
  struct wrong *set = l->table[key % SETS], *w = wrong_find(l, key, now_ms);
  if (!w) {
    w = set;
    for (int i = 0; i < WAYS; i++) {
      if (!set[i].count || set[i].key == key) {
        w = &set[i];
        break;
      }
      if (set[i].since_ms < w->since_ms) w = &set[i];
    }
    *w = (struct wrong){.key = key, .since_ms = now_ms};
  }
  w->count++;
}

/* --- passwords --- */

/* The stored password of a queue or topic, or NULL. */
static const char *stored_password(struct registry *reg, const char *path, size_t len) {
  if (len > PATH_MAX_LEN) return NULL;
  if (memchr(path, '/', len)) {
    const struct topic *t = registry_topic(reg, path, len);
    return t ? t->set->password : NULL;
  }
  const struct queue *q = registry_queue(reg, path, len);
  return q ? q->set->password : NULL;
}

/* AUTH_RATE, AUTH_WRONG or AUTH_OK for one reading of what the client said; *ret_known: the name
 * exists, so a wrong password has been counted. */
static enum auth_rc try_name(struct auth *a, const struct auth_attempt *t, const char *path,
                             size_t len, const char *password, size_t password_len,
                             bool *ret_known) {
  const char *stored = stored_password(t->reg, path, len);
  if (!stored) return AUTH_WRONG;
  *ret_known = true;
  uint64_t key = peer_key(t->peer, path, len);
  const struct wrong *w = wrong_find(t->limiter, key, t->now_ms);
  if (w && w->count >= t->max_wrong) return AUTH_RATE;
  if (secret_matches(stored, password, password_len)) return add_grant(a, path, len);
  wrong_count(t->limiter, key, t->now_ms);
  return AUTH_WRONG;
}

/* A name that does not exist: counted too, and about as slow as one that does. */
static enum auth_rc unknown(const struct auth_attempt *t, const char *text, size_t len) {
  uint64_t key = peer_key(t->peer, "", 0);
  const struct wrong *w = wrong_find(t->limiter, key, t->now_ms);
  if (w && w->count >= t->max_wrong) return AUTH_RATE;
  wrong_count(t->limiter, key, t->now_ms);
  (void)secret_matches("no such name", text, len);
  return AUTH_WRONG;
}

enum auth_rc auth_one(struct auth *a, const struct auth_attempt *t, const char *text, size_t len) {
  enum auth_rc rc = AUTH_WRONG;
  bool known = false;
  for (size_t i = 1; i < len && i <= PATH_MAX_LEN; i++) {
    if (text[i] != ':') continue;
    enum auth_rc r = try_name(a, t, text, i, text + i + 1, len - i - 1, &known);
    if (r == AUTH_OK || r == AUTH_MEMORY) return r;
    if (r == AUTH_RATE) rc = r;
  }
  return known ? rc : unknown(t, text, len);
}

enum auth_rc auth_two(struct auth *a, const struct auth_attempt *t, const char *user,
                      size_t user_len, const char *password, size_t password_len) {
  bool known = false;
  enum auth_rc rc = try_name(a, t, user, user_len, password, password_len, &known);
  if (rc == AUTH_OK || rc == AUTH_MEMORY) return rc;
  if (user_len == 7 && !memcmp(user, "default", 7)) return auth_one(a, t, password, password_len);
  return known ? rc : unknown(t, password, password_len);
}
