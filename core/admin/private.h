/* The part that the files of the admin port share: the port and one request on its way.
 *
 * A handler answers before it returns, or it lets the call wait and answers from a callback.
 * Meanwhile the client may go away, or the watchdog may answer. call_answered() tells this. A
 * second answer does nothing, so a callback need not ask. A callback needs data later: this data is
 * copied into the call. Queues and topics are looked up again by name, because a reload may have
 * freed them.
 */
#ifndef PB_CORE_ADMIN_PRIVATE_H
#define PB_CORE_ADMIN_PRIVATE_H

#include "accounts/accounts.h"
#include "admin/admin.h"
#include "admin/http_server.h"
#include "base/json_text.h"
#include "base/log.h"
#include "config/settings.h"
#include "control/letters.h"
#include "dispatch/dispatcher.h"
#include "dispatch/operator.h"
#include "event/loop.h"
#include "intake/intake.h"
#include "metrics/depths.h"
#include "metrics/metrics.h"
#include "registry/registry.h"
#include "storage/store.h"

#include <jansson.h>

#define ADMIN_WAIT_MS     30000      /* a waiting request is answered 504 after this long */
#define ADMIN_GRACE_MS    10000      /* beside a topic's timeout, for ping and test */
#define ADMIN_BODY_MAX    (1u << 20) /* JSON bodies; job contents may be max_job_size */
#define ADMIN_LINES_MAX   (8u << 20) /* at least so much of a file of lines */
#define ADMIN_TOKEN_BYTES 32
#define ADMIN_ARGS_MAX    3 /* names in a path */
#define ADMIN_HOST_SIZE   256

struct buf;
struct call;
struct console;
struct events;
struct exposition;
struct listening;

/* The port itself: server.c makes it, all may look. */
struct admin {
  const struct admin_view *view;
  struct http_server *http;
  struct exposition *exposition;
  struct console *console;
  struct events *events;
  struct listening *tcp, *local; /* NULL: not open */
  struct call *waiting;          /* calls whose callbacks are to come */
  struct timer tick;
  uint64_t body_max;  /* of requests that carry a job's content ... */
  uint64_t lines_max; /* ... or many of them, one a line */
  char host_name[ADMIN_HOST_SIZE];
  char token[2 * ADMIN_TOKEN_BYTES + 1];
};

typedef void (*call_fn)(struct call *c);

enum route_flag {
  ROUTE_PLAIN = 0,
  ROUTE_OPEN = 1 << 0,     /* answers without a login ... */
  ROUTE_PROBE = 1 << 1,    /* ... by whatever name it is asked */
  ROUTE_ASKED = 1 << 2,    /* ... unless [server] metrics_auth */
  ROUTE_CONTENT = 1 << 3,  /* the body is a job's content */
  ROUTE_LOGIN = 1 << 4,    /* an open one that takes a small body, from a page of ours */
  ROUTE_AUDITED = 1 << 5,  /* accounts/ writes its rows of the audit log */
  ROUTE_READS = 1 << 6,    /* changes nothing, whatever its method */
  ROUTE_ADDS = 1 << 7,     /* makes something that the path does not name */
  ROUTE_SECTIONS = 1 << 8, /* its body has sections of the configuration */
  ROUTE_NODE = 1 << 9,     /* ?node= names another node, which answers it */
  ROUTE_LINES = 1 << 11,   /* its body is a file of lines, in pieces of some MB */
  ROUTE_FIRST = 1 << 10    /* also for who has to change the password first */
};

/* What the right of a route is looked at for. */
enum route_on {
  ON_ANY,   /* some system: the handler looks at each thing it shows or changes */
  ON_NONE,  /* what belongs to no system */
  ON_QUEUE, /* the system of the queue that the path names first */
  ON_SELF   /* one's own things: with RIGHT_SELF */
};

struct admin_route {
  enum http_method method; /* HTTP_GET: HEAD too */
  const char *pattern;
  enum right right;
  enum route_on on;
  unsigned flags;
  call_fn fn;
};

/* What the audit log will have of a request. */
struct call_audit {
  json_t *before, *after;
  char object[2 * NAME_LEN_MAX + 32]; /* "": as the path says */
  char claimed[NAME_LEN_MAX + 1];     /* who it would be, had the credentials been good; "" */
  const char *error;                  /* of the answer, while it is given */
  bool written;
};

