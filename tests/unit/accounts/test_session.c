/* When a session ends: by time, by what its user lost, by number, and what is known without the
 * storage. */
#include "accounts/session.h"
#include "accounts/users.h"

#include "unit/fake_loop.h"
#include "fake_vault.h"

static struct user_settings ann = {.name = "ann", .role = USER_OPERATOR, .password = "$y$one"};
static const struct user_settings *const users[] = {&ann};
static struct settings set = {.users = users, .n_users = 1};
static struct settings *settings = &set;
static struct vault vault;
static struct sessions *sessions;
static struct loop *loop;

static char secret[SESSION_ID_SIZE];
static struct identity *who;
static int last_rc;

static void on_session(void *arg, int rc, struct identity *id, const char *key, const char *why) {
  (void)arg;
  (void)id;
  (void)why;
  last_rc = rc;
  snprintf(secret, sizeof secret, "%s", key);
}

static void on_who(void *arg, int rc, struct identity *id, const char *why) {
  (void)arg;
  (void)why;
  last_rc = rc;
  identity_unref(who);
  who = id ? identity_ref(id) : NULL;
}

static void begin(const char *login) {
  char print[USERS_PRINT_SIZE] = "";
  struct identity *id = users_identity(&ann, IDENTITY_SESSION);
  users_print(&fake_seal, &ann, NULL, print);
  struct session_new n = {id, login, print, "192.0.2.1", "a browser"};
  session_make(sessions, &n, on_session, NULL);
  vault_turn();
  identity_unref(id);
}

static int find(const char *key) {
  last_rc = 1;
  session_find(sessions, key, on_who, NULL);
  vault_turn();
  return last_rc;
}

static void later(uint64_t ms) {
  fake.now_ms += ms;
  loop_stall(loop, ms);
}

static void times(void) {
  begin("password");
  is_int(last_rc, 0, "a session begins");
  ok(!fake_holds(secret), "its id is not kept");
  is_int(find(secret), 0, "it is found");
  ok(who->role == ROLE_OPERATOR && who->every_system && !who->read_only, "with its rights");
  later(SESSION_IDLE_MS - 1);
  is_int(find(secret), 0, "it is kept while it is used");
  later(SESSION_IDLE_MS);
  is_int(find(secret), -ENOENT, "and ends after 12 idle hours");
  begin("password");
  uint64_t ends = fake.now_ms + SESSION_MAX_MS;
  while (fake.now_ms + SESSION_IDLE_MS / 2 < ends) {
    later(SESSION_IDLE_MS / 2);
    if (find(secret)) break;
  }
  is_int(last_rc, 0, "used all the time it lasts");
  later(SESSION_IDLE_MS / 2);
  is_int(find(secret), -ENOENT, "seven days and no longer");
  is_int(find("short"), -ENOENT, "what is no id");
}

static void changes(void) {
  begin("password");
  ann.role = USER_VIEWER;
  is_int(find(secret), -ENOENT, "another role ends it");
  ann.role = USER_OPERATOR;
  is_int(find(secret), 0, "a node that is behind does not end it for the others");
  ann.password = "$y$two";
  is_int(find(secret), -ENOENT, "another password ends it");
  begin("password");
  ok(find(secret) == 0 && session_is_current(sessions, who), "the next one is good");
  struct identity *stream = identity_ref(who);
  set.n_users = 0;
  ok(!session_is_current(sessions, stream), "a user who is gone has no open stream");
  is_int(find(secret), -ENOENT, "and no session");
  set.n_users = 1;
  find(secret);
  session_end(sessions, who->session, NULL, NULL);
  vault_turn();
  ok(!session_is_current(sessions, stream), "nor has one who logged out");
  is_int(find(secret), -ENOENT, "whose session has ended");
  identity_unref(stream);
}

static void number(void) {
  char first[SESSION_ID_SIZE], second[SESSION_ID_SIZE];
  session_end_all(sessions, "ann", "");
  vault_turn();
  begin("password");
  memcpy(first, secret, sizeof first);
  begin("password");
  memcpy(second, secret, sizeof second);
  for (int i = 2; i < SESSIONS_A_USER; i++) begin("password");
  vault_turn();
  is_int(find(second), 0, "a user has 20 sessions");
  for (int i = 0; i < SESSIONS_A_USER - 1; i++) begin("password");
  is_int(find(first), -ENOENT, "with more the oldest one ends");
  is_int(find(secret), 0, "and the newest one stays");
  session_end_all(sessions, "ann", "");
  vault_turn();
  is_int(find(secret), -ENOENT, "all of a user end at once");
}

static void away(void) {
  char other[SESSION_ID_SIZE];
  begin("password");
  memcpy(other, secret, sizeof other);
  begin("password");
  session_ended(sessions, "");
  find(secret);
  fake.away = true;
  is_int(find(secret), 0, "with the storage away a session that was seen lately is known");
  ok(who->read_only && !identity_may(who, RIGHT_OPERATE, "live"), "and may read");
  is_int(find(other), -EAGAIN, "another one is not");
  loop_stall(loop, SESSION_CACHE_MS);
  is_int(find(secret), -EAGAIN, "nor is it after ten minutes");
  fake.away = false;
  is_int(find(secret), 0, "it is found again when the storage is back");
  ok(!who->read_only, "with all its rights");
}

int main(void) {
  struct log *log = log_new(STDERR_FILENO);
  loop = loop_new(log);
  vault_begin(&vault, loop, log);
  sessions = sessions_new(&vault, &settings);
  times();
  changes();
  number();
  away();
  vault_end();
  sessions_free(sessions);
  identity_unref(who);
  loop_free(loop);
  log_free(log);
  return done_testing();
}
