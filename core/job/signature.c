/* Owns how the message of a failure is normalised. Pure: no I/O, no memory. */
#include "job/signature.h"

#include "base/hash.h"
#include "base/hex.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UUID_LEN 36
#define HEX_MIN  8

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Of a word: letters, digits, and the bytes of all characters that are not ASCII. */
static bool is_word(char c) {
  return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (unsigned char)c >= 0x80;
}

static size_t word_len(const char *p, size_t n) {
  size_t len = 0;
  while (len < n && is_word(p[len])) len++;
  return len;
}

static bool is_uuid(const char *p, size_t n) {
  if (n < UUID_LEN || (n > UUID_LEN && is_word(p[UUID_LEN]))) return false;
  for (size_t i = 0; i < UUID_LEN; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? p[i] != '-' : hex_value(p[i]) < 0) return false;
  }
  return true;
}

static bool is_hex(const char *word, size_t len) {
  bool prefix = len > 2 && word[0] == '0' && (word[1] | 0x20) == 'x';
  bool digit = prefix, letter = prefix;
  if (!prefix && len < HEX_MIN) return false;
  for (size_t i = prefix ? 2 : 0; i < len; i++) {
    if (hex_value(word[i]) < 0) return false;
    *(is_digit(word[i]) ? &digit : &letter) = true;
  }
  return digit && letter;
}

/* False: there is no more room. */
static bool put(struct signature *s, const char *text, size_t len) {
  if (len > SIGNATURE_TEXT_MAX - s->len) return false;
  memcpy(s->text + s->len, text, len);
  s->len += len;
  return true;
}

/* One character of a word, or a run of its digits; `*used`: so many bytes. */
static bool put_character(struct signature *s, const char *p, size_t n, size_t *used) {
  if (is_digit(*p)) {
    for (*used = 1; *used < n && is_digit(p[*used]);) ++*used;
    return put(s, "#", 1);
  }
  *used = utf8_sequence((const unsigned char *)p, n);
  if (*used) return put(s, p, *used);
  *used = 1;
  return put(s, "?", 1);
}

static bool put_word(struct signature *s, const char *word, size_t len) {
  if (is_hex(word, len)) return put(s, "<hex>", 5);
  for (size_t used, i = 0; i < len; i += used)
    if (!put_character(s, word + i, len - i, &used)) return false;
  return true;
}

static void normalise(struct signature *s, const char *p, size_t n) {
  bool space = false;
  for (size_t used, i = 0; i < n; i += used) {
    unsigned char c = (unsigned char)p[i];
    used = 1;
    if (c <= ' ' || c == 0x7f) {
      space = s->len > 0;
      continue;
    }
    if (space && !put(s, " ", 1)) break;
    space = false;
    bool room;
    if (is_uuid(p + i, n - i)) {
      used = UUID_LEN;
      room = put(s, "<uuid>", 6);
    } else if ((used = word_len(p + i, n - i))) {
      room = put_word(s, p + i, used);
    } else {
      used = 1;
      room = put(s, p + i, 1);
    }
    if (!room) break;
  }
  while (s->len && s->text[s->len - 1] == ' ') s->len--;
}

void signature_of(int code, const char *message, size_t len, struct signature *ret) {
  char head[16];
  *ret = (struct signature){.code = code};
  normalise(ret, message, len < SIGNATURE_LOOK ? len : SIGNATURE_LOOK);
  ret->text[ret->len] = 0;
  int n = snprintf(head, sizeof head, "%d ", code);
  ret->id = hash_bytes(hash_bytes(HASH_BEGIN, head, (size_t)n), ret->text, ret->len);
  if (!ret->id) ret->id = 1;
}

void signature_format(uint64_t id, char ret[SIGNATURE_ID_LEN + 1]) {
  snprintf(ret, SIGNATURE_ID_LEN + 1, "%016" PRIx64, id);
}

bool signature_parse(const char *text, uint64_t *ret) {
  uint64_t id = 0;
  if (strlen(text) != SIGNATURE_ID_LEN) return false;
  for (; *text; text++) {
    if (hex_value(*text) < 0 || (*text >= 'A' && *text <= 'F')) return false;
    id = id << 4 | (uint64_t)hex_value(*text);
  }
  *ret = id;
  return id != 0;
}
