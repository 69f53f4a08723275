/* Owns the talk with a directory server. The only file that knows libldap.
 *
 * Must never happen: a bind with an empty password, which servers answer with success for anybody;
 * a password on a connection that is not the one that was asked for; a user name that becomes part
 * of a filter or of another name; a wait without end.
 */
#include "accounts/ldap.h"

#include "accounts/passwords.h"
#include "base/buf.h"
#include "base/out_of_memory.h"
#include "event/loop.h"

#include <errno.h>
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLICE_MS   200 /* so often it is looked whether the broker stops */
#define GROUPS_MAX 1000

struct ldap_ask {
  struct passwords *passwords;
  ldap_login_fn fn;
  void *arg;
  struct ldap_settings set; /* texts of its own */
  char *user, *password;
  enum ldap_group group;
  uint64_t end_ms; /* monotonic */
  char why[400];
};

/* --- names --- */

static bool plain_letter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
         c == '_' || c == '-' || c == '@';
}

/* "\2c" in names (RFC 4514) and filters (RFC 4515) alike. */
static void add_escaped(struct buf *b, const char *text) {
  for (; *text; text++)
    if (plain_letter(*text))
      buf_add(b, text, 1);
    else
      buf_printf(b, "\\%02x", (unsigned char)*text);
}

/* The name with which `user` logs in. */
static char *bind_name(const char *pattern, const char *user) {
  struct buf b = {0};
  for (const char *p = pattern; *p; p++) {
    if (p[0] == '%' && p[1] == 'u') {
      add_escaped(&b, user);
      p++;
    } else {
      buf_add(&b, p, 1);
    }
  }
  char *name = strdup(buf_text(&b));
  if (!name || b.failed) out_of_memory();
  buf_free(&b);
  return name;
}

/* One form for each name; NULL: it is none. To be freed by ldap_memfree(). */
static char *name_form(const char *name) {
  LDAPDN dn = NULL;
  char *form = NULL;
  if (ldap_str2dn(name, &dn, LDAP_DN_FORMAT_LDAPV3) || !dn) return NULL;
  if (ldap_dn2str(dn, &form, LDAP_DN_FORMAT_LDAPV3)) form = NULL;
  ldap_dnfree(dn);
  return form;
}

static bool names_are_same(const char *a, const char *b) {
  char *x = name_form(a), *y = name_form(b);
  bool same = x && y && !strcasecmp(x, y);
  ldap_memfree(x);
  ldap_memfree(y);
  return same;
}

/* Is "cn=NAME" the first part of `dn`? */
static bool is_called(const char *dn, const char *name) {
  LDAPDN parts = NULL;
  bool is = false;
  if (ldap_str2dn(dn, &parts, LDAP_DN_FORMAT_LDAPV3) || !parts) return false;
  for (LDAPRDN rdn = parts[0]; rdn && *rdn; rdn++) {
    const LDAPAVA *ava = *rdn;
    is |= ava->la_attr.bv_len == 2 && !strncasecmp(ava->la_attr.bv_val, "cn", 2) &&
          ava->la_value.bv_len == strlen(name) &&
          !strncasecmp(ava->la_value.bv_val, name, ava->la_value.bv_len);
  }
  ldap_dnfree(parts);
  return is;
}

/* `wanted` is the name or the whole distinguished name of a group. */
static bool group_is(const char *dn, const char *wanted) {
  if (!*wanted) return false;
  return strchr(wanted, '=') ? names_are_same(dn, wanted) : is_called(dn, wanted);
}

static void group_found(struct ldap_ask *q, const char *dn) {
  if (group_is(dn, q->set.admin_group))
    q->group = LDAP_ADMIN;
  else if (q->group == LDAP_NO_GROUP && group_is(dn, q->set.operator_group))
    q->group = LDAP_OPERATOR;
}

/* --- questions --- */

static int away(struct ldap_ask *q, LDAP *ld, const char *what, int rc) {
  char *more = NULL;
  if (ld) (void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
  snprintf(q->why, sizeof q->why, "%s: %s: %s%s%s", q->set.url, what, ldap_err2string(rc),
           more && *more ? ": " : "", more ? more : "");
  ldap_memfree(more);
  return -EAGAIN;
}

static struct timeval time_of(uint64_t ms) {
  return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (long)(ms % 1000) * 1000};
}

