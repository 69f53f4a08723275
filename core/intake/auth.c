/* Owns grants, and how long the answer to a wrong password is delayed.
 *
 * A right password is never refused or delayed. Guessing is limited by the cost of a wrong
 * password, not by refusal: a refusal would lock out the producers on the guesser's machine too.
 *
 * Wrong passwords are counted by address and by owner. The owner is the name as it was sent, up to
 * the first ':' or '/', so that all topics of a queue have one count. A name that does not exist is
 * counted like one that exists: neither the answer nor the delay tells which names exist. Counts
 * are kept in cells that names share at random (two cells per name, the lower one counts). No name
 * can push out another one. A flood of names makes wrong answers slower.
 */
#include "intake/auth.h"

#include "base/secret.h"
#include "registry/registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WINDOW_MS      60000
#define PATH_MAX_LEN   (2 * NAME_LEN_MAX + 1)
#define PASSWORD_MAX   16384 /* a longer one is wrong, and not worth a hash */
#define DELAY_FIRST_MS 20
#define DELAY_MAX_MS   2000
#define ROWS           2
#define CELLS          4096 /* of a row */
#define ONE            1000 /* a wrong password in a cell */

struct grant {
  struct grant *next;
  size_t len, queue_len; /* equal: the whole queue */
  char path[];           /* ends with a NUL */
};

/* Leaks: what `max_wrong` a minute brings in goes out again within the minute. */
struct cell {
  uint64_t since_ms;
  uint64_t level; /* in thousandths of a wrong password */
};