/* A request that another node sent by a letter: what stands in the place of its HTTP request. */
struct asked_here {
  const char *query, *content;
  size_t content_len;
  /* `text`: JSON. It frees `a`. */
  void (*answer)(struct asked_here *a, int status, const void *text, size_t len);
};

/* One request. It is freed when its last reference goes. The router holds a reference while the
 * handler runs. Each callback that is still to come holds one too. */
struct call {
  struct call *next, **prev; /* on admin->waiting while callbacks are to come */
  struct admin *admin;       /* NULL once the port is gone */
  const struct admin_view *view;
  struct http_request *req; /* NULL once answered, or the client has gone */
  struct asked_here
      *asked_here; /* another node asks, by a letter; NULL: nobody, or it was answered */
  const struct admin_route *route;
  unsigned refs;
  struct identity *identity; /* who asks; NULL: the route is open */
  bool owned;                /* the request has its reference to the call */
  char fields[600];          /* further fields of the answer, each with its line end */
  bool begun;                /* its handler was called */
  bool again;                /* for the second time: call_again() */
  bool bare;                 /* its path has rows, but none of its method */
  char allow[40];            /* the methods of its path */
  const char *below;         /* its path below base_path; its handler's time only */
  struct call_audit audit;
  uint64_t deadline_ms; /* monotonic; of a waiting one */
  char *args[ADMIN_ARGS_MAX];
  char path[2 * NAME_LEN_MAX + 2]; /* "queue/topic" where the route names one */

  /* For handlers that collect several answers into one: the answers so far. */
  json_t *acc;
  size_t pending, next_item;
  int status;
  uint64_t count;
  char why[256];
};

/* --- call.c --- */

struct call *call_new(struct admin *a, struct http_request *req); /* NULL: no memory */
void call_unref(struct call *c);
/* The answer comes later: from now on c holds a reference for the one callback that will end it. */
void call_wait(struct call *c, uint64_t max_ms);
/* The callback has come, and the call goes on: the opposite of call_wait(). */
void call_go_on(struct call *c);
/* The same, and the route's handler has the call again. */
void call_return(struct call *c);
/* The route's handler is called once more, as soon as it is there or after max_ms. False: this is
 * that call. */
bool call_again(struct call *c, bool (*there)(const struct admin_view *v), uint64_t max_ms);
/* A field of the answer that is still to come. */
void call_set_field(struct call *c, const char *name, const char *value);
bool call_answered(const struct call *c);
/* Takes `json` over. */
void call_json(struct call *c, int status, json_t *json);
/* `fields`: header lines in the place of the usual ones. */
void call_fields(struct call *c, int status, const char *type, const char *fields, const void *text,
                 size_t len);
void call_text(struct call *c, int status, const char *type, const void *text, size_t len);
void call_error(struct call *c, int status, const char *fmt, ...) PB_PRINTF(3, 4);
/* An answer in pieces, so that a long one holds up neither the loop nor the memory; see
 * http_answer_stream(). Until done(arg) the call is referenced. */
void call_stream_fields(struct call *c, const char *type, const char *fields, uint64_t length,
                        http_stream_fn fn, void (*done)(void *arg), void *arg);
void call_stream(struct call *c, const char *type, uint64_t length, http_stream_fn fn,
                 void (*done)(void *arg), void *arg);
/* Answers for an error of the storage (any code but STORE_OK). */
void call_store_error(struct call *c, enum store_rc rc, const char *why);
int call_store_status(enum store_rc rc);

/* The handler's own time only: both belong to the request. */
const char *call_body(struct call *c, size_t *ret_len);
/* The body as a JSON object, {} where it is empty; NULL: answered with 400. */
json_t *call_body_json(struct call *c);
/* Copies query parameter `name` to ret; false: not given. */
bool call_query(const struct call *c, const char *name, char *ret, size_t size);
/* Is there a parameter that is none of `names`, which NULL ends? Its name is "" where the query
 * cannot be read. */
bool call_query_stranger(const struct call *c, const char *const *names, char *ret, size_t size);
/* Are there no others than `names`, which NULL ends? False: answered with 400. */
bool call_query_known(struct call *c, const char *const *names);
/* The number of parameter `name`, or `def`; false: answered with 400. */
bool call_query_u64(struct call *c, const char *name, uint64_t def, uint64_t max, uint64_t *ret);

struct names;
/* Adds the names to the list: all of them, or the page that ?limit= and ?cursor= ask for. `all` is
 * put into another order. False: answered with 400. */
