/* Owns how storages are shown: what they are, what their servers tell, what uses them.
 *
 * Must never happen: a page that waits for a slow Redis; a storage of another system.
 */
#include "admin/private.h"

#include <stdlib.h>
#include <string.h>

#define SERVER_WAIT_MS  300 /* for a server that was not asked yet */
#define NEARLY_FULL     0.9
#define PERSISTENCE_AOF "aof"
#define PERSISTENCE_RDB "rdb"

static json_t *some(uint64_t v) {
  return v ? json_u64(v) : json_null();
}

json_t *storage_server_json(const struct admin_view *v, const struct store_server *s) {
  uint64_t now = loop_now_ms(v->loop);
  if (!s) return json_null();
  json_t *o = json_object();
  json_object_set_new(o, "kind", json_string(s->valkey ? "valkey" : "redis"));
  json_object_set_new(o, "version", json_cstr(s->version));
  json_object_set_new(o, "used_memory", json_u64(s->used_memory));
  json_object_set_new(o, "max_memory", json_u64(s->max_memory));
  json_object_set_new(o, "policy", json_cstr(s->policy));
  json_object_set_new(o, "ops_per_s", json_u64(s->ops));
  json_object_set_new(o, "clients", json_u64(s->clients));
  json_object_set_new(o, "blocked", json_u64(s->blocked));
  json_object_set_new(o, "persistence", json_string(s->aof ? PERSISTENCE_AOF : PERSISTENCE_RDB));
  json_object_set_new(o, "aof", json_boolean(s->aof));
  json_object_set_new(o, "aof_last_ok", json_boolean(s->aof_good));
  json_object_set_new(o, "rdb_last_ok", json_boolean(s->saved_good));
  json_object_set_new(o, "rdb_saved_ms", some(s->saved_ms));
  json_object_set_new(o, "role", json_string(s->primary ? "primary" : "replica"));
  json_object_set_new(o, "replicas", json_u64(s->replicas));
  json_object_set_new(o, "link_up", json_boolean(s->link_up));
  json_object_set_new(o, "uptime_s", json_u64(s->uptime_s));
  json_object_set_new(o, "keys", json_u64(s->keys));
  json_object_set_new(o, "asked_ms", json_u64(loop_wall_ms(v->loop) - (now - s->at_ms)));
  return o;
}

static void add(json_t *list, const char *text) {
  json_array_append_new(list, json_cstr(text));
}

json_t *storage_warnings_json(const struct store_server *s) {
  json_t *list = json_array();
  char text[200];
  if (s && !s->aof)
    add(list,
        "It keeps no append-only file: jobs accepted since its last snapshot are lost when it "
        "dies. Set `appendonly yes` in redis.conf.");
  if (s && !s->aof_good)
    add(list, "Its last write to the append-only file failed. See the log of the server.");
  if (s && !s->saved_good) add(list, "Its last snapshot failed. See the log of the server.");
  if (s && !s->max_memory)
    add(list, "It has no limit of memory (`maxmemory`): when the machine has none left, the server "
              "is killed.");
  if (s && s->max_memory && (double)s->used_memory >= NEARLY_FULL * (double)s->max_memory) {
    snprintf(text, sizeof text,
             "Its memory is nearly full: %llu of %llu bytes. When it is full, it takes no jobs.",
             (unsigned long long)s->used_memory, (unsigned long long)s->max_memory);
    add(list, text);
  }
  return list;
}

/* Why it takes no jobs. */
static json_t *refuses_json(const struct store *s, const struct storage_settings *set) {
  json_t *list = json_array();
  if (set && set->broken)
    add(list, set->broken);
  else if (store_state(s) != STORE_READY && *store_why(s))
    add(list, store_why(s));
  else if (store_state(s) != STORE_READY)
    add(list, "it is not connected yet");
  else if (*store_no_writes(s))
    add(list, store_no_writes(s));
  return list;
}

static void put_users(json_t *o, const struct settings *set, const char *name) {
  const struct queue_settings *last = NULL;
  size_t topics = 0, queues = 0;
  for (size_t i = 0; i < set->n_queues; i++) {
    const struct queue_settings *q = set->queues[i];
    for (size_t k = 0; k < q->n_topics; k++) {
      if (!q->topics[k]->storage || strcmp(q->topics[k]->storage->name, name) != 0) continue;
      topics++;
      queues += q != last;
      last = q;
    }
  }
  json_object_set_new(o, "queues", json_u64(queues));
  json_object_set_new(o, "topics", json_u64(topics));
}

static json_t *storage_json(const struct admin_view *v, struct store *s,
                            const struct storage_settings *set) {
  const struct store_server *server = store_server(s);
  struct store_stats st = {0};
  json_t *o = json_object();
  store_stats(s, &st);
  json_object_set_new(o, "name", json_cstr(store_name(s)));
  json_object_set_new(o, "system", json_cstr(set && set->system ? set->system->name : NULL));
  json_object_set_new(o, "title", json_cstr(set && set->title ? set->title : ""));
  json_object_set_new(o, "comment", json_cstr(set && set->comment ? set->comment : ""));
  json_object_set_new(o, "place", json_string(set && set->shared ? "shared" : "local"));
  json_object_set_new(o, "state", json_string(admin_store_states[store_state(s)]));
  json_object_set_new(o, "why", json_cstr(store_why(s)));
  json_object_set_new(o, "address", json_cstr(set ? set->address : ""));
  json_object_set_new(o, "db", json_integer(set ? set->db : 0));
  json_object_set_new(o, "managed", json_boolean(set && set->managed));
  json_object_set_new(o, "rtt_us", json_u64(st.rtt_us));
  json_object_set_new(o, "reconnects", json_u64(st.reconnects));
  json_object_set_new(o, "in_flight", json_u64(st.in_flight));
  put_users(o, v->settings, store_name(s));
  json_object_set_new(o, "server", storage_server_json(v, server));
  json_object_set_new(o, "refuses", refuses_json(s, set));
  json_object_set_new(o, "warnings", storage_warnings_json(server));
  return o;
}

static bool settled(const struct admin_view *v) {
  size_t n;
  struct store *const *stores = registry_stores(v->registry, &n);
  for (size_t i = 0; i < n; i++)
    if (!store_server_settled(stores[i])) return false;
  return true;
}

void admin_get_storages(struct call *c) {
  size_t n;
  struct store *const *stores = registry_stores(c->view->registry, &n);
  for (size_t i = 0; i < n; i++) (void)store_server(stores[i]);
  if (call_again(c, settled, SERVER_WAIT_MS)) return;
  json_t *o = json_object(), *list = json_array();
  for (size_t i = 0; i < n; i++) {
    const struct storage_settings *set = admin_storage_of(c->view, store_name(stores[i]));
    if (admin_sees_storage(c, set))
      json_array_append_new(list, storage_json(c->view, stores[i], set));
  }
  json_object_set_new(o, "storages", list);
  call_json(c, 200, o);
}
