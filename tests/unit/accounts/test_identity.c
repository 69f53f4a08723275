/* Every role x right x kind of system against a table of its own. */
#include "accounts/identity_json.h"

#include "tap.h"

/* Which of a user's systems the right holds in, as a reader of the documentation expects it:
 * '-' none, 's' the user's own, 'a' only with all systems, '*' always. admin, operator, viewer. */
static const char *const want[RIGHTS] = {
    [RIGHT_SELF] = "***",    [RIGHT_LOOK] = "sss",      [RIGHT_CONTENTS] = "ss-",
    [RIGHT_OPERATE] = "ss-", [RIGHT_CONFIGURE] = "ss-", [RIGHT_ENTRIES] = "s--",
    [RIGHT_CLUSTER] = "a--", [RIGHT_USERS] = "a--",     [RIGHT_AUDIT] = "a--",
    [RIGHT_LINK] = "---",
};

static const char *const one[] = {"live"};
static const char *const none[] = {NULL};

enum kind { EVERY, OWN, NOTHING, KINDS };

static struct identity *somebody(enum identity_how how, enum role role, enum kind kind) {
  return identity_new(how, "ann", role,
                      kind == EVERY ? NULL
                      : kind == OWN ? one
                                    : none,
                      kind == OWN);
}

static bool expected(char scope, enum kind kind, const char *system) {
  if (scope == '*') return true;
  if (scope == 'a') return kind == EVERY;
  if (scope != 's' || kind == NOTHING) return false;
  return kind == EVERY || !system || strcmp(system, "live") == 0;
}

/* every role, every right, own, foreign and no system */
static void table(void) {
  static const char *const systems[] = {NULL, "", "live", "passport", "liv", "live2"};
  unsigned wrong = 0, seen = 0;
  for (int role = 0; role < ROLES; role++)
    for (int right = 0; right < RIGHTS; right++)
      for (int kind = 0; kind < KINDS; kind++)
        for (size_t s = 0; s < sizeof systems / sizeof *systems; s++, seen++) {
          struct identity *id = somebody(IDENTITY_SESSION, (enum role)role, (enum kind)kind);
          bool may = identity_may(id, (enum right)right, systems[s]);
          if (may != expected(want[right][role], (enum kind)kind, systems[s])) {
            wrong++;
            diag("%s, right %d, kind %d, system %s: %d", rights_role_name((enum role)role), right,
                 kind, systems[s] ? systems[s] : "any", may);
          }
          identity_unref(id);
        }
  is_int(wrong, 0, "of %u cases none is decided wrongly", seen);
  is_int(rights_of(ROLES, RIGHT_LOOK), SCOPE_NONE, "an unknown role may do nothing");
  is_int(rights_of(ROLE_ADMIN, RIGHTS), SCOPE_NONE, "an unknown right is nobody's");
}

static void own_rights(void) {
  struct identity *v = somebody(IDENTITY_SESSION, ROLE_VIEWER, OWN);
  struct identity *o = somebody(IDENTITY_SESSION, ROLE_OPERATOR, OWN);
  v->contents = v->entries = true;
  ok(identity_may(v, RIGHT_CONTENTS, "live"), "contents = yes lets a viewer read contents");
  ok(!identity_may(v, RIGHT_CONTENTS, "passport"), "not those of another system");
  ok(!identity_may(v, RIGHT_ENTRIES, "live"), "entries = yes makes no viewer an operator");
  o->entries = true;
  o->contents = false;
  ok(identity_may(o, RIGHT_ENTRIES, "live"), "entries = yes lets an operator change entries");
  ok(!identity_may(o, RIGHT_ENTRIES, ""), "not those without a system");
  ok(!identity_may(o, RIGHT_CONTENTS, "live"), "contents = no hides contents from an operator");
  identity_unref(v);
  identity_unref(o);
}

