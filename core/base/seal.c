/* Owns the keys that come of the cluster's key, and what is made with them. See seal.h.
 *
 * Must never happen: one key for two uses, one nonce twice, a text that opens elsewhere than where
 * it was closed for.
 */
#include "base/seal.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/hex.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NONCE_LEN 12
#define TAG_LEN   16
#define ID_LEN    (SEAL_ID_SIZE - 1)

static const char prefix[] = "enc:";
#define PREFIX_LEN (sizeof prefix - 1)

static void hex_write(const unsigned char *bytes, size_t n, char *ret) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    *ret++ = digits[bytes[i] >> 4];
    *ret++ = digits[bytes[i] & 15];
  }
  *ret = 0;
}

int seal_hkdf(const void *key, size_t key_len, const void *salt, size_t salt_len, const void *info,
              size_t info_len, unsigned char *ret, size_t ret_len) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
  size_t n = ret_len;
  bool done = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, (int)salt_len) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, key, (int)key_len) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, info, (int)info_len) == 1 &&
              EVP_PKEY_derive(ctx, ret, &n) == 1 && n == ret_len;
  EVP_PKEY_CTX_free(ctx);
  return done ? 0 : -EIO;
}

int seal_digest(const void *data, size_t len, char ret[2 * SEAL_MARK_LEN + 1]) {
  unsigned char got[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (EVP_Digest(data, len, got, &n, EVP_sha256(), NULL) != 1 || n != SEAL_MARK_LEN) return -EIO;
  hex_write(got, n, ret);
  return 0;
}

static int key_make(const unsigned char key[SEAL_KEY_LEN], const char *use, unsigned char *ret) {
  static const char salt[] = "pepperbus cluster key";
  return seal_hkdf(key, SEAL_KEY_LEN, salt, sizeof salt - 1, use, strlen(use), ret, SEAL_KEY_LEN);
}

int seal_init(struct seal *s, const unsigned char key[SEAL_KEY_LEN]) {
  static const char *const uses[SEAL_USES] = {"secrets", "revisions", "requests", "sessions"};
  unsigned char id_key[SEAL_KEY_LEN];
  char digest[2 * SEAL_MARK_LEN + 1];
  int rc = 0;
  for (int i = 0; i < SEAL_USES && !rc; i++) rc = key_make(key, uses[i], s->keys[i]);
  if (!rc) rc = key_make(key, "id", id_key);
  if (!rc) rc = seal_digest(id_key, sizeof id_key, digest);
  if (rc) {
    seal_done(s);
    return rc;
  }
  snprintf(s->id, sizeof s->id, "%.*s", ID_LEN, digest);
  OPENSSL_cleanse(id_key, sizeof id_key);
  return 0;
}

void seal_done(struct seal *s) {
  OPENSSL_cleanse(s, sizeof *s);
}

/* --- parts: each with its length before it --- */

static void length_write(size_t len, unsigned char ret[8]) {
  for (int i = 0; i < 8; i++) ret[i] = (unsigned char)((uint64_t)len >> 8 * (7 - i));
}

static bool about_add(EVP_CIPHER_CTX *ctx, const struct seal_part *parts, size_t n) {
  int got;
  for (size_t i = 0; i < n; i++) {
    unsigned char length[8];
    length_write(parts[i].len, length);
    if (parts[i].len > INT32_MAX || EVP_CipherUpdate(ctx, NULL, &got, length, sizeof length) != 1 ||
        (parts[i].len && EVP_CipherUpdate(ctx, NULL, &got, parts[i].data, (int)parts[i].len) != 1))
      return false;
  }
  return true;
}

/* --- encryption --- */

/* `out` has room for the nonce, `len` bytes and the tag. */
static bool encrypt(const unsigned char *key, const struct seal_part *about, size_t n_about,
                    const void *plain, size_t len, unsigned char *out) {
  int n = 0, end = 0;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  bool done = ctx && RAND_bytes(out, NONCE_LEN) == 1 &&
              EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
              about_add(ctx, about, n_about) &&
              (!len || EVP_EncryptUpdate(ctx, out + NONCE_LEN, &n, plain, (int)len) == 1) &&
              EVP_EncryptFinal_ex(ctx, out + NONCE_LEN + n, &end) == 1 &&
              (size_t)(n + end) == len &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + NONCE_LEN + len) == 1;
  EVP_CIPHER_CTX_free(ctx);
  return done;
}

