/* API tokens and one-time keys: never more than their user, shown once, good once. */
#include "accounts/api_token.h"
#include "accounts/once.h"
#include "event/loop.h"

#include "fake_vault.h"

#include <unistd.h>

static struct system_settings live = {.name = "live"}, passport = {.name = "passport"};
static const struct system_settings *const only_live[] = {&live};
static struct user_settings ann = {
    .name = "ann", .role = USER_OPERATOR, .contents = 1, .systems = only_live, .n_systems = 1};
static const struct user_settings *const users[] = {&ann};
static struct settings set = {.users = users, .n_users = 1};
static struct settings *settings = &set;
static struct vault vault;

static struct {
  int rc;
  char token[API_TOKEN_SIZE], id[64];
  struct identity *who;
  char user[64];
  uint64_t expires_ms;
  size_t listed;
} last;

static void on_token(void *arg, int rc, const char *token, const char *id, const char *why) {
  (void)arg;
  (void)why;
  last.rc = rc;
  snprintf(last.token, sizeof last.token, "%s", token);
  snprintf(last.id, sizeof last.id, "%s", id);
}

static void on_who(void *arg, int rc, struct identity *id, const char *why) {
  (void)arg;
  (void)why;
  identity_unref(last.who);
  last.rc = rc;
  last.who = id ? identity_ref(id) : NULL;
}

static void on_answer(void *arg, int rc, json_t *o, const char *why) {
  (void)arg;
  (void)why;
  last.rc = rc;
  snprintf(last.user, sizeof last.user, "%s", vault_text(o, "user"));
  last.listed = json_array_size(o);
  if (json_object_get(json_array_get(o, 0), "hash")) bail_out("a hash in a list");
}

static void on_key(void *arg, int rc, const char *key, uint64_t expires_ms, const char *why) {
  (void)arg;
  (void)why;
  last.rc = rc;
  last.expires_ms = expires_ms;
  snprintf(last.token, sizeof last.token, "%s", key);
}

static void make(struct api_token_new n) {
  last.rc = 1;
  api_token_make(&vault, &set, &n, on_token, NULL);
  vault_turn();
}

static int find(const char *token) {
  last.rc = 1;
  api_token_find(&vault, &settings, token, on_who, NULL);
  vault_turn();
  return last.rc;
}

static void tokens(void) {
  static const char *const both[] = {"live", "passport"};
  char token[API_TOKEN_SIZE], other[API_TOKEN_SIZE];
  make((struct api_token_new){"ann", "deploys", ROLE_ADMIN, NULL, 0, 0});
  is_int(last.rc, 0, "a token is made");
  memcpy(token, last.token, sizeof token);
  ok(api_token_is(token) && !fake_holds(token + strlen(API_TOKEN_PREFIX) + 17),
     "its secret is not kept");
  is_int(find(token), 0, "it is found");
  ok(last.who->role == ROLE_OPERATOR && !last.who->every_system, "with its user's rights at most");
  ok(identity_may(last.who, RIGHT_OPERATE, "live") &&
         !identity_may(last.who, RIGHT_LOOK, "passport"),
     "in its user's systems");
  ann.role = USER_VIEWER;
  find(token);
  is_int(last.who->role, ROLE_VIEWER, "a user who lost a role takes it from the token");
  ann.role = USER_OPERATOR;
  make((struct api_token_new){"ann", "two", ROLE_VIEWER, both, 2, fake.now_ms + 1000});
  memcpy(other, last.token, sizeof other);
  find(other);
  ok(last.who->role == ROLE_VIEWER && last.who->n_systems == 1, "a smaller token stays small");
  fake.now_ms += 1000;
  is_int(find(other), -ENOENT, "it ends in time");
  memcpy(other, token, sizeof other);
  other[strlen(other) - 1] ^= 1;
  is_int(find(other), -ENOENT, "another secret");
  is_int(find("pbt_"), -ENOENT, "half a token");
  set.n_users = 0;
  is_int(find(token), -ENOENT, "a user who is gone");
  set.n_users = 1;
  api_token_list(&vault, "ann", on_answer, NULL);
  vault_turn();
  is_int((int)last.listed, 1, "it is listed");
  api_token_list(&vault, "bob", on_answer, NULL);
  vault_turn();
  is_int((int)last.listed, 0, "to others it is not");
  api_token_end(&vault, last.who ? last.who->session : "", "bob", on_answer, NULL);
  vault_turn();
  is_int(last.rc, -ENOENT, "nor can they end it");
  find(token);
  api_token_end(&vault, last.who->session, "ann", on_answer, NULL);
  vault_turn();
  is_int(find(token), -ENOENT, "its user can");
  make((struct api_token_new){"nobody", "x", ROLE_VIEWER, NULL, 0, 0});
  is_int(last.rc, -ENOENT, "none for who is no user");
  make((struct api_token_new){"ann", "x", ROLE_VIEWER, NULL, 0, 1});
  is_int(last.rc, -EINVAL, "none that has expired");
  fake.away = true;
  is_int(find(token), -EAGAIN, "the storage is away");
  fake.away = false;
}