bool call_names(struct call *c, struct names *l, const char **all, size_t n);

/* By the path's names; NULL: answered with 404. */
struct queue *call_queue(struct call *c);
struct queue *call_queue_named(struct call *c, const char *name); /* of ?queue= */
struct topic *call_topic(struct call *c);
/* The same, and it has a storage; NULL: answered with 404 or 503. */
struct topic *call_stored_topic(struct call *c);
/* Again, from a callback: NULL when a reload took it away, nothing is answered. */
struct topic *call_topic_again(struct call *c);
/* May who asks do that in `system` ("": what belongs to no system)? False: answered with 403. */
bool call_may(struct call *c, enum right right, const char *system);
/* The same without an answer: for lists, which are cut. */
bool call_sees(const struct call *c, const char *system);
bool call_sees_queue(const struct call *c, const char *queue);
bool call_sees_topic(const struct call *c, const struct topic *t);
/* May who asks see the contents of jobs of the queue that the path names? */
bool call_sees_contents(const struct call *c);
/* What a worker said, as JSON; without that right its outline alone. */
json_t *call_message(const struct call *c, const char *message, size_t len);
/* The name of a queue's system; "": it has none, or there is no such queue. */
const char *admin_system_of(const struct admin_view *v, const char *queue);
/* By the machine of the node: its token, or the unix socket. */
bool call_is_local(const struct call *c);
/* Who asks, for logs and records. */
void call_by(struct call *c, char *ret, size_t size);
/* Answers and forgets the calls that wait for too long (`all`: every waiting call). */
void calls_sweep(struct admin *a, bool all);

/* --- json.c --- */

json_t *json_u64(uint64_t v);
json_t *json_id(uint64_t id); /* ids are strings: 64 bits do not fit a JavaScript number */
/* "content" as text, or as base64 with "encoding" beside it; cut at max bytes with
 * "content_cut". */
void json_set_content(json_t *o, const char *content, size_t len, size_t max);
/* Adds `item`, which it takes over, to a JSON array in `out`. */
void json_list_add(struct buf *out, json_t *item, bool *first);

/* --- session.c --- */

struct call_credentials {
  struct credentials c;
  char *own[4];
};
/* While the head is there. Wiped by call_credentials_done(). */
void call_credentials(struct call *c, struct call_credentials *ret);
void call_credentials_done(struct call_credentials *k);
/* Does a page of ours send it? For changes by what a browser sends by itself. Else it is answered.
 */
bool call_origin_fits(struct call *c);
void admin_get_session(struct call *c);
void admin_post_session(struct call *c);
void admin_post_session_link(struct call *c);
void admin_post_session_password(struct call *c);
void admin_delete_session(struct call *c);

/* --- forms.c --- */

void admin_get_options(struct call *c);
void admin_get_sections(struct call *c);
void admin_get_section(struct call *c);

/* --- shared_config.c, sections.c --- */

void admin_post_section_check(struct call *c);

struct control_result;
struct control_status;
struct control_change;
/* Answers with the members of `o`, which is taken over, and the text with every secret masked;
 * later, by a thread (masked.c). */
enum masked_as {
  MASKED_SHARED,   /* the text is null where it cannot be read */
  MASKED_REVISION, /* `text` is the stored form of a revision, which says who made it */
  MASKED_EXPORT,   /* 500 where it cannot be read */
  MASKED_LINES     /* a JSON object a section; `o` NULL */
};
void masked_answer(struct call *c, enum masked_as as, json_t *o, const void *text, size_t len);
json_t *shared_result_json(const struct control_result *r);
void shared_answer(struct call *c, const struct control_result *r);
void shared_check(struct call *c); /* of a text */
/* How this node stands to the shared configuration: storage, state, why, head, key. */
void shared_state_put(json_t *o, const struct control_status *st);
/* Changes the shared configuration in the name of who asks, judged by the difference. `fn` has to
 * call_unref(). False: answered, `fn` does not come. */
bool shared_change(struct call *c, struct control_change *x,
                   void (*fn)(void *arg, const struct control_result *r), void *arg);
struct section_edit {
  const char *kind, *name;
  json_t *values;      /* key: text, number, boolean, list, or null to leave it out; NULL: remove */
  bool merge;          /* keys that are not named stay as they are */
  bool dry;            /* only says what would be */
  bool fresh, there;   /* 409 where there is one already; 404 where there is none */
  const json_t *base;  /* a number of a revision; NULL: whatever is there */
  const char *comment; /* or NULL */
};
/* Without a base it is tried again where another change came between. `fn` (NULL: shared_answer())
 * gets `c` and has to call_unref(). */
