/* Owns what is remembered of wrong passwords. */
#include "accounts/login.h"

#include "base/hash.h"
#include "base/network.h"
#include "base/out_of_memory.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS  1024
#define USER_MAX 128

/* Both names as numbers that nobody outside can foresee: no text of a stranger is kept. */
struct pair_key {
  uint64_t user, address;
};

struct pair {
  LIST_ENTRY(pair) bucket;
  TAILQ_ENTRY(pair) order; /* the least lately used first */
  struct pair_key key;
  bool checking;
  unsigned wrong; /* in a row */
  uint64_t used_ms, until_ms;
};

LIST_HEAD(bucket, pair);
TAILQ_HEAD(order, pair);

struct login_limiter {
  uint64_t salt;
  size_t n;
  struct order order;
  struct bucket buckets[BUCKETS];
};

struct login_limiter *login_limiter_new(void) {
  struct login_limiter *l = calloc(1, sizeof *l);
  if (!l || secret_random(&l->salt, sizeof l->salt)) out_of_memory();
  TAILQ_INIT(&l->order);
  return l;
}

static void pair_free(struct login_limiter *l, struct pair *p) {
  LIST_REMOVE(p, bucket);
  TAILQ_REMOVE(&l->order, p, order);
  l->n--;
  free(p);
}

void login_limiter_free(struct login_limiter *l) {
  if (!l) return;
  while (!TAILQ_EMPTY(&l->order)) pair_free(l, TAILQ_FIRST(&l->order));
  free(l);
}

/* Of IPv6 one household has 2^64 addresses: they count as one. */
static uint64_t address_hash(const struct login_limiter *l, const char *address) {
  static const unsigned char v4[12] = {[10] = 0xff, [11] = 0xff};
  struct network n;
  uint64_t h = hash_bytes(HASH_BEGIN, &l->salt, sizeof l->salt);
  if (!network_address(address, strlen(address), &n))
    return hash_bytes(h, address, strlen(address));
  return hash_bytes(h, n.bytes, memcmp(n.bytes, v4, sizeof v4) ? 8 : sizeof n.bytes);
}

static struct pair_key key_of(const struct login_limiter *l, const char *user,
                              const char *address) {
  uint64_t h = hash_bytes(HASH_BEGIN, &l->salt, sizeof l->salt);
  for (size_t i = 0; user[i] && i < USER_MAX; i++) {
    char c = user[i];
    if (c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
    h = hash_bytes(h, &c, 1);
  }
  return (struct pair_key){h, address_hash(l, address)};
}

static struct bucket *bucket_of(struct login_limiter *l, const struct pair_key *key) {
  return &l->buckets[(key->user ^ key->address) % BUCKETS];
}

static struct pair *pair_find(struct login_limiter *l, const struct pair_key *key) {
  struct pair *p;
  LIST_FOREACH(p, bucket_of(l, key), bucket)
  if (p->key.user == key->user && p->key.address == key->address) return p;
  return NULL;
}

static size_t checks_of(const struct login_limiter *l, uint64_t address) {
  size_t n = 0;
  const struct pair *p;
  /* Those that are being checked were used last. */
  TAILQ_FOREACH_REVERSE(p, &l->order, order, order)
  n += p->checking && p->key.address == address;
  return n;
}

static void make_room(struct login_limiter *l, uint64_t now_ms) {
  struct pair *next;
  for (struct pair *p = TAILQ_FIRST(&l->order); p; p = next) {
    next = TAILQ_NEXT(p, order);
    bool old = now_ms - p->used_ms >= LOGIN_FORGET_MS;
    if (!old && l->n < LOGIN_PAIRS) return;
    if (!p->checking) pair_free(l, p);
  }
}

uint64_t login_begin(struct login_limiter *l, const char *user, const char *address,
                     uint64_t now_ms) {
  struct pair_key key = key_of(l, user, address);
  make_room(l, now_ms);
  struct pair *p = pair_find(l, &key);
  if (p && p->checking) return LOGIN_DELAY_MS;
  if (p && now_ms < p->until_ms) return p->until_ms - now_ms;
  if (checks_of(l, key.address) >= LOGIN_AT_ONCE) return LOGIN_DELAY_MS;
  if (!p) {
    p = calloc(1, sizeof *p);
    if (!p) out_of_memory();
    p->key = key;
    LIST_INSERT_HEAD(bucket_of(l, &key), p, bucket);
    l->n++;
  } else {
    TAILQ_REMOVE(&l->order, p, order);
  }
  TAILQ_INSERT_TAIL(&l->order, p, order);
  p->used_ms = now_ms;
  p->checking = true;
  return 0;
}

void login_end(struct login_limiter *l, const char *user, const char *address,
               enum login_result result, uint64_t now_ms) {
  struct pair_key key = key_of(l, user, address);
  struct pair *p = pair_find(l, &key);
  if (!p) return;
  p->checking = false;
  if (result == LOGIN_UNKNOWN) return;
  if (result == LOGIN_RIGHT) {
    pair_free(l, p);
    return;
  }
  uint64_t delay = LOGIN_DELAY_MAX_MS;
  if (p->wrong < 5) delay = (uint64_t)LOGIN_DELAY_MS << p->wrong;
  if (delay > LOGIN_DELAY_MAX_MS) delay = LOGIN_DELAY_MAX_MS;
  p->wrong++;
  p->until_ms = now_ms + delay;
}
