/* Owns what is known of a storage's server: its memory, clients, persistence and replicas. It is
 * asked when somebody looks, and not more often than each STORE_SERVER_MS.
 */
#include "storage/redis/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool info_get(const char *info, const char *name, char *ret, size_t cap) {
  size_t n = strlen(name);
  for (const char *p = info; p; p = strchr(p, '\n')) {
    if (*p == '\n') p++;
    if (strncmp(p, name, n) || p[n] != ':') continue;
    p += n + 1;
    size_t len = strcspn(p, "\r\n");
    if (len >= cap) len = cap - 1;
    memcpy(ret, p, len);
    ret[len] = 0;
    return true;
  }
  return false;
}

enum server_fault info_fault(const char *info, char *ret_why, size_t size) {
  char v[64];
  *ret_why = 0;
  if (info_get(info, "loading", v, sizeof v) && !strcmp(v, "1")) {
    snprintf(ret_why, size, "the server reads its data back");
    return SERVER_LOADS;
  }
  if (info_get(info, "redis_version", v, sizeof v) && atoi(v) < 7) {
    snprintf(ret_why, size, "its version is %s; Redis 7.0 or newer, or Valkey, is needed", v);
    return SERVER_UNFIT;
  }
  if (info_get(info, "cluster_enabled", v, sizeof v) && !strcmp(v, "1")) {
    snprintf(ret_why, size, "it is a node of a Redis Cluster, which this version cannot use");
    return SERVER_UNFIT;
  }
  if (info_get(info, "role", v, sizeof v) && strcmp(v, "master")) {
    snprintf(ret_why, size, "it is a read-only replica; `address` must be that of the primary");
    return SERVER_REPLICA;
  }
  if (info_get(info, "maxmemory_policy", v, sizeof v) && strcmp(v, "noeviction")) {
    snprintf(ret_why, size,
             "its maxmemory-policy is %s, which deletes jobs when memory is short; set "
             "`maxmemory-policy noeviction` in redis.conf",
             v);
    return SERVER_UNFIT;
  }
  return SERVER_FITS;
}

static uint64_t number(const char *info, const char *name) {
  char v[32];
  return info_get(info, name, v, sizeof v) ? strtoull(v, NULL, 10) : 0;
}

/* Servers that do not tell are not bad. */
static bool is(const char *info, const char *name, const char *good) {
  char v[16];
  return !info_get(info, name, v, sizeof v) || !strcmp(v, good);
}

void info_read(const char *info, int64_t db, struct store_server *ret) {
  char name[24], text[64] = "";
  *ret = (struct store_server){.used_memory = number(info, "used_memory"),
                               .max_memory = number(info, "maxmemory"),
                               .ops = number(info, "instantaneous_ops_per_sec"),
                               .clients = number(info, "connected_clients"),
                               .blocked = number(info, "blocked_clients"),
                               .replicas = number(info, "connected_slaves"),
                               .uptime_s = number(info, "uptime_in_seconds"),
                               .saved_ms = 1000 * number(info, "rdb_last_save_time"),
                               .aof = number(info, "aof_enabled") == 1,
                               .aof_good = is(info, "aof_last_write_status", "ok"),
                               .saved_good = is(info, "rdb_last_bgsave_status", "ok"),
                               .primary = is(info, "role", "master"),
                               .link_up = is(info, "master_link_status", "up")};
  ret->valkey = info_get(info, "valkey_version", ret->version, sizeof ret->version);
  if (!ret->valkey) info_get(info, "redis_version", ret->version, sizeof ret->version);
  info_get(info, "maxmemory_policy", ret->policy, sizeof ret->policy);
  info_get(info, "run_id", ret->run, sizeof ret->run);
  snprintf(name, sizeof name, "db%lld", (long long)db);
  if (info_get(info, name, text, sizeof text) && !strncmp(text, "keys=", 5))
    ret->keys = strtoull(text + 5, NULL, 10);
}

void info_told(struct store *s, const char *info) {
  struct store_info *i = &s->info;
  i->denied = !info;
  if (!info) return;
  info_read(info, s->st->db, &i->told);
  i->asked_ms = i->told.at_ms = loop_now_ms(s->loop);
}

static void on_info(struct query *query, enum store_rc rc, struct redis_reply *r, const char *why) {
  struct store *s = query->store;
  (void)why;
  s->info.asking = false;
  if (!rc && r->type == REPLY_STRING) info_told(s, r->str);
  if (rc == STORE_ERROR) s->info.denied = true;
}

const struct store_server *store_server(struct store *s) {
  uint64_t now = loop_now_ms(s->loop);
  struct store_info *i = &s->info;
  bool fresh = i->asked_ms && now - i->asked_ms < STORE_SERVER_MS;
  if (!i->asking && !fresh && !i->denied && s->state == STORE_READY) {
    struct query *query = query_new(s, NULL, NULL, on_info, NULL);
    i->asking = true;
    i->asked_ms = now;
    query->own = true;
    cmd_begin(&s->out);
    cmd_text(&s->out, "INFO");
    query_send(query, SCRIPT_NONE);
  }
  return i->told.at_ms ? &i->told : NULL;
}

bool store_server_settled(const struct store *s) {
  return !s->info.asking;
}
