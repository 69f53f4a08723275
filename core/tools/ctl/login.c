/* Verbs that let people in: login and logout keep tokens of brokers elsewhere, open makes a link to
 * the console.
 *
 * Must never happen: a password or a token in an argument, on the terminal or in a message; a
 * password sent to a server that has not shown who it is (https).
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER_MAX 256

/* --- login --- */

struct login {
  char user[USER_MAX], password[PASSWORD_MAX + 1];
  size_t len;
  char *cookie; /* of the session, which ends when the token is there */
  json_t *me;   /* role, systems, must_change */
};

/* Takes over the cookie and who this is. */
static void session_take(struct login *l, struct answer *a) {
  if (a->cookie) {
    free(l->cookie);
    l->cookie = a->cookie;
    a->cookie = NULL;
  }
  json_decref(l->me);
  l->me = json_incref(a->json);
}

static int login_refused(struct ctl *x, struct answer *a) {
  const char *why = get_text(a->json, "error");
  if (a->status != 401 && a->status != 429) return api_refused(x, a);
  ctl_error("%s", *why ? why : "the broker does not take this user and password");
  return CTL_AUTH;
}

static int session_make(struct ctl *x, struct login *l) {
  struct answer a;
  json_t *body = json_pack("{s:s, s:s}", "user", l->user, "password", l->password);
  if (!body) {
    ctl_error("user and password must be UTF-8");
    return CTL_USAGE;
  }
  int code = api_send_session(x, "POST", "/api/v1/session", body, NULL, &a);
  if (code) return code;
  if (a.status != 200)
    code = login_refused(x, &a);
  else
    session_take(l, &a);
  if (!code && !l->cookie) {
    ctl_error("the server answered without a session; is it a Pepperbus broker?");
    code = CTL_UNREACHABLE;
  }
  answer_done(&a);
  return code;
}

/* A password that was made for somebody has to be changed before anything else. */
static int password_change(struct ctl *x, struct login *l) {
  char fresh[PASSWORD_MAX + 1];
  size_t len;
  struct answer a;
  if (!get_bool(l->me, "must_change")) return CTL_OK;
  fputs("this password has to be changed; say a new one\n", stderr);
  if (!password_ask_new(fresh, &len)) return CTL_USAGE;
  json_t *body = json_pack("{s:s, s:s}", "old", l->password, "new", fresh);
  explicit_bzero(fresh, sizeof fresh);
  if (!body) {
    ctl_error("the password is not UTF-8");
    return CTL_USAGE;
  }
  int code = api_send_session(x, "POST", "/api/v1/session/password", body, l->cookie, &a);
  if (code) return code;
  if (a.status != 200)
    code = api_refused(x, &a);
  else
    session_take(l, &a);
  answer_done(&a);
  return code;
}

/* *ret: {token, id, expires_ms}. */
static int token_make(struct ctl *x, const struct login *l, json_t **ret) {
  struct answer a;
  char host[128] = "", name[160];
  if (gethostname(host, sizeof host - 1)) strcpy(host, "?");
  snprintf(name, sizeof name, "pepperbusctl on %s", host);
  json_t *body = json_pack("{s:s}", "name", name);
  if (!body || !expires_add(x, body)) {
    json_decref(body);
    return CTL_USAGE;
  }
  if (*get_text(l->me, "role"))
    json_object_set_new(body, "role", json_string(get_text(l->me, "role")));
  if (json_is_array(get(l->me, "systems"))) json_object_set(body, "systems", get(l->me, "systems"));
  int code = api_send_session(x, "POST", "/api/v1/tokens", body, l->cookie, &a);
  if (code) return code;
  if (a.status != 200)
    code = api_refused(x, &a);
  else if (!*get_text(a.json, "token") || strlen(get_text(a.json, "token")) >= TOKEN_MAX)
    code = CTL_UNREACHABLE, ctl_error("the server answered without a token");
  else
    *ret = json_incref(a.json);
  answer_done(&a);
  return code;
}

static void login_done(struct ctl *x, struct login *l) {
  struct answer a;
  if (l->cookie && !api_send_session(x, "DELETE", "/api/v1/session", NULL, l->cookie, &a))
    answer_done(&a);
  if (l->cookie) explicit_bzero(l->cookie, strlen(l->cookie));
  free(l->cookie);
  json_decref(l->me);
  explicit_bzero(l, sizeof *l);
}

/* Who, and the password. */
static bool login_ask(struct ctl *x, struct login *l) {
  if (x->args.who && strlen(x->args.who) >= sizeof l->user) {
    ctl_error("--user is longer than %d bytes", USER_MAX - 1);
    return false;
  }
  if (x->args.who) strcpy(l->user, x->args.who);
  return (*l->user || line_ask("user: ", l->user, sizeof l->user)) &&
         password_ask("password: ", l->password, &l->len);
}

/* --context, or the host of the URL without its port. malloc'd; NULL: the fault was printed. */
static char *context_name(struct ctl *x, const char *url) {
  const char *host = strstr(url, "://") + 3;
  size_t len = *host == '[' ? 0 : strcspn(host, ":/");
  char *name = x->args.context ? strdup(x->args.context) : strndup(host, len);
  if (!name) out_of_memory();
  if (*name && context_name_is_sound(name)) return name;
  if (!*name) ctl_error("login: say how to call it, with --context NAME");
  free(name);
  return NULL;
}