static void states(void) {
  struct identity *a = somebody(IDENTITY_SESSION, ROLE_ADMIN, EVERY);
  unsigned may = 0, changes = 0;
  a->must_change = true;
  for (int right = 0; right < RIGHTS; right++) may += identity_may(a, (enum right)right, NULL);
  is_int(may, 1, "who must change the password may do that alone");
  a->must_change = false;
  a->read_only = true;
  for (int right = RIGHT_SELF + 1; right < RIGHTS; right++)
    changes += identity_may(a, (enum right)right, NULL) && !rights_only_read((enum right)right);
  is_int(changes, 0, "a session known from memory changes nothing");
  ok(identity_may(a, RIGHT_LOOK, "live"), "but looks");
  identity_unref(a);
  struct identity *n = somebody(IDENTITY_NODE, ROLE_ADMIN, EVERY);
  struct identity *s = somebody(IDENTITY_SOCKET, ROLE_ADMIN, EVERY);
  struct identity *t = somebody(IDENTITY_TOKEN, ROLE_ADMIN, EVERY);
  ok(identity_may(n, RIGHT_LINK, NULL) && identity_may(s, RIGHT_LINK, NULL),
     "links are made on the machine of a node");
  ok(!identity_may(t, RIGHT_LINK, NULL), "and not with an API token");
  ok(!identity_is_ambient(n) && !identity_is_ambient(t), "a token is sent on purpose");
  identity_unref(n);
  identity_unref(s);
  identity_unref(t);
}

/* an API token never exceeds its user */
static void limits(void) {
  static const char *const two[] = {"live", "passport"};
  struct identity *user = identity_new(IDENTITY_SESSION, "ann", ROLE_OPERATOR, one, 1);
  struct identity *token = identity_new(IDENTITY_TOKEN, "ann", ROLE_ADMIN, NULL, 0);
  identity_limit(token, user);
  is_int(token->role, ROLE_OPERATOR, "the lower role counts");
  ok(!token->every_system && identity_has_system(token, "live"), "the systems are the user's");
  ok(!identity_has_system(token, "passport"), "and no others");
  ok(!token->entries, "so are the user's own rights");
  identity_unref(token);
  token = identity_new(IDENTITY_TOKEN, "ann", ROLE_VIEWER, two, 2);
  identity_limit(token, user);
  is_int(token->role, ROLE_VIEWER, "the token's role stays where it is lower");
  is_int((int)token->n_systems, 1, "systems that the user lost are gone");
  identity_unref(token);
  token = identity_new(IDENTITY_TOKEN, "ann", ROLE_VIEWER, two + 1, 1);
  identity_limit(token, user);
  ok(!token->every_system && !token->n_systems, "no common system: none, not all");
  ok(!identity_may(token, RIGHT_LOOK, NULL), "and nothing to see");
  identity_unref(token);
  identity_unref(user);
}

static struct identity *read_text(const char *text) {
  json_t *o = json_loads(text, 0, NULL);
  struct identity *id = identity_read(o, IDENTITY_TOKEN, "ann");
  json_decref(o);
  return id;
}

static void documents(void) {
  struct identity *id =
      read_text("{\"role\":\"operator\",\"systems\":[\"live\"],\"contents\":true}");
  ok(id && id->role == ROLE_OPERATOR && !id->every_system && identity_has_system(id, "live") &&
         id->n_systems == 1,
     "role and systems of a document");
  ok(id && id->contents && !id->entries, "a right that is not there is not given");
  json_t *systems = identity_systems_json(id);
  is_str(json_string_value(json_array_get(systems, 0)), "live", "the systems are written again");
  json_decref(systems);
  identity_unref(id);
  id = read_text("{\"role\":\"admin\",\"systems\":null}");
  ok(id && id->every_system, "null: all systems");
  systems = identity_systems_json(id);
  ok(json_is_null(systems), "which are null again");
  identity_unref(id);
  id = read_text("{\"role\":\"admin\",\"systems\":[]}");
  ok(id && !id->every_system && !id->n_systems, "an empty list: none");
  identity_unref(id);
  static const char *const bad[] = {
      "{\"role\":\"admin\"}", "{\"systems\":null}", "{\"role\":\"root\",\"systems\":null}",
      "{\"role\":\"admin\",\"systems\":\"live\"}", "{\"role\":\"admin\",\"systems\":[\"live\",7]}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ok(!read_text(bad[i]), "refused: %s", bad[i]);
}

int main(void) {
  documents();
  table();
  own_rights();
  states();
  limits();
  return done_testing();
}