static int take(enum once_kind kind, const char *key) {
  last.rc = 1;
  once_take(&vault, kind, key, on_answer, NULL);
  vault_turn();
  return last.rc;
}

static void keys(void) {
  char key[ONCE_KEY_SIZE], spaced[64];
  once_make(&vault, ONCE_PASSWORD, "admin", on_key, NULL);
  vault_turn();
  memcpy(key, last.token, sizeof key);
  ok(once_is(ONCE_PASSWORD, key) && !once_is(ONCE_LINK, key), "80 bits");
  ok(!fake_holds(key), "the key is not kept");
  is_int(take(ONCE_LINK, key), -ENOENT, "it is no link");
  snprintf(spaced, sizeof spaced, "%.5s-%.5s %.5s-%s", key, key + 5, key + 10, key + 15);
  is_int(take(ONCE_PASSWORD, spaced), 0, "typed in groups it is good");
  is_str(last.user, "admin", "for its user");
  is_int(take(ONCE_PASSWORD, key), -ENOENT, "once");
  once_make(&vault, ONCE_LINK, "web1", on_key, NULL);
  vault_turn();
  memcpy(key, last.token, sizeof key);
  fake.now_ms += ONCE_LINK_MS;
  is_int(take(ONCE_LINK, key), -ENOENT, "after a minute a link is good no more");
}

static void forged(void) {
  json_t *o = json_pack("{s:s}", "user", "ann"), *back;
  char *text = vault_close(&fake_seal, STORE_DOC_TOKEN, "a", o);
  back = vault_open(&fake_seal, STORE_DOC_TOKEN, "a", text, strlen(text));
  ok(back, "a document is opened");
  ok(!vault_open(&fake_seal, STORE_DOC_TOKEN, "b", text, strlen(text)), "not under another id");
  ok(!vault_open(&fake_seal, STORE_DOC_ONCE, "a", text, strlen(text)), "not as another kind");
  unsigned good = 0;
  for (size_t i = 0; text[i]; i++) {
    text[i] ^= 1;
    good += vault_open(&fake_seal, STORE_DOC_TOKEN, "a", text, strlen(text)) != NULL;
    text[i] ^= 1;
  }
  for (size_t len = 0; text[len]; len++)
    good += vault_open(&fake_seal, STORE_DOC_TOKEN, "a", text, len) != NULL;
  is_int((int)good, 0, "nor with any bit of it changed, nor cut off");
  json_decref(back);
  json_decref(o);
  free(text);
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  struct loop *loop = loop_new(log);
  vault_begin(&vault, loop, log);
  tokens();
  keys();
  forged();
  vault_end();
  identity_unref(last.who);
  loop_free(loop);
  log_free(log);
  (void)passport;
  return done_testing();
}
