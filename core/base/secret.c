/* Owns the forms in which passwords stand in files. The only file that calls crypt(3).
 *
 * Must never happen: a broken hash is compared as if it were a plain password; the time of a
 * comparison tells how many bytes were right.
 */
#include "base/secret.h"

#include "base/hex.h"

#include <crypt.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA256_LEN     32
#define SALT_BYTES     16
#define SALT_LEN_MAX   128
#define SHA256_PREFIX  "sha256:"
#define PHRASE_LEN_MAX 511 /* crypt(3)'s own limit is 512 with the NUL */
#define YESCRYPT_COST  5   /* libxcrypt's default: some 50 ms, 16 MB */

static const char *const crypt_prefixes[] = {"$y$",  "$gy$", "$7$", "$2b$",
                                             "$2a$", "$2y$", "$6$", "$5$"};

static bool has_prefix(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_crypt_form(const char *stored) {
  for (size_t i = 0; i < sizeof crypt_prefixes / sizeof *crypt_prefixes; i++)
    if (has_prefix(stored, crypt_prefixes[i])) return true;
  return false;
}

/* SHA-256 over `salt` and then `text`. */
static bool digest(const void *salt, size_t salt_len, const void *text, size_t len,
                   unsigned char ret[SHA256_LEN]) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  unsigned n = 0;
  bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, salt, salt_len) == 1 && EVP_DigestUpdate(ctx, text, len) == 1 &&
              EVP_DigestFinal_ex(ctx, ret, &n) == 1 && n == SHA256_LEN;
  EVP_MD_CTX_free(ctx);
  return done;
}

static void hex_write(const unsigned char *bytes, size_t n, char *ret) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    *ret++ = digits[bytes[i] >> 4];
    *ret++ = digits[bytes[i] & 15];
  }
  *ret = 0;
}