struct auth_limiter {
  uint64_t key[2];
  struct cell cells[ROWS][CELLS];
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

const char *auth_shown(const struct auth *a) {
  return a->grants ? a->grants->path : NULL;
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
  struct grant *g = malloc(sizeof *g + len + 1);
  if (!g) return AUTH_MEMORY;
  const char *slash = memchr(path, '/', len);
  g->len = len;
  g->queue_len = slash ? (size_t)(slash - path) : len;
  memcpy(g->path, path, len);
  g->path[len] = 0;
  g->next = a->grants;
  a->grants = g;
  return AUTH_OK;
}

/* --- wrong attempts --- */

struct auth_limiter *auth_limiter_new(void) {
  struct auth_limiter *l = calloc(1, sizeof *l);
  if (l && secret_random(l->key, sizeof l->key)) {
    free(l);
    return NULL;
  }
  return l;
}
void auth_limiter_free(struct auth_limiter *l) {
  free(l);
}

static uint64_t rotate(uint64_t v, int n) {
  return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[0] = rotate(v[0], 32);
  v[2] += v[3];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[2] = rotate(v[2], 32);
}

/* SipHash-2-4: who does not know the key cannot choose names that meet in a cell. */
static uint64_t sip_hash(const uint64_t key[2], const void *data, size_t len) {
  const unsigned char *p = data;
  uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                   key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
  for (size_t at = 0;; at += 8) {
    size_t n = len - at < 8 ? len - at : 8;
    uint64_t word = n < 8 ? (uint64_t)len << 56 : 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)p[at + i] << 8 * i;
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
    if (n < 8) break;
  }
  v[2] ^= 0xff;
  for (int i = 0; i < 4; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct auth_peer auth_peer_of(int family, const void *address) {
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
  static const unsigned char loopback6[16] = {[15] = 1};
  struct auth_peer p = {.bytes = {0}};
  const unsigned char *a = address;
  if (family == AF_INET6 && !memcmp(a, mapped, sizeof mapped)) {
    family = AF_INET;
    a += sizeof mapped;
  }
  if (family == AF_INET6 && !memcmp(a, loopback6, sizeof loopback6)) {
    static const unsigned char loopback4[4] = {127};
    family = AF_INET;
    a = loopback4;
  }
  p.bytes[15] = (unsigned char)family;
  if (family == AF_INET)
    memcpy(p.bytes, a, *a == 127 ? 1 : 4);
  else if (family == AF_INET6)
    memcpy(p.bytes, a, 8);
  return p;
}

/* Counts one more, and says how many there were lately, in thousandths. `max_wrong` a minute leak
 * away; twice that many are remembered. */
static uint64_t cell_add(struct cell *c, const struct auth_attempt *t) {
  uint64_t max = (uint64_t)t->max_wrong * ONE, gone = t->now_ms - c->since_ms;
  uint64_t leak = gone >= 2 * WINDOW_MS ? c->level : gone * max / WINDOW_MS;
  c->level = (c->level > leak ? c->level - leak : 0) + ONE;
  if (c->level > 2 * max) c->level = 2 * max;
  c->since_ms = t->now_ms;
  return c->level;
}

/* One more wrong password for `name` from this peer: how long the answer is to wait. */
static uint64_t count_wrong(const struct auth_attempt *t, const char *name, size_t len) {
  struct auth_limiter *l = t->limiter;
  unsigned char text[sizeof t->peer->bytes + NAME_LEN_MAX];
  uint64_t level = UINT64_MAX, max = (uint64_t)t->max_wrong * ONE;
  if (len > NAME_LEN_MAX) len = NAME_LEN_MAX;
  memcpy(text, t->peer->bytes, sizeof t->peer->bytes);
  memcpy(text + sizeof t->peer->bytes, name, len);
  uint64_t h = sip_hash(l->key, text, sizeof t->peer->bytes + len);
  for (int i = 0; i < ROWS; i++) {
    uint64_t v = cell_add(&l->cells[i][(uint32_t)(h >> 32 * i) % CELLS], t);
    if (v < level) level = v;
  }
  if (level >= max) return DELAY_MAX_MS;
  uint64_t share = level * 1000 / max; /* its square: the first ones are mistakes of people */
  uint64_t ms = DELAY_MAX_MS * share / 1000 * share / 1000;
  return ms < DELAY_FIRST_MS ? DELAY_FIRST_MS : ms;
}

/* Whose password was tried, as far as it is counted: see the top. */
static size_t owner_len(const char *text, size_t len) {
  size_t n = 0;
  while (n < len && text[n] != ':' && text[n] != '/') n++;
  return n;
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

/* Tries one reading of the client's text. *ret_known: the name exists, so a hash has been computed.
 */
static enum auth_rc try_name(struct auth *a, const struct auth_attempt *t, const char *path,
                             size_t len, const char *password, size_t password_len,
                             bool *ret_known) {
  const char *stored = stored_password(t->reg, path, len);
  if (!stored || password_len > PASSWORD_MAX) return AUTH_WRONG;
  *ret_known = true;
  return secret_matches(stored, password, password_len) ? add_grant(a, path, len) : AUTH_WRONG;
}

/* Each place where the left side is a name; a name that does not exist costs a hash as well. */
static enum auth_rc try_text(struct auth *a, const struct auth_attempt *t, const char *text,
                             size_t len) {
  bool known = false;
  for (size_t i = 1; i < len && i <= PATH_MAX_LEN; i++) {
    if (text[i] != ':') continue;
    enum auth_rc rc = try_name(a, t, text, i, text + i + 1, len - i - 1, &known);
    if (rc != AUTH_WRONG) return rc;
  }
  if (!known && len <= PASSWORD_MAX) (void)secret_matches("no such name", text, len);
  return AUTH_WRONG;
}

enum auth_rc auth_one(struct auth *a, const struct auth_attempt *t, const char *text, size_t len,
                      uint64_t *ret_delay_ms) {
  enum auth_rc rc = try_text(a, t, text, len);
  /* Without a ':' the text names nobody. */
  size_t owner = memchr(text, ':', len) ? owner_len(text, len) : 0;
  if (rc == AUTH_WRONG) *ret_delay_ms = count_wrong(t, text, owner);
  return rc;
}

enum auth_rc auth_two(struct auth *a, const struct auth_attempt *t, const char *user,
                      size_t user_len, const char *password, size_t password_len,
                      uint64_t *ret_delay_ms) {
  bool known = false, is_default = user_len == 7 && !memcmp(user, "default", 7);
  enum auth_rc rc = try_name(a, t, user, user_len, password, password_len, &known);
  if (rc == AUTH_WRONG && is_default) rc = try_text(a, t, password, password_len);
  if (rc != AUTH_WRONG) return rc;
  if (!known && !is_default && password_len <= PASSWORD_MAX)
    (void)secret_matches("no such name", password, password_len);
  uint64_t ms = count_wrong(t, user, owner_len(user, user_len)), other = 0;
  if (is_default && memchr(password, ':', password_len))
    other = count_wrong(t, password, owner_len(password, password_len));
  *ret_delay_ms = ms > other ? ms : other;
  return AUTH_WRONG;
}
