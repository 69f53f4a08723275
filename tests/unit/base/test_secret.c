/* core/base/secret.c: what matches, and above all what does not. */
#include "tap.h"
#include "base/secret.h"

#include <errno.h>

static bool matches(const char *stored, const char *given) {
  return secret_matches(stored, given, strlen(given));
}

static void test_plain(void) {
  ok(matches("secret", "secret"), "plain");
  ok(!matches("secret", "Secret"), "other case");
  ok(!matches("secret", "secre"), "shorter");
  ok(!matches("secret", "secrets"), "longer");
  ok(!matches("secret", ""), "nothing given");
  ok(!matches("", ""), "an empty password matches nothing, not even itself");
  ok(!secret_matches("", NULL, 0), "nor NULL");
  ok(!secret_matches("secret", "secret\0x", 8), "a NUL within");
  ok(matches("a:b c;#\"", "a:b c;#\""), "signs");
  ok(matches("$ecret", "$ecret"), "a dollar makes no hash");
  ok(!secret_is_hash("$ecret") && !secret_claims_hash("$ecret"), "and does not claim to be one");
}

static void test_sha256(void) {
  /* printf 'saltsecret' | sha256sum */
  const char *known =
      "sha256:salt:bede90386d450cea8b77b822f8887065e4e5abf132c2f9dccfcc7fbd4cba5e35";
  char hash[128], again[128], upper[128];

  is_int(secret_hash("secret", 6, hash, sizeof hash), 0, "hash");
  like(hash, "sha256:", "its form");
  is_int(strlen(hash), 7 + 32 + 1 + 64, "its length");
  ok(secret_is_hash(hash) && secret_claims_hash(hash), "is a hash");
  ok(matches(hash, "secret"), "matches");
  ok(!matches(hash, "secreT"), "not another");
  ok(!matches(hash, hash), "nor the hash itself");
  ok(secret_hash("secret", 6, again, sizeof again) == 0 && strcmp(hash, again), "salt differs");
  memcpy(upper, hash, sizeof upper);
  for (char *p = upper + 40; *p; p++)
    if (*p >= 'a') *p = (char)(*p - 'a' + 'A');
  ok(matches(upper, "secret"), "hex in capitals");
  is_int(secret_hash("", 0, hash, sizeof hash), 0, "hash of nothing");
  ok(matches(hash, ""), "matches nothing given");
  is_int(secret_hash("x", 1, hash, 20), -ENOSPC, "no room");
  ok(matches(known, "secret"), "a hash made elsewhere matches");
}

static void test_broken(void) {
  const char *const broken[] = {
      "sha256:",
      "sha256:salt",
      "sha256:salt:",
      "sha256::00",
      "sha256:salt:12",
      "sha256::0000000000000000000000000000000000000000000000000000000000000000",
      "sha256:s:000000000000000000000000000000000000000000000000000000000000000g",
      "sha256:s:00000000000000000000000000000000000000000000000000000000000000000",
      "$y$",
      "$y$j9T",
      "$y$j9T$salt",
      "$y$j9T$salt$",
      "$6$salt",
      "$6$salt$short",
      "$2b$10$x",
      "$5$"};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ok(!secret_is_hash(broken[i]) && secret_claims_hash(broken[i]), "%s is broken", broken[i]);
    ok(!matches(broken[i], broken[i]), "and never compared as plain text");
  }
}

static void test_crypt(void) {
  char hash[256];
  is_int(secret_hash_user("secret", 6, hash, sizeof hash), 0, "yescrypt");
  like(hash, "$y$", "its form");
  ok(secret_is_hash(hash), "is a hash");
  ok(matches(hash, "secret"), "matches");
  ok(!matches(hash, "secreT"), "not another");
  ok(!secret_matches(hash, "secret\0", 7), "a NUL behind it is no match");
  hash[strlen(hash) - 1] ^= 1;
  ok(!matches(hash, "secret"), "one letter off");
  /* openssl passwd -6 -salt abcdefgh secret */
  const char *sha512 = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaN"
                       "GStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
  ok(secret_is_hash(sha512) && matches(sha512, "secret"), "sha512crypt made elsewhere");
  char wide[1000];
  memset(wide, 'x', sizeof wide);
  is_int(secret_hash_user(wide, sizeof wide, hash, sizeof hash), -EINVAL, "too long a password");
  is_int(secret_hash_user("a\0b", 3, hash, sizeof hash), -EINVAL, "a NUL in a password");
  is_int(secret_hash_user("secret", 6, hash, 10), -ENOSPC, "no room");
}

static void test_token(void) {
  char a[201], b[201];
  is_int(secret_token(100, a), 0, "a token");
  is_int(strlen(a), 200, "its length");
  is_int(strspn(a, "0123456789abcdef"), 200, "in hex");
  ok(secret_token(100, b) == 0 && strcmp(a, b), "another one");
  ok(secret_token(0, a) == 0 && !*a, "of no bytes");
}

/* @case X4: a signature says queue, topic and kind of body
 * printf '1700000000.a=b&c=d' | openssl dgst -sha256 -hmac 0123456789abcdef */
static void test_sign(void) {
  static const char key[] = "0123456789abcdef";
  struct secret_signed s = {.unix_s = 1700000000, .path = "q/t"};
  char text[128], other[128];
  size_t n = secret_sign(key, &s, "a=b&c=d", 7, text, sizeof text);
  is_str(text,
         "t=1700000000,v1="
         "5f6307e8776fb6db4847238adc8c83a54b4d25d21e22f8696e510de9d0b611c8",
         "a v1 signature");
  is_int(n, strlen(text), "its length");
  s.unix_s++;
  secret_sign(key, &s, "a=b&c=d", 7, text, sizeof text);
  ok(!strstr(text, "5f6307e8776fb6db4847238adc8c83a54b4d25d21e22f8696e510de9d0b611c8"),
     "another time, another one");
  is_int(secret_sign(key, &s, "", 0, text, 40), 0, "no room");
  /* printf '1700000000\nform\nq/t\na=b&c=d' | openssl dgst -sha256 -hmac 0123456789abcdef */
  s = (struct secret_signed){.unix_s = 1700000000, .kind = "form", .path = "q/t"};
  secret_sign(key, &s, "a=b&c=d", 7, text, sizeof text);
  is_str(text,
         "t=1700000000,v2="
         "f0856b8eb75ebf971d2d6a93fa86b5ceb006046070bd760acf4a20546d494be6",
         "a v2 signature");
  s.kind = "content";
  secret_sign(key, &s, "a=b&c=d", 7, other, sizeof other);
  ok(strcmp(text, other) != 0, "the same bytes as content have another one");
  s = (struct secret_signed){.unix_s = 1700000000, .kind = "form", .path = "q/u"};
  secret_sign(key, &s, "a=b&c=d", 7, other, sizeof other);
  ok(strcmp(text, other) != 0, "and for another topic");
}

int main(void) {
  test_plain();
  test_sha256();
  test_broken();
  test_crypt();
  test_token();
  test_sign();
  return done_testing();
}
