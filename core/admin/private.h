/* What the files of the admin port share: the port itself and one request on its way.
 *
 * A handler answers before it returns, or holds the call and answers from a callback. The client
 * may go away and the watchdog may answer in between: call_answered() tells, and answering again
 * does nothing, so callbacks need not ask. What a callback needs later is copied into the call:
 * queues and topics are looked up anew by name, since a reload may have freed them.
 */
#ifndef PB_CORE_ADMIN_INTERNAL_H
#define PB_CORE_ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "daemon/broker.h"
#include "admin/http_server.h"
#include "base/log.h"
#include "event/loop.h"
#include "storage/store.h"

#include <jansson.h>

#define ADMIN_HOLD_MS     30000      /* a held request is answered 504 after this long */
#define ADMIN_GRACE_MS    10000      /* beside a topic's timeout, for ping and test */
#define ADMIN_BODY_MAX    (1u << 20) /* JSON bodies; job contents may be max_job_size */
#define ADMIN_TOKEN_BYTES 32
#define ADMIN_ARGS_MAX    3 /* names in a path */

struct admin;
struct admin_route;
struct call;

/* One request. Freed when the last of its references goes: the router's while the handler runs,
 * and one for each callback that is still to come. */
struct call {
  struct call *next, **prev; /* on admin->held while callbacks are to come */
  struct admin *admin;       /* NULL once the port is gone */
  struct broker *b;
  struct http_request *req; /* NULL once answered, or the client has gone */
  const struct admin_route *route;
  unsigned refs;
  bool begun;           /* its handler was called */
  uint64_t deadline_ms; /* monotonic; of a held one */
  char *args[ADMIN_ARGS_MAX];
  char path[2 * NAME_LEN_MAX + 2]; /* "queue/topic" where the route names one */

  /* For handlers that gather several answers into one: what they have so far. */
  json_t *acc;
  size_t pending, next_item;
  int status;
  uint64_t count;
  char why[256];
};

typedef void (*call_fn)(struct call *c);

/* --- admin_http.c --- */

/* What answers requests of the port's server. */
struct http_events admin_events(struct admin *a);
struct broker *admin_broker(struct admin *a);
const char *admin_token(struct admin *a);
uint64_t admin_body_max(struct admin *a); /* of requests that carry a job's content */
/* Is this the Host of a request that means us? Else a page of somebody else's may be asking, by a
 * name that it has made to lead here. */
bool admin_host_fits(struct admin *a, const char *host);
struct http_counters admin_counters(const struct admin *a);
struct exposition *admin_exposition(struct admin *a);
struct call **admin_held(struct admin *a);
/* Answers what is held for too long (`all`: everything that is held) and forgets it. */
void admin_sweep(struct admin *a, bool all);

struct call *call_ref(struct call *c);
void call_unref(struct call *c);
/* The answer comes later: from now on c holds a reference for the one callback that will end it. */
void call_hold(struct call *c, uint64_t max_ms);
bool call_answered(const struct call *c);
/* Takes `json` over. */
void call_json(struct call *c, int status, json_t *json);
void call_text(struct call *c, int status, const char *type, const void *text, size_t len);
void call_error(struct call *c, int status, const char *fmt, ...) PB_PRINTF(3, 4);
/* An answer in pieces, so that a long one holds up neither the loop nor the memory; see
 * http_answer_stream(). Until done(arg) the call is referenced. */
void call_stream(struct call *c, const char *type, uint64_t length, http_stream_fn fn,
                 void (*done)(void *arg), void *arg);
/* What a store said other than STORE_OK. */
void call_store_error(struct call *c, enum store_rc rc, const char *why);
int call_store_status(enum store_rc rc);

/* The handler's own time only: both belong to the request. */
const char *call_body(struct call *c, size_t *ret_len);
/* The body as a JSON object, {} where it is empty; NULL: answered with 400. */
json_t *call_body_json(struct call *c);
/* Copies query parameter `name` to ret; false: not given. */
bool call_query(struct call *c, const char *name, char *ret, size_t size);
/* The number of parameter `name`, or `def`; false: answered with 400. */
bool call_query_u64(struct call *c, const char *name, uint64_t def, uint64_t max, uint64_t *ret);

