/* Passwords: compared without telling by time where they differ, hashed for files. */
#ifndef PB_CORE_SECRET_H
#define PB_CORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when `given` is the password that `stored` says: plain text, "sha256:SALT:HEX" (hex of
 * SHA-256 over SALT followed by the password) or a crypt(3) string ("$y$..."). An empty stored
 * password matches nothing. */
bool secret_matches(const char *stored, const void *given, size_t given_len);
/* True where `stored` has one of the hashed forms and the form is sound. */
bool secret_is_hash(const char *stored);
/* True where `stored` begins like a hashed form, sound or not: never a plain password. */
bool secret_claims_hash(const char *stored);
/* "sha256:SALT:HEX" for `password`, with a random salt. 0 or -errno; `ret` holds at least 128. */
int secret_hash(const void *password, size_t len, char *ret, size_t ret_size);
/* yescrypt, for [user] sections. */
int secret_hash_user(const void *password, size_t len, char *ret, size_t ret_size);
/* `n` random bytes. 0 or -errno. */
int secret_random(void *ret, size_t n);
/* The data that a signature covers besides the body. `kind` NULL: form v1 of release 0.1. */
struct secret_signed {
  uint64_t unix_s;
  const char *kind; /* "form": the broker's own; "content": bytes that a producer gave */
  const char *path; /* "queue/topic" */
};
/* "t=<unix_s>,v2=<hex>", where hex is HMAC-SHA256 with `key` over
 * "<unix_s>\n<kind>\n<path>\n<body>"; of the form v1: "t=<unix_s>,v1=<hex>", over
 * "<unix_s>.<body>". Returns the length without the NUL, 0 where it failed or `ret` is too small.
 */
size_t secret_sign(const char *key, const struct secret_signed *s, const void *body, size_t len,
                   char *ret, size_t ret_size);
/* A random token of `bytes` bytes as hex (2*bytes+1 written). 0 or -errno. */
int secret_token(size_t bytes, char *ret);

#endif