void section_change(struct call *c, const struct section_edit *e,
                    void (*fn)(void *arg, const struct control_result *r));

/* With `base` of the query, where it has one. */
void section_delete(struct call *c, const char *kind, const char *name,
                    void (*fn)(void *arg, const struct control_result *r));

enum section_result { SECTION_ADDED, SECTION_CHANGED, SECTION_REMOVED, SECTION_THERE };
struct section_row {
  const char *kind, *name;
  enum section_result result;
};
/* Answers. `text` is the text of the change: lines of faults are lines of it. */
typedef void (*section_rows_fn)(struct call *c, const struct control_result *r,
                                const struct section_row *rows, size_t n, const char *text);
/* Several at once, in one revision; `asked` may have base, comment and skip_existing. */
void sections_change(struct call *c, const struct section_edit *edits, size_t n,
                     const json_t *asked, bool dry, section_rows_fn told);

/* --- section_rows.c --- */

void admin_post_sections(struct call *c);
void admin_post_config_check(struct call *c);

/* --- node_ask.c --- */

#define FIGURES_ROW 5 /* taken, attempts; accepted, done, failed a second */

/* ?node= names another node: it is asked. False: this node answers. */
bool call_passes(struct call *c);
/* The same, where the first name of the path is the node. */
bool call_passes_named(struct call *c);

/* How other nodes are asked, each by a letter with the names of the path and the query. */
struct gather_how {
  enum letter_kind kind;
  /* Of each that has been heard of; one that lives is asked then. */
  void (*node)(struct call *c, const char *node, bool lives, const json_t *report);
  /* `status` 200: the reply is {status, body}; else `why` is a sentence. */
  void (*told)(struct call *c, const char *node, int status, const json_t *reply, const char *why);
};
/* Then the route's handler has the call again: the hooks have left in c->acc what was told.
 * c->why: nobody could be asked. Nodes that do not answer in time are not waited for. */
void call_gather(struct call *c, const struct gather_how *how);

/* --- access.c --- */

/* Has who asks the right of the route? False: answered with 403. */
bool access_has_right(struct call *c);

/* May the request be carried out, as far as its head tells? False: answered. */
bool access_admits(struct call *c);
/* Without a login: answers with 401. */
void access_refuse(struct call *c);
bool access_is_open(const struct call *c);

/* --- audit.c --- */

/* What the row of a changing request will say, where a handler knows better than path and body.
 * NULL: as it is. Takes both values over; they have no secret. */
void call_audit(struct call *c, const char *object, json_t *before, json_t *after);
void call_audit_done(struct call *c);
/* Its body is there. */
void audit_request(struct call *c, const char *body, size_t len);
/* It has been carried out, with this answer. */
void audit_result(struct call *c, json_t *answer);
/* Writes the row, once. status 0: the client has gone. */
void audit_answer(struct call *c, int status);

/* --- routes.c, hosts.c, token.c --- */

/* What answers requests of the port's server. */
struct http_events admin_events(struct admin *a);
/* Is this the Host of a request that means us? */
bool admin_host_fits(struct admin *a, const char *host);
/* Does [server] hosts have it? */
bool admin_host_is_named(struct admin *a, const char *host);
/* Sets a->token: the one of an earlier run, or a new one. */
int admin_token_get(struct admin *a, struct pb_err *err);
/* Has the request the token of this node? */
bool call_has_node_token(struct call *c);

/* --- counters.c --- */

json_t *counters_queue_json(const struct queue_counters *n);
json_t *counters_topic_json(const struct topic_counters *n);
void counters_topic_write(struct buf *out, const char *name, const struct topic_counters *n);
json_t *counters_client_json(const struct client_counters *n);
void counters_queue_add(struct queue_counters *to, const struct queue_counters *from);
void counters_topic_add(struct topic_counters *to, const struct topic_counters *from);
json_t *json_rate(double v);

/* --- options.c --- */

/* Sets "<member>", the values as JSON, and "<member>_text", as a configuration file has them. */
void options_set_json(json_t *o, const char *member, const struct pb_option *table, size_t stride,
                      const void *conf);

/* --- plugins.c --- */