/* Takes "sha256:SALT:HEX" apart; false where it is none. */
static bool sha256_split(const char *stored, const char **salt, size_t *salt_len,
                         unsigned char want[SHA256_LEN]) {
  if (!has_prefix(stored, SHA256_PREFIX)) return false;
  *salt = stored + strlen(SHA256_PREFIX);
  const char *colon = strchr(*salt, ':');
  if (!colon || colon == *salt || colon - *salt > SALT_LEN_MAX) return false;
  *salt_len = (size_t)(colon - *salt);
  const char *hex = colon + 1;
  if (strlen(hex) != 2 * SHA256_LEN) return false;
  for (size_t i = 0; i < SHA256_LEN; i++) {
    int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    want[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}

static bool sha256_matches(const char *stored, const void *given, size_t len) {
  unsigned char want[SHA256_LEN], got[SHA256_LEN];
  const char *salt;
  size_t salt_len;
  return sha256_split(stored, &salt, &salt_len, want) && digest(salt, salt_len, given, len, got) &&
         CRYPTO_memcmp(want, got, SHA256_LEN) == 0;
}

/* The digests are compared, not the texts: digests have one length whatever the client sent. */
static bool plain_matches(const char *stored, const void *given, size_t len) {
  unsigned char want[SHA256_LEN], got[SHA256_LEN];
  return digest("", 0, stored, strlen(stored), want) && digest("", 0, given, len, got) &&
         CRYPTO_memcmp(want, got, SHA256_LEN) == 0;
}

static bool crypt_matches(const char *stored, const void *given, size_t len) {
  bool same = false;
  char phrase[PHRASE_LEN_MAX + 1];
  if (!secret_is_hash(stored) || len > PHRASE_LEN_MAX || memchr(given, 0, len)) return false;
  struct crypt_data *data = calloc(1, sizeof *data);
  if (!data) return false;
  memcpy(phrase, given, len);
  phrase[len] = 0;
  const char *got = crypt_r(phrase, stored, data);
  size_t n = strlen(stored);
  if (got && *got != '*' && strlen(got) == n) same = CRYPTO_memcmp(got, stored, n) == 0;
  explicit_bzero(phrase, sizeof phrase);
  explicit_bzero(data, sizeof *data);
  free(data);
  return same;
}

bool secret_matches(const char *stored, const void *given, size_t given_len) {
  if (!*stored) return false;
  if (!given) given = "";
  if (has_prefix(stored, SHA256_PREFIX)) return sha256_matches(stored, given, given_len);
  if (is_crypt_form(stored)) return crypt_matches(stored, given, given_len);
  return plain_matches(stored, given, given_len);
}

/* crypt_checksalt() looks at the beginning only, so the hash behind it is looked at here. */
static bool crypt_is_sound(const char *stored) {
  static const char letters[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  bool bcrypt = has_prefix(stored, "$2");
  size_t want = has_prefix(stored, "$6$") ? 86 : bcrypt ? 22 + 31 : 43;
  const char *hash = strrchr(stored, '$') + 1;
  int fields = 0;
  for (const char *p = stored; *p; p++) fields += *p == '$';
  int fewest = has_prefix(stored, "$y$") || has_prefix(stored, "$gy$") ? 4 : 3;
  return fields >= fewest && strlen(hash) == want && strspn(hash, letters) == want &&
         crypt_checksalt(stored) == CRYPT_SALT_OK;
}

bool secret_is_hash(const char *stored) {
  unsigned char want[SHA256_LEN];
  const char *salt;
  size_t salt_len;
  if (is_crypt_form(stored)) return crypt_is_sound(stored);
  return sha256_split(stored, &salt, &salt_len, want);
}

bool secret_claims_hash(const char *stored) {
  return has_prefix(stored, SHA256_PREFIX) || is_crypt_form(stored);
}

int secret_hash(const void *password, size_t len, char *ret, size_t ret_size) {
  char salt[2 * SALT_BYTES + 1], hex[2 * SHA256_LEN + 1];
  unsigned char got[SHA256_LEN];
  int rc = secret_token(SALT_BYTES, salt);
  if (rc < 0) return rc;
  if (!digest(salt, strlen(salt), password, len, got)) return -EIO;
  hex_write(got, SHA256_LEN, hex);
  if (strlen(SHA256_PREFIX) + strlen(salt) + 1 + strlen(hex) >= ret_size) return -ENOSPC;
  snprintf(ret, ret_size, SHA256_PREFIX "%s:%s", salt, hex);
  return 0;
}

int secret_hash_user(const void *password, size_t len, char *ret, size_t ret_size) {
  int rc = 0;
  unsigned char random[SALT_BYTES];
  char phrase[PHRASE_LEN_MAX + 1], setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (len > PHRASE_LEN_MAX || memchr(password, 0, len)) return -EINVAL;
  if (RAND_bytes(random, sizeof random) != 1) return -EIO;
  if (!crypt_gensalt_rn("$y$", YESCRYPT_COST, (const char *)random, sizeof random, setting,
                        sizeof setting))
    return -ENOSYS;
  struct crypt_data *data = calloc(1, sizeof *data);
  if (!data) return -ENOMEM;
  memcpy(phrase, password, len);
  phrase[len] = 0;
  const char *got = crypt_r(phrase, setting, data);
  if (!got || *got == '*')
    rc = -EIO;
  else if (strlen(got) >= ret_size)
    rc = -ENOSPC;
  else
    memcpy(ret, got, strlen(got) + 1);
  explicit_bzero(phrase, sizeof phrase);
  explicit_bzero(data, sizeof *data);
  free(data);
  return rc;
}

int secret_random(void *ret, size_t n) {
  return RAND_bytes(ret, (int)n) == 1 ? 0 : -EIO;
}

int secret_token(size_t bytes, char *ret) {
  unsigned char random[64];
  *ret = 0;
  while (bytes) {
    size_t n = bytes < sizeof random ? bytes : sizeof random;
    if (RAND_bytes(random, (int)n) != 1) return -EIO;
    hex_write(random, n, ret);
    ret += 2 * n;
    bytes -= n;
  }
  explicit_bzero(random, sizeof random);
  return 0;
}

size_t secret_sign(const char *key, const struct secret_signed *s, const void *body, size_t len,
                   char *ret, size_t ret_size) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  size_t mac_len = sizeof mac;
  char head[400]; /* a path has at most 257 bytes */
  int n = s->kind ? snprintf(head, sizeof head, "%llu\n%s\n%s\n", (unsigned long long)s->unix_s,
                             s->kind, s->path)
                  : snprintf(head, sizeof head, "%llu.", (unsigned long long)s->unix_s);
  if ((size_t)n >= sizeof head) return 0;
  EVP_PKEY *k =
      EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)key, strlen(key));
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool done = k && ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k) == 1 &&
              EVP_DigestSignUpdate(ctx, head, (size_t)n) == 1 &&
              EVP_DigestSignUpdate(ctx, body, len) == 1 &&
              EVP_DigestSignFinal(ctx, mac, &mac_len) == 1;
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(k);
  if (!done || mac_len != SHA256_LEN) return 0;
  n = snprintf(ret, ret_size, "t=%llu,v%d=", (unsigned long long)s->unix_s, s->kind ? 2 : 1);
  if ((size_t)n + 2 * SHA256_LEN + 1 > ret_size) return 0;
  hex_write(mac, SHA256_LEN, ret + n);
  ret[(size_t)n + 2 * SHA256_LEN] = 0;
  return (size_t)n + 2 * SHA256_LEN;
}