/* By the path's names; NULL: answered with 404. */
struct queue *call_queue(struct call *c);
struct queue *call_queue_named(struct call *c, const char *name); /* of ?queue= */
struct topic *call_topic(struct call *c);
/* The same, and it has a storage; NULL: answered with 404 or 503. */
struct topic *call_stored_topic(struct call *c);
/* Again, from a callback: NULL when a reload took it away, nothing is answered. */
struct topic *call_topic_again(struct call *c);

/* --- JSON --- */

/* Text that is not valid UTF-8 has its bad bytes replaced. Never NULL but without memory. */
json_t *json_text(const void *text, size_t len);
json_t *json_cstr(const char *text); /* NULL: null */
json_t *json_u64(uint64_t v);
json_t *json_id(uint64_t id); /* ids are strings: 64 bits do not fit a JavaScript number */
/* "content" as text, or as base64 with "encoding" beside it; cut at max bytes with
 * "content_cut". */
void json_set_content(json_t *o, const char *content, size_t len, size_t max);

/* --- handlers: admin_status.c --- */
void admin_get_health(struct call *c);
void admin_get_ready(struct call *c);
void admin_get_status(struct call *c);
json_t *admin_queue_json(const struct queue *q);
json_t *admin_topic_json(const struct topic *t);
/* What the storage says of one topic; over all nodes. */
void admin_set_depth(json_t *o, enum store_rc rc, const struct store_depth *d, const char *why);
void admin_get_topic(struct call *c);
void admin_get_nodes(struct call *c);
/* A transport's own options by their table; secrets masked. */
/* Sets "<member>", the values as JSON, and "<member>_text", as a configuration file has them. */
void admin_set_options(json_t *o, const char *member, const struct pb_option *table, size_t stride,
                       const void *conf);

/* --- admin_lists.c --- */
void admin_get_queues(struct call *c);
void admin_get_topics(struct call *c);
void admin_get_config(struct call *c);

/* --- admin_plugins.c --- */
void admin_get_pools(struct call *c);
json_t *admin_pools_json(struct broker *b);
json_t *admin_plugins_json(struct broker *b);
/* Health and figures of a topic's transport, set in `o`. */
void admin_set_figures(json_t *o, struct instance *in);
void admin_set_health(json_t *o, struct instance *in);
/* Pieces of /metrics; the cursor is zeroed at first. True: that was the last. topics: a line for
 * each topic and its own pool, else sums. */
struct metrics_cursor {
  size_t plugin, metric, at;
  double sum;
  bool headed;
};
void admin_pool_metrics(struct broker *b, bool topics, struct buf *out);
bool admin_plugin_metrics(struct broker *b, bool topics, struct metrics_cursor *at,
                          struct buf *out);

void admin_port_metrics(struct broker *b, struct buf *out);

/* --- exposition.c --- */
void admin_get_metrics(struct call *c);

/* --- admin_topics.c --- */
void admin_post_ping(struct call *c);
void admin_post_test(struct call *c);
void admin_post_pause(struct call *c);
void admin_post_resume(struct call *c);
void admin_get_errors(struct call *c);
void admin_get_retry(struct call *c);
void admin_get_retry_one(struct call *c);
void admin_post_replay(struct call *c);
void admin_post_purge(struct call *c);

/* --- admin_acts.c --- */
void admin_get_acts(struct call *c);
void admin_get_act(struct call *c);
void admin_post_act_cancel(struct call *c);
/* Holds the call and begins: 200 when it ends soon, else 202. Sets who asked for it. */
void admin_act_begin(struct call *c, struct store *s, struct store_act *a);
json_t *act_json(const struct store_act *a, const char *storage);
/* Who asks, for logs and records. */
void admin_by(struct call *c, char *ret, size_t size);

/* --- admin_jobs.c --- */
void admin_post_job(struct call *c);
void admin_get_stray(struct call *c);
json_t *stray_json(const struct store_stray *s, const char *storage);
void admin_post_move(struct call *c);
void admin_post_drop(struct call *c);
void admin_get_id(struct call *c);
void admin_post_reload(struct call *c);

#endif