json_t *plugins_json(const struct admin_view *v);
json_t *plugin_figures_json(const struct pb_transport *d, uint32_t scope, const double *figures);
void plugin_set_health(json_t *o, int health, const char *text);
/* Figures and health of a topic's transport. */
void plugin_set_topic_figures(json_t *o, struct instance *in);
void plugin_write_health(struct buf *out, struct instance *in);

/* --- pools.c --- */

json_t *pools_json(const struct call *c);
/* All of them, to be freed; *ret_n is 0 and NULL is returned without memory. */
struct pool_status *pools_list(const struct admin_view *v, size_t *ret_n);
void admin_get_pools(struct call *c);

/* --- topic_sums.c --- */

/* Of several topics: what this node knows of them. */
struct topic_sums {
  size_t topics, states[TOPIC_STATES];
  size_t known; /* whose depth is known */
  size_t failing, not_open;
  struct store_depth depth; /* sums; of oldest_ms the earliest */
  const struct topic *oldest;
  uint64_t asked_ms; /* the earliest look at a depth; monotonic, 0: none */
  uint64_t taken, attempts;
  double accepted, done, failed;
};
/* `seen` may be NULL. `others`: what other nodes told of the topic (FIGURES_ROW), or NULL. */
void topic_sums_add(struct topic_sums *s, const struct topic *t, const struct seen *seen,
                    const json_t *others);
/* Its workers cannot be used, or its jobs fail. */
bool topic_is_failing(const struct topic *t);
/* Sets states, counts, known, failing, not_open, oldest_ms and rates. */
void topic_sums_put(json_t *o, const struct topic_sums *s);
bool topic_depths_settled(const struct admin_view *v); /* for call_again() */
#define DEPTHS_WAIT_MS 500                             /* for what nobody has looked at yet */
void admin_get_summary(struct call *c);                /* summary.c */
void admin_get_systems(struct call *c);                /* systems.c */

/* --- topics.c --- */

json_t *topic_pause_json(const struct topic *t);
/* As in the list, without what the storage says; the object is left open. `others`: what other
 * nodes told of the topic (FIGURES_ROW), or NULL. */
void topic_write(struct buf *out, const struct topic *t, const json_t *others);
void admin_get_topics(struct call *c);
/* A page by offset: `queue` "" is any. False: answered with 400. */
bool topics_pick(struct call *c, const char *queue, struct names *ret); /* topic_picks.c */
/* True: the order needs what the storages hold, which is awaited; the handler comes again. */
bool topics_await(struct call *c);
void admin_get_figures(struct call *c); /* for other nodes: of topics that have any */
void admin_get_topic(struct call *c);
void admin_get_topic_nodes(struct call *c); /* topic_nodes.c */
void admin_get_topic_here(struct call *c);  /* for other nodes: how this one runs it */

/* --- storages.c, storage_check.c --- */

extern const char *const admin_store_states[]; /* status.c */
/* A storage of another system is not shown. */
bool admin_sees_storage(const struct call *c, const struct storage_settings *set);
const struct storage_settings *admin_storage_of(const struct admin_view *v, const char *name);
json_t *storage_server_json(const struct admin_view *v, const struct store_server *s);
json_t *storage_warnings_json(const struct store_server *s);
void admin_get_storages(struct call *c);
void admin_post_storage_check(struct call *c);

/* --- strays.c --- */

json_t *stray_json(const struct store_stray *s, const char *storage);
void admin_get_stray(struct call *c);
void admin_post_drop(struct call *c);

/* --- acts.c, moves.c --- */

/* Holds the call and begins: 200 when it ends soon, else 202. Sets who asked for it. */
void admin_act_begin(struct call *c, struct store *s, struct store_act *a);
void admin_get_acts(struct call *c);
void admin_get_act(struct call *c);
void admin_post_act_cancel(struct call *c);
void admin_post_act_undo(struct call *c);
void admin_post_move(struct call *c);

/* --- handlers of the files that nobody else needs --- */

void admin_get_console(struct call *c); /* console.c */
void admin_get_openapi(struct call *c); /* openapi.c */

struct events *events_new(const struct admin_view *view); /* events.c; NULL: no memory */
/* Ends all streams as far as that can be done at once: the port goes. NULL is fine. */
void events_end(struct events *e);
void events_free(struct events *e); /* when no stream is left */
void admin_get_events(struct call *c);
void admin_get_metrics(struct call *c); /* exposition.c */

