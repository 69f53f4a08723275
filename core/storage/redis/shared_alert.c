/* Owns what nodes share of alerts: the hash pb:{@}:alert:NAME has state, silence and the nodes'
 * shares; pb:{@}:alertclaim:NAME says which node watches it, as long as that node keeps on asking.
 */
#include "storage/redis/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MS (30ull * 24 * 3600 * 1000)
#define REPLIES 4 /* of each */

static void put_key(struct store *s, const char *what, const char *name) {
  char key[NAME_LEN_MAX + 32];
  snprintf(key, sizeof key, "pb:{@}:%s:%s", what, name);
  cmd_text(&s->out, key);
}

static bool alert_parse(struct redis_reply *const *r, struct store_alert *ret) {
  char *end = NULL;
  if (r[0]->type != REPLY_INTEGER || r[1]->type != REPLY_STRING || r[2]->type != REPLY_STRING ||
      r[3]->type != REPLY_STRING)
    return false;
  *ret = (struct store_alert){.mine = r[0]->integer == 1,
                              .state = r[1]->str,
                              .state_len = r[1]->len,
                              .silence = r[2]->str,
                              .silence_len = r[2]->len,
                              .sum = strtod(r[3]->str, &end)};
  return end && !*end;
}

static void on_look(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store_alert all[STORE_ALERTS_MAX];
  size_t n = 0, want = query->n[0];
  if (!rc && r->type == REPLY_ARRAY && r->elements == want * REPLIES)
    while (n < want && alert_parse(r->element + n * REPLIES, &all[n])) n++;
  if (!rc && n < want) {
    rc = STORE_ERROR;
    why = "its answer about alerts cannot be read";
  }
  query->fn.alerts(query->arg, rc, all, rc ? 0 : n, why);
}

void store_alert_look(struct store *s, const struct store_alert_ask *asks, size_t n,
                      uint64_t lease_ms, store_alerts_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_look, arg);
  query->fn.alerts = fn;
  if (n > STORE_ALERTS_MAX) n = STORE_ALERTS_MAX;
  query->n[0] = n;
  query_script(s, SCRIPT_ALERT_LOOK, (unsigned)(2 * n));
  for (size_t i = 0; i < n; i++) {
    put_key(s, "alert", asks[i].name);
    put_key(s, "alertclaim", asks[i].name);
  }
  cmd_text(&s->out, s->node_instance);
  cmd_text(&s->out, s->server->node);
  cmd_u64(&s->out, lease_ms);
  for (size_t i = 0; i < n; i++) {
    cmd_u64(&s->out, asks[i].watches);
    cmd_text(&s->out, asks[i].share ? asks[i].share : "");
  }
  query_send(query, SCRIPT_ALERT_LOOK);
}

static void on_put(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  query->fn.done(query->arg, rc, rc ? 0 : redis_reply_u64(r), why);
}

static void field_put(struct store *s, const char *name, const char *field, const void *data,
                      size_t len, store_done_fn fn, void *arg) {
  struct query *query = query_new(s, NULL, NULL, on_put, arg);
  query->fn.done = fn;
  if (!shared_fits(query, len, STORE_ALERT_MAX, "the state of an alert")) return;
  query_script(s, SCRIPT_ALERT_PUT, 2);
  put_key(s, "alert", name);
  put_key(s, "alertclaim", name);
  cmd_text(&s->out, s->node_instance);
  cmd_text(&s->out, field);
  cmd_bytes(&s->out, data, len);
  cmd_u64(&s->out, KEEP_MS);
  query_send(query, SCRIPT_ALERT_PUT);
}

void store_alert_put(struct store *s, const char *name, const void *state, size_t len,
                     store_done_fn fn, void *arg) {
  field_put(s, name, "state", state, len, fn, arg);
}

void store_alert_silence(struct store *s, const char *name, const void *silence, size_t len,
                         store_done_fn fn, void *arg) {
  field_put(s, name, "silence", silence, len, fn, arg);
}
