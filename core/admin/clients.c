/* Owns what is shown of the connections of producers and pull workers, and their end by an
 * operator.
 *
 * Must never happen: a connection of a queue of another system in a list; the password or the
 * commands of a connection in an answer.
 */
#include "admin/private.h"

#include "intake/client.h"
#include "intake/listener.h"

#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 100
#define LIST_MAX     1000

static const char *const list_query[] = {"limit", "cursor", "node", NULL};

struct list {
  struct call *c;
  json_t *clients;
  uint64_t limit, total, last;
  bool more; /* than this page has */
};

static bool sees_client(const struct call *c, const struct client_seen *seen) {
  char queue[NAME_LEN_MAX + 1];
  if (!seen->shown) return call_sees(c, "");
  snprintf(queue, sizeof queue, "%.*s", (int)strcspn(seen->shown, "/"), seen->shown);
  return call_sees_queue(c, queue);
}

static json_t *client_json(const struct client_seen *seen, uint64_t wall_ms) {
  json_t *o = json_object();
  json_object_set_new(o, "id", json_u64(seen->id));
  json_object_set_new(o, "address", json_cstr(seen->address));
  json_object_set_new(o, "queue", json_cstr(seen->shown));
  json_object_set_new(o, "name", json_cstr(seen->name));
  json_object_set_new(o, "since_ms", json_u64(wall_ms - seen->age_ms));
  json_object_set_new(o, "idle_ms", json_u64(seen->idle_ms));
  json_object_set_new(o, "commands", json_u64(seen->commands));
  json_object_set_new(o, "in_flight", json_u64(seen->in_flight));
  json_object_set_new(o, "out_bytes", json_u64(seen->out_bytes));
  json_object_set_new(o, "closing", json_boolean(seen->closing));
  return o;
}

static bool on_client(void *arg, const struct client_seen *seen) {
  struct list *l = arg;
  if (!sees_client(l->c, seen)) return true;
  l->more = json_array_size(l->clients) == l->limit;
  if (l->more) return false;
  json_array_append_new(l->clients, client_json(seen, loop_wall_ms(l->c->view->loop)));
  l->last = seen->id;
  return true;
}

/* The total needs all of them. */
static bool on_counted(void *arg, const struct client_seen *seen) {
  struct list *l = arg;
  l->total += sees_client(l->c, seen);
  return true;
}

void admin_get_clients(struct call *c) {
  struct clients *all = listener_connections(c->view->listener);
  struct list l = {.c = c};
  uint64_t after;
  if (!call_query_known(c, list_query) ||
      !call_query_u64(c, "limit", LIST_DEFAULT, LIST_MAX, &l.limit) ||
      !call_query_u64(c, "cursor", 0, INT64_MAX, &after))
    return;
  l.clients = json_array();
  if (clients_each(all, after, on_client, &l) || clients_each(all, 0, on_counted, &l)) {
    json_decref(l.clients);
    call_error(c, 500, "out of memory");
    return;
  }
  char cursor[24];
  snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)l.last);
  json_t *o = json_object();
  json_object_set_new(o, "node", json_cstr(c->view->settings->server.node));
  json_object_set_new(o, "clients", l.clients);
  json_object_set_new(o, "cursor", l.more ? json_string(cursor) : json_null());
  json_object_set_new(o, "total", json_u64(l.total));
  json_object_set_new(o, "exact", json_true());
  call_json(c, 200, o);
}

void admin_delete_client(struct call *c) {
  char by[STORE_ACT_TEXT_MAX], why[STORE_ACT_TEXT_MAX + 32], *end;
  static const char *const known[] = {"node", NULL};
  unsigned long long id = strtoull(c->args[0], &end, 10);
  if (!call_query_known(c, known)) return;
  call_by(c, by, sizeof by);
  snprintf(why, sizeof why, "%s ended the connection", by);
  if (c->args[0][0] < '0' || c->args[0][0] > '9' || *end ||
      !clients_kill(listener_connections(c->view->listener), id, why)) {
    call_error(c, 404, "there is no client \"%.60s\" on node %s", c->args[0],
               c->view->settings->server.node);
    return;
  }
  json_t *o = json_object();
  json_object_set_new(o, "id", json_u64(id));
  json_object_set_new(o, "killed", json_true());
  call_json(c, 200, o);
}