/* Does the URL lead to this machine? "127.0.0.1.example.org" does not. */
static bool is_loopback(const char *url) {
  const char *host = strstr(url, "://") + 3;
  size_t len = *host == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/");
  if (!strncmp(host, "127.", 4)) return strspn(host, "0123456789.") == len;
  return (len == 5 && !strncmp(host, "[::1]", 5)) || (len == 9 && !strncmp(host, "localhost", 9));
}

static int login_run(struct ctl *x, const char *name, const char *url) {
  struct login l = {.user = ""};
  json_t *token = NULL;
  char end[TEXT_MAX];
  const char *ca = api_target(x)->ca_file;
  int code = login_ask(x, &l) ? CTL_OK : CTL_USAGE;
  if (!code) code = session_make(x, &l);
  if (!code) code = password_change(x, &l);
  if (!code) code = token_make(x, &l, &token);
  if (!code) code = context_store(name, url, ca, get_text(token, "token"));
  uint64_t ends = get_u64(token, "expires_ms");
  if (!code && x->args.json)
    print_json(json_pack("{s:s, s:s, s:s, s:I}", "context", name, "url", url, "user", l.user,
                         "expires_ms", (json_int_t)ends),
               0);
  else if (!code)
    printf("context %s: %s as %s%s%s; use it with --context %s, or PEPPERBUS_CONTEXT=%s\n", name,
           url, l.user, ends ? " until " : "", ends ? text_time(ends, end) : "", name, name);
  json_decref(token);
  login_done(x, &l);
  return code;
}

int verb_login(struct ctl *x) {
  struct target t;
  if (x->args.host || x->args.config || x->args.token_file) {
    ctl_error("login takes the URL alone, not -H, -c or --token-file");
    return CTL_USAGE;
  }
  int code = target_of(x, x->args.rest[0], &t);
  if (!code && t.sock) {
    ctl_error("login is for brokers elsewhere; the unix socket needs none");
    code = CTL_USAGE;
  }
  char *url = code ? NULL : strdup(t.url), *name = url ? context_name(x, url) : NULL;
  if (!code && !name) code = CTL_USAGE;
  if (!code) {
    t.named = true;
    api_use(x, &t);
    if (!strncmp(url, "http://", 7) && !is_loopback(url))
      fprintf(stderr,
              "pepperbusctl: %s is not encrypted: others on the way can read the password "
              "and the token\n",
              url);
    code = login_run(x, name, url);
  }
  target_done(&t);
  free(name);
  free(url);
  return code;
}

/* --- logout --- */

/* The id of "pbt_ID_SECRET", which is no secret. */
static bool token_id(const char *token, char *ret, size_t size) {
  const char *id = strncmp(token, "pbt_", 4) ? NULL : token + 4;
  size_t len = id ? strcspn(id, "_") : 0;
  if (!id || !id[len] || !len || len >= size) return false;
  snprintf(ret, size, "%.*s", (int)len, id);
  return true;
}

/* Takes the token back at the broker. True: it is good for nothing any more. */
static bool token_end(struct ctl *x, const struct target *t) {
  char id[64];
  struct answer a;
  if (!token_id(t->token, id, sizeof id)) return false;
  char *path = path_named("tokens", id, "");
  int code = api_call(x, &(struct request){.method = "DELETE", .path = path}, &a);
  free(path);
  if (code) return false;
  bool ended = a.status == 200 || a.status == 204 || a.status == 401 || a.status == 404;
  if (!ended) api_refused(x, &a);
  answer_done(&a);
  return ended;
}

int verb_logout(struct ctl *x) {
  const char *env = getenv("PEPPERBUS_CONTEXT");
  const char *name = x->args.n_rest ? x->args.rest[0] : x->args.context ? x->args.context : env;
  if (x->args.host || x->args.config || !name || !*name) {
    ctl_error("logout needs the name of a context alone, as login said it");
    return CTL_USAGE;
  }
  x->args.context = name;
  x->args.token_file = NULL;
  const struct target *t = api_target(x);
  bool ended = t && token_end(x, t);
  int code = context_forget(name);
  if (code) return code;
  if (x->args.json)
    print_json(json_pack("{s:s, s:b}", "context", name, "ended", (int)ended), 0);
  else
    printf("context %s is forgotten\n", name);
  if (ended) return CTL_OK;
  ctl_error("the broker did not take the token back: it is good until it ends, or until "
            "pepperbusctl token rm");
  return CTL_NO;
}

/* --- open --- */

int verb_open(struct ctl *x) {
  json_t *o;
  char end[TEXT_MAX];
  json_t *body = json_object();
  if (x->args.first_password) json_object_set_new(body, "kind", json_string("password"));
  int code = api_post(x, "/api/v1/links", body, &o);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  if (x->args.first_password) {
    printf("%s\n", get_text(o, "password"));
    fprintf(stderr, "the password of the user %s at %s, once, until %s\n", get_text(o, "user"),
            get_text(o, "url"), text_time(get_u64(o, "expires_ms"), end));
    json_decref(o);
    return CTL_OK;
  }
  puts(get_text(o, "url"));
  fprintf(stderr,
          "it opens the console once, until %s; on a desktop: xdg-open \"$(pepperbusctl "
          "open)\"\n",
          text_time(get_u64(o, "expires_ms"), end));
  json_decref(o);
  return CTL_OK;
}