/* Figures of what may be seen: totals, states of topics, and whether the broker is ready. */
json_t *status_figures_json(const struct call *c);
void admin_get_health(struct call *c); /* status.c */
void admin_get_ready(struct call *c);
void admin_get_status(struct call *c);

void admin_get_config(struct call *c); /* config.c */
void admin_post_reload(struct call *c);

void admin_get_shared(struct call *c); /* shared_config.c */
void admin_post_config_apply(struct call *c);
void admin_post_config_import(struct call *c);
/* An import of JSON lines ("jsonl") gets its "text". False: answered with 400. */
bool import_lines(struct call *c, json_t *body);
void admin_post_config_rollback(struct call *c);
void admin_post_config_restore(struct call *c);
void admin_post_cluster_key(struct call *c);

void admin_put_section(struct call *c); /* sections.c */
void admin_delete_section(struct call *c);

void admin_get_revisions(struct call *c); /* revisions.c */
void admin_get_revision(struct call *c);
void admin_get_diff(struct call *c);
void admin_get_export(struct call *c);

json_t *alerts_json(const struct call *c); /* alerts.c: those that may be seen */
void admin_get_alerts(struct call *c);
void admin_post_silence(struct call *c);
void admin_delete_silence(struct call *c);

void admin_get_users(struct call *c); /* users.c */
void admin_post_user(struct call *c);
void admin_put_user(struct call *c);
void admin_delete_user(struct call *c);
void admin_post_user_password(struct call *c);
void admin_get_tokens(struct call *c);
void admin_post_token(struct call *c);
void admin_delete_token(struct call *c);
void admin_get_audit(struct call *c);
void admin_post_link(struct call *c);

void admin_get_cluster(struct call *c); /* cluster.c */
void admin_delete_node(struct call *c);
void admin_post_drain(struct call *c);

void admin_get_problems(struct call *c); /* problems.c */
void admin_get_clients(struct call *c);  /* clients.c */
void admin_delete_client(struct call *c);

void admin_get_nodes(struct call *c);
void admin_get_node_log(struct call *c); /* nodes.c */
void admin_get_queues(struct call *c);   /* queues.c */

void admin_post_job(struct call *c); /* jobs.c */
void admin_get_id(struct call *c);

void admin_post_ping(struct call *c); /* topic_control.c */
void admin_post_test(struct call *c);
void admin_post_pause(struct call *c);
void admin_post_resume(struct call *c);

void admin_get_failed(struct call *c); /* failed_list.c */
void admin_get_failed_groups(struct call *c);
json_t *failed_signature_json(uint64_t signature);
/* What a look found; content_max as of failed_record_json(). */
json_t *failed_found_json(const struct call *c, const struct store_record *r, size_t content_max);
bool failed_order(struct call *c, bool *ret_newest); /* ?order=; false: answered with 400 */
void admin_get_failed_export(struct call *c);        /* failed_export.c */
void admin_post_failed_import(struct call *c);       /* failed_import.c */
/* At most so many of them. */
json_t *failed_groups_json(const struct call *c, const struct store_scanned *r, size_t most);

void admin_get_topic_jobs(struct call *c); /* job_places.c */
void admin_get_job(struct call *c);
void admin_post_job_cancel(struct call *c); /* job_acts.c */
void admin_post_job_replay(struct call *c);

void admin_post_failed_one(struct call *c); /* failed_edit.c */

/* "size" of a job, and "content" of which at most `max` bytes are shown; 0: without it. `len`: so
 * much of the content is at hand. */
void job_set_content(json_t *o, const char *content, size_t len, size_t size, size_t max);
/* content_max 0: without the content. */
json_t *failed_record_json(const struct call *c, const struct store_record *r, size_t content_max);
/* Of a job; false: answered with 400. */
bool failed_id(struct call *c, const char *text, uint64_t *ret);

void admin_get_topic_lines(struct call *c); /* topic_lines.c */

void admin_get_topic_history(struct call *c); /* history.c */
void admin_get_node_history(struct call *c);
void admin_get_history(struct call *c);
void admin_get_signatures(struct call *c);
void admin_post_mark(struct call *c);

void admin_get_errors(struct call *c); /* failed_jobs.c */
void admin_get_retry(struct call *c);
void admin_get_retry_one(struct call *c);
void admin_get_retry_content(struct call *c);
void admin_post_replay(struct call *c); /* failed_acts.c */
void admin_post_purge(struct call *c);

#endif
