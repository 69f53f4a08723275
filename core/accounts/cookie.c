/* Owns the cookie of a session. */
#include "accounts/private.h"

#include <string.h>

#define NAME_MAX_LEN 160

/* Each cluster has its own, for several may be behind one host name. */
static void name_of(const struct accounts *a, char ret[NAME_MAX_LEN]) {
  snprintf(ret, NAME_MAX_LEN, "pepperbus_%s", a->settings->cluster.name);
  for (char *p = ret; *p; p++)
    if (*p == ':') *p = '_'; /* the only letter of names that a cookie must not have */
}

bool cookie_find(const struct accounts *a, const char *field, char ret[SESSION_ID_SIZE]) {
  char name[NAME_MAX_LEN];
  name_of(a, name);
  size_t want = strlen(name);
  for (const char *p = field; *p;) {
    p += strspn(p, " \t;,");
    size_t len = strcspn(p, ";,");
    const char *value = p + want + 1;
    if (len == want + SESSION_ID_SIZE && !memcmp(p, name, want) && p[want] == '=') {
      memcpy(ret, value, SESSION_ID_SIZE - 1);
      ret[SESSION_ID_SIZE - 1] = 0;
      return true;
    }
    p += len;
  }
  return false;
}

void cookie_print(const struct accounts *a, const char *secret, bool https,
                  char ret[ACCOUNTS_COOKIE_MAX]) {
  char name[NAME_MAX_LEN];
  const char *path = a->settings->server.base_path;
  name_of(a, name);
  snprintf(ret, ACCOUNTS_COOKIE_MAX, "%s=%s; Path=%s; HttpOnly; SameSite=Strict%s%s", name, secret,
           path && *path ? path : "/", https ? "; Secure" : "", *secret ? "" : "; Max-Age=0");
}