/* The whole answer to `id`. 0; -EAGAIN with q->why; -ECANCELED. */
static int answer_wait(struct ldap_ask *q, LDAP *ld, int id, LDAPMessage **ret) {
  for (;;) {
    uint64_t now = loop_clock_ms();
    struct timeval slice = time_of(SLICE_MS);
    int rc = 0;
    if (passwords_stopping(q->passwords)) return -ECANCELED;
    if (now >= q->end_ms) return away(q, NULL, "no answer in time", LDAP_TIMEOUT);
    if (q->end_ms - now < SLICE_MS) slice = time_of(q->end_ms - now);
    rc = ldap_result(ld, id, LDAP_MSG_ALL, &slice, ret);
    if (rc > 0) return 0;
    if (rc < 0) {
      (void)ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &rc);
      return away(q, ld, "the connection broke", rc);
    }
  }
}

static int result_of(LDAP *ld, LDAPMessage *m) {
  int code = LDAP_OTHER;
  int rc = ldap_parse_result(ld, m, &code, NULL, NULL, NULL, NULL, 0);
  return rc ? rc : code;
}

static int connect_to(struct ldap_ask *q, LDAP **ret) {
  int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0, rc;
  struct timeval timeout = time_of(q->set.timeout_ms);
  LDAP *ld = NULL;
  *ret = NULL;
  rc = ldap_initialize(&ld, q->set.url);
  if (rc) return away(q, NULL, "cannot connect", rc);
  *ret = ld;
  ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
  ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &timeout);
  ldap_set_option(ld, LDAP_OPT_TIMEOUT, &timeout);
  ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
  ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  if (*q->set.ca_file) {
    rc = ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, q->set.ca_file);
    if (rc) return away(q, NULL, "ca_file cannot be used", LDAP_PARAM_ERROR);
  }
  /* Last: it takes what was set before. */
  if (ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client))
    return away(q, NULL, "TLS cannot be used; is ca_file readable?", LDAP_PARAM_ERROR);
  if (!q->set.start_tls) return 0;
  rc = ldap_start_tls_s(ld, NULL, NULL);
  return rc ? away(q, ld, "no StartTLS", rc) : 0;
}

static bool is_refusal(int code) {
  return code == LDAP_INVALID_CREDENTIALS || code == LDAP_NO_SUCH_OBJECT ||
         code == LDAP_INVALID_DN_SYNTAX || code == LDAP_INAPPROPRIATE_AUTH ||
         code == LDAP_CONSTRAINT_VIOLATION || code == LDAP_UNWILLING_TO_PERFORM ||
         code == LDAP_INSUFFICIENT_ACCESS;
}

static int bind_as(struct ldap_ask *q, LDAP *ld, const char *name) {
  struct berval password = {.bv_val = q->password, .bv_len = strlen(q->password)};
  LDAPMessage *m = NULL;
  int id, rc = ldap_sasl_bind(ld, name, LDAP_SASL_SIMPLE, &password, NULL, NULL, &id);
  if (rc) return away(q, ld, "cannot log in", rc);
  rc = answer_wait(q, ld, id, &m);
  if (rc) return rc;
  int code = result_of(ld, m);
  ldap_msgfree(m);
  if (!code) return 0;
  return is_refusal(code) ? -EACCES : away(q, ld, "cannot log in", code);
}

/* The groups that have the user as a member, below [ldap] groups. */
static char *groups_filter(const char *name, const char *user) {
  struct buf b = {0};
  buf_add_text(&b, "(|(member=");
  add_escaped(&b, name);
  buf_add_text(&b, ")(uniqueMember=");
  add_escaped(&b, name);
  buf_add_text(&b, ")(memberUid=");
  add_escaped(&b, user);
  buf_add_text(&b, "))");
  char *filter = strdup(buf_text(&b));
  if (!filter || b.failed) out_of_memory();
  buf_free(&b);
  return filter;
}