static bool decrypt(const unsigned char *key, const struct seal_part *about, size_t n_about,
                    unsigned char *in, size_t len, unsigned char *out) {
  int n = 0, end = 0;
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  bool done = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
              about_add(ctx, about, n_about) &&
              (!len || EVP_DecryptUpdate(ctx, out, &n, in + NONCE_LEN, (int)len) == 1) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, in + NONCE_LEN + len) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + n, &end) == 1 && (size_t)(n + end) == len;
  EVP_CIPHER_CTX_free(ctx);
  return done;
}

int seal_close(const struct seal *s, enum seal_use use, const struct seal_part *about,
               size_t n_about, const void *plain, size_t len, struct buf *ret) {
  struct buf raw = {0};
  if (len > INT32_MAX - NONCE_LEN - TAG_LEN) return -EFBIG;
  char *out = buf_reserve(&raw, NONCE_LEN + len + TAG_LEN);
  if (!out) return -ENOMEM;
  int rc = encrypt(s->keys[use], about, n_about, plain, len, (unsigned char *)out) ? 0 : -EIO;
  if (!rc) {
    buf_printf(ret, "%s%s:", prefix, s->id);
    base64_add(ret, out, NONCE_LEN + len + TAG_LEN);
    if (ret->failed) rc = -ENOMEM;
  }
  buf_free(&raw);
  return rc;
}

bool seal_is_closed(const char *text, size_t len, char ret_id[SEAL_ID_SIZE]) {
  if (len < PREFIX_LEN + ID_LEN + 1 || memcmp(text, prefix, PREFIX_LEN)) return false;
  for (size_t i = 0; i < ID_LEN; i++)
    if (hex_value(text[PREFIX_LEN + i]) < 0) return false;
  if (text[PREFIX_LEN + ID_LEN] != ':') return false;
  if (ret_id) snprintf(ret_id, SEAL_ID_SIZE, "%.*s", ID_LEN, text + PREFIX_LEN);
  return true;
}

int seal_open(const struct seal *s, enum seal_use use, const struct seal_part *about,
              size_t n_about, const char *text, size_t len, struct buf *ret) {
  struct buf raw = {0};
  char id[SEAL_ID_SIZE];
  size_t head = PREFIX_LEN + ID_LEN + 1;
  if (!seal_is_closed(text, len, id)) return -EINVAL;
  if (strcmp(id, s->id)) return -ENOKEY;
  int rc = base64_decode(&raw, text + head, len - head) ? 0 : -EINVAL;
  if (raw.failed) rc = -ENOMEM;
  if (!rc && raw.len < NONCE_LEN + TAG_LEN) rc = -EINVAL;
  if (!rc) {
    size_t n = raw.len - NONCE_LEN - TAG_LEN;
    char *out = buf_reserve(ret, n + 1);
    if (!out)
      rc = -ENOMEM;
    else if (!decrypt(s->keys[use], about, n_about, (unsigned char *)raw.data, n,
                      (unsigned char *)out))
      rc = -EBADMSG;
    else
      ret->len += n;
  }
  buf_free(&raw);
  return rc;
}

/* --- marks --- */

static bool parts_add(EVP_MD_CTX *ctx, const struct seal_part *parts, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char length[8];
    length_write(parts[i].len, length);
    if (EVP_DigestSignUpdate(ctx, length, sizeof length) != 1 ||
        (parts[i].len && EVP_DigestSignUpdate(ctx, parts[i].data, parts[i].len) != 1))
      return false;
  }
  return true;
}

int seal_mark(const struct seal *s, enum seal_use use, const struct seal_part *parts, size_t n,
              char ret[2 * SEAL_MARK_LEN + 1]) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  size_t len = sizeof mac;
  EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, s->keys[use], SEAL_KEY_LEN);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool done = k && ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k) == 1 &&
              parts_add(ctx, parts, n) && EVP_DigestSignFinal(ctx, mac, &len) == 1 &&
              len == SEAL_MARK_LEN;
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(k);
  if (!done) return -EIO;
  hex_write(mac, len, ret);
  return 0;
}

bool seal_is_mark(const struct seal *s, enum seal_use use, const struct seal_part *parts, size_t n,
                  const char *mark, size_t mark_len) {
  char want[2 * SEAL_MARK_LEN + 1];
  return !seal_mark(s, use, parts, n, want) && mark_len == 2 * SEAL_MARK_LEN &&
         CRYPTO_memcmp(want, mark, mark_len) == 0;
}
