/* What is made of the cluster's one key: secrets encrypted for the shared configuration, marks that
 * show who wrote a revision or a request.
 *
 * HKDF-SHA256 (RFC 5869) makes a key of its own for each use, so that nothing made for one use is
 * good for another one. Encryption is AES-256-GCM with a random nonce each time.
 */
#ifndef PB_CORE_SEAL_H
#define PB_CORE_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#define SEAL_KEY_LEN  32
#define SEAL_MARK_LEN 32
#define SEAL_ID_SIZE  17 /* 16 hex digits and the NUL */

enum seal_use {
  SEAL_SECRETS,   /* values of the shared configuration that must stay readable */
  SEAL_REVISIONS, /* who made a revision */
  SEAL_REQUESTS,  /* what one node asks of another one, and the reply */
  SEAL_SESSIONS,  /* accounts */
  SEAL_USES
};

/* The keys of all uses. Read only once made: any thread may use it. */
struct seal {
  unsigned char keys[SEAL_USES][SEAL_KEY_LEN];
  char id[SEAL_ID_SIZE]; /* names the key and tells nothing of it */
};

/* One part of what is marked, or of what an encrypted text is bound to. Parts are kept apart by
 * their lengths: "a", "bc" is another thing than "ab", "c". */
struct seal_part {
  const void *data;
  size_t len;
};
#define SEAL_TEXT(text) ((struct seal_part){(text), strlen(text)})

struct buf;

/* 0 or -errno. */
int seal_init(struct seal *s, const unsigned char key[SEAL_KEY_LEN]);
void seal_done(struct seal *s); /* wipes the keys */

/* Appends "enc:KEYID:BASE64" for `plain`, bound to `about`: opened only with the same parts. 0 or
 * -errno. */
int seal_close(const struct seal *s, enum seal_use use, const struct seal_part *about,
               size_t n_about, const void *plain, size_t len, struct buf *ret);
/* Appends what seal_close() was given. -EINVAL: it is not of that form; -ENOKEY: another key closed
 * it; -EBADMSG: it was changed, or closed about something else. */
int seal_open(const struct seal *s, enum seal_use use, const struct seal_part *about,
              size_t n_about, const char *text, size_t len, struct buf *ret);
/* Is it of that form? `ret_id` (may be NULL): which key closed it. */
bool seal_is_closed(const char *text, size_t len, char ret_id[SEAL_ID_SIZE]);

/* HMAC-SHA256 over the parts, as 64 hex digits and the NUL. 0 or -errno. */
int seal_mark(const struct seal *s, enum seal_use use, const struct seal_part *parts, size_t n,
              char ret[2 * SEAL_MARK_LEN + 1]);
/* Compares without telling by time where they differ. */
bool seal_is_mark(const struct seal *s, enum seal_use use, const struct seal_part *parts, size_t n,
                  const char *mark, size_t mark_len);

/* SHA-256 as 64 hex digits and the NUL. 0 or -errno. */
int seal_digest(const void *data, size_t len, char ret[2 * SEAL_MARK_LEN + 1]);
/* HKDF-SHA256 of RFC 5869. 0 or -errno. */
int seal_hkdf(const void *key, size_t key_len, const void *salt, size_t salt_len, const void *info,
              size_t info_len, unsigned char *ret, size_t ret_len);

#endif