static void entry_read(struct ldap_ask *q, LDAP *ld, LDAPMessage *entry, bool of_user) {
  char *dn = of_user ? NULL : ldap_get_dn(ld, entry);
  if (dn) group_found(q, dn);
  ldap_memfree(dn);
  struct berval **values = of_user ? ldap_get_values_len(ld, entry, "memberOf") : NULL;
  for (int i = 0; values && values[i]; i++) group_found(q, values[i]->bv_val);
  ldap_value_free_len(values);
}

static int groups_look(struct ldap_ask *q, LDAP *ld, const char *name) {
  bool of_user = !*q->set.groups;
  char *attributes[] = {of_user ? "memberOf" : "cn", NULL};
  char *filter = of_user ? NULL : groups_filter(name, q->user);
  struct timeval timeout = time_of(q->set.timeout_ms);
  LDAPMessage *m = NULL;
  int id;
  int rc = ldap_search_ext(
      ld, of_user ? name : q->set.groups, of_user ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE,
      of_user ? "(objectClass=*)" : filter, attributes, 0, NULL, NULL, &timeout, GROUPS_MAX, &id);
  free(filter);
  if (rc) return away(q, ld, "cannot look up groups", rc);
  rc = answer_wait(q, ld, id, &m);
  if (rc) return rc;
  int code = result_of(ld, m);
  for (LDAPMessage *e = ldap_first_entry(ld, m); e; e = ldap_next_entry(ld, e))
    entry_read(q, ld, e, of_user);
  ldap_msgfree(m);
  /* A user who may not read the groups is in none of them. */
  if (!code || code == LDAP_INSUFFICIENT_ACCESS || (of_user && code == LDAP_NO_SUCH_OBJECT))
    return 0;
  return away(q, ld, "cannot look up groups", code);
}

/* On the thread. */
static int ask_run(void *arg) {
  struct ldap_ask *q = arg;
  LDAP *ld = NULL;
  if (!*q->user || !*q->password) return -EACCES;
  q->end_ms = loop_clock_ms() + q->set.timeout_ms;
  char *name = bind_name(q->set.bind, q->user);
  int rc = connect_to(q, &ld);
  if (!rc) rc = bind_as(q, ld, name);
  if (!rc && (*q->set.admin_group || *q->set.operator_group)) rc = groups_look(q, ld, name);
  if (ld) ldap_unbind_ext_s(ld, NULL, NULL);
  free(name);
  return rc;
}

/* --- from and to the loop --- */

static const char *text_copy(const char *text) {
  char *copy = strdup(text ? text : "");
  if (!copy) out_of_memory();
  return copy;
}

static void ask_free(struct ldap_ask *q) {
  const char *texts[] = {q->set.url,         q->set.bind,           q->set.groups,
                         q->set.admin_group, q->set.operator_group, q->set.ca_file};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((char *)texts[i]);
  explicit_bzero(q->password, strlen(q->password));
  free(q->password);
  free(q->user);
  free(q);
}

static void ask_done(void *arg, int rc) {
  struct ldap_ask *q = arg;
  q->fn(q->arg, rc, rc ? LDAP_NO_GROUP : q->group, q->why);
  ask_free(q);
}

int ldap_login(struct passwords *p, const struct ldap_settings *set, const char *user,
               const char *password, ldap_login_fn fn, void *arg) {
  struct ldap_ask *q = calloc(1, sizeof *q);
  if (!q) out_of_memory();
  q->passwords = p;
  q->fn = fn;
  q->arg = arg;
  q->user = (char *)text_copy(user);
  q->password = (char *)text_copy(password);
  q->set = (struct ldap_settings){.url = text_copy(set->url),
                                  .bind = text_copy(set->bind),
                                  .groups = text_copy(set->groups),
                                  .admin_group = text_copy(set->admin_group),
                                  .operator_group = text_copy(set->operator_group),
                                  .ca_file = text_copy(set->ca_file),
                                  .start_tls = set->start_tls,
                                  .timeout_ms = set->timeout_ms};
  int rc = passwords_run(p, ask_run, ask_done, q);
  if (rc) ask_free(q);
  return rc;
}
