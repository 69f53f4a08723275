/* What the files of storage/redis/ share. Nobody else includes this.
 */
#ifndef PB_CORE_STORE_PRIVATE_H
#define PB_CORE_STORE_PRIVATE_H

#include "event/loop.h"
#include "storage/redis/command.h"
#include "storage/redis/link.h"
#include "storage/store.h"
#include "storage/redis/script.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_LAYOUT       1 /* doc/store-layout.md: what to do when this is raised */
#define STORE_CHANNEL      "pb:wake"
#define STORE_KEY_QUEUES   "pb:{@}:queues"
#define STORE_ACT_CONSUMER "act:" /* then its id: an act that moves jobs reads under this name */
#define STORE_KEY_NODES    "pb:{@}:nodes"
#define STORE_KEY_BEATS    "pb:{@}:beats"
#define STORE_KEY_VERSION  "pb:version"
#define STORE_GROUP_HOLD   "@" /* keeps what lies behind it; no topic is called so */
#define STORE_SHA_LEN      40
#define STORE_WORDS        512

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* --- jobs of this node --- */

/* The entries and claims of a topic that are in this node's memory, so that a recovery after a
 * lost reply does not hand them out twice. Keys: (entry ms, entry seq), or (job id, UINT64_MAX)
 * for a claimed retry. */
struct store_held {
  struct held_key {
    uint64_t a, b; /* a 0: free */
  } * slot;
  size_t n, cap; /* cap: a power of two, or 0 */
};
int held_add(struct store_held *h, uint64_t a, uint64_t b); /* 0, -EEXIST, -ENOMEM */
void held_remove(struct store_held *h, uint64_t a, uint64_t b);
bool held_has(const struct store_held *h, uint64_t a, uint64_t b);
void held_done(struct store_held *h);

/* --- the storage --- */

struct store_out; /* one outcome that is not durable yet */
struct store_add_call;
struct store_counting;
struct replicated;
struct redis_server;

struct store {
  struct loop *loop;
  const struct storage_settings *st;
  const struct server_settings *server;
  struct store_events ev;
  char *instance, *subject; /* subject: "storage main", for the log */
  char *client_name, *identity, *address;
  char *lease_key;
  enum store_state state;
  char why[STORE_WORDS], words[STORE_WORDS]; /* words: of the answer being given */
  char forbidden[STORE_WORDS],
      forbidden_told[8][STORE_WORDS]; /* by its ACL: the last, those told */
  uint64_t forbidden_ms;              /* monotonic: of the last */
  char refuses[STORE_WORDS];          /* why it takes no writes though it is ready; or "" */
  uint64_t refused, refuses_said_ms;
  struct {
    char why[STORE_WORDS];
    uint64_t said_ms, more;
  } complaint;                          /* the last one of the server's that a topic met */
  struct redis_link *link, *sub, *sync; /* commands, wake-ups, adds that wait for replicas */
  struct redis_server *managed;         /* NULL: not managed */
  struct redis_command out;
  bool freeing;
  /* Start of a connection. */
  struct timer again; /* hello once more: loading, refused, name held */
  unsigned hello;     /* answers to the hello still to come */
  char sha[SCRIPT_MAX][STORE_SHA_LEN + 1];
  bool warned_aof, warned_info;
  char run[128]; /* the server's run id; where it is not known, a text that names the connection */
  bool run_known;
  uint64_t greeted; /* hellos whose server did not tell its run id */
  bool unversioned; /* it has no pb:version */
  bool look_up;     /* a replica: its address is to be looked up again */
  bool was_ready;
  uint64_t bulk_max;     /* bytes that the server takes in one piece; 0: not known */
  const char *bulk_name; /* of that bound */
  bool bulk_told;        /* the server said it; else it was learnt from a refusal */
  bool twin;             /* refused: another storage is the same database */
  uint64_t since_ms;     /* monotonic: it was made then */
  /* Questions. */
  struct deferred answer_later;
  struct ask *failed, **failed_end; /* not sent; answered at the end of the turn */
  size_t asks;                      /* of callers; the store's own are not counted */
  struct store_add_call *add_pool;
  size_t add_pool_n;
  struct store_add_call *add_failed, **add_failed_end;
  size_t adds, unsettled;
  size_t unsettled_bytes;                    /* that they take here */
  bool sync_opens;                           /* `sync` is being made for the first time ... */
  struct replicated *to_sync, **to_sync_end; /* ... and these wait for that ... */
  size_t to_sync_bytes;                      /* ... at most REDIS_UNSENT_MAX */
  unsigned grouping;                         /* questions on the way that make queues' groups */
  struct replicated *to_wait, **to_wait_end; /* added on `sync`; no WAIT covers them yet */
  struct replicated *waited;                 /* the WAIT on the way covers them */
  uint64_t unknown;
  struct deferred settle_later;
  struct timer settle_timer;
  struct store_topic *dirty; /* have outcomes to send */
  struct store_queue *queues;
  struct store_topic *lingering; /* freed by their owner, with outcomes still to store */
  struct store_flush_wait *flushes;
  struct deferred flush_later;
  /* The node. */
  unsigned shard;
  bool joining, joined; /* asked for the lease; holds it, as far as known */
  uint64_t renewed_ms;  /* monotonic: the last renewal that was answered was sent then */
  bool doubted;         /* jobs wait for the next one */
  bool left;            /* gave it up */
  bool leaves_jobs;     /* a topic was freed with jobs in this node's hands */
  uint64_t id_mark;
  int64_t clock_ahead;     /* of the server before this node's wall clock, in ms */
  uint64_t beats_since_ms; /* the storage's clock of leases: when it began */
  char rival[128];         /* another instance that holds our name */
  int64_t rival_ms;        /* what was left of its lease when last looked at */
  struct timer lease_timer, sweep_timer, wake_timer;
  struct deferred wake_later;
  struct store_queue *waking; /* have a wake-up to publish */
  char data[64];              /* its mark, by the last sweep since READY; another: it was lost */
  unsigned data_marks;        /* made up by this node */
  bool peers;                 /* other nodes live on this storage ... */
  bool counted;               /* ... by a sweep, since the connection is there */
  unsigned sweeps;            /* since READY */
  void (*died)(void *arg, struct store *s, const char *node);
  void *died_arg;
  size_t trim_at;
  uint64_t publish_ms; /* monotonic: not before; it was refused */
  bool probe_refused;  /* the server takes no jobs, by the last look */
  unsigned deaths;     /* how often the others declared this node dead */
  uint64_t late;       /* outcomes that were refused: another node had taken the jobs over */
  struct timer census_timer;
  struct census *census;    /* under way */
  uint64_t census_rest_ms;  /* between two of them while dead nodes have something left */
  uint64_t census_ended_ms; /* monotonic */
  struct store_counting *counting;
  void (*act_found)(void *arg, struct store *s, const char *id);
  void *act_arg;
  uint64_t (*last_id)(void *arg);
  void *last_id_arg;
  char *owner; /* of acts: "node instance" */
  /* Strays. */
  struct timer stray_timer;
  bool strays_due;            /* a walk should begin */
  struct stray_walk *walk;    /* under way */
  struct store_stray *strays; /* what the last walk found */
  size_t n_strays;
  enum store_known (*known)(void *arg, const char *queue, const char *topic);
  void *known_arg;
  struct names *strays_said; /* by the last walk; not told again */
};

struct store_queue {
  struct store *store;
  struct store_queue *next;
  unsigned refs;
  bool freed;                       /* by its owner; only answers on the way still need it */
  const struct queue_settings *set; /* NULL once freed */
  char *name;
  bool retain;
  uint64_t retain_ms;
  char field[JOB_FIELD_MAX];
  char *stream, *delayed, *delayed_jobs, *paused, *counted; /* keys */
  char *xadd; /* the command up to the value's length */
  size_t xadd_len;
  struct store_topic *topics;
  bool marked, marks_sent; /* some of its topics are in another storage; that was noted */
  uint64_t mark_id;        /* since this job */
  /* Groups: what is acknowledged is for every topic of the queue, so it waits for them. */
  char **grouped; /* topics whose groups were there once in the life of this node */
  size_t n_grouped;
  unsigned grouping; /* questions on the way that make them */
  bool ungrouped;    /* the last one failed: nothing is acknowledged */
  char ungrouped_why[160];
  long long groups; /* in the stream, as told last; -1: not known */
  uint64_t
      held_until_ms; /* monotonic: group @ goes then, which keeps all jobs; 0: it is not there */
  bool warned_tidy, warned_token;
  bool trimming;    /* a SCRIPT_STREAM_TRIM is on the way */
  char **uncounted; /* topics whose backlog is to be counted ... */
  size_t uncounted_n;
  struct store_queue *count_next; /* ... and the next queue that has some */
  bool count_listed;
  /* Wake-ups for other nodes. */
  struct store_queue *wake_next;
  bool wake_wanted, wake_soon;
  uint64_t wake_at_ms;  /* monotonic: when it was published last */
  uint64_t noted_at_ms; /* monotonic: when it was noted last for those who do not hear */
};

struct store_topic {
  struct store_queue *q;
  struct store_topic *next;
  unsigned refs;
  bool freed;
  char *name;
  char *subject; /* "queue/topic" */
  bool from_beginning, attached;
  bool paused;          /* as told last */
  uint64_t told_due_ms; /* Unix ms: other nodes know of a retry that is due then */
  uint64_t hold_ms;     /* a claimed retry comes back after this long without word */
  char *retry, *records, *bodies, *dead, *claims, *errors, *mark; /* keys */
  struct store_held held;
  bool recovered; /* the pending jobs of this node's earlier life have been asked for */
  uint64_t recover_ms, recover_seq; /* how far the recovery of this node's own is */
  /* Outcomes. What went well needs no more than the job; the others carry words. */
  struct job_list done, done_sent;
  struct store_out_list {
    struct store_out *head, **tail;
    size_t n;
  } out, out_sent;
  unsigned answers;     /* still to come for what was sent */
  bool sent_again;      /* what was sent had been sent before: some of it may be stored */
  unsigned sent_deaths; /* of the store, when it was sent first */
  bool dirty;           /* on the store's list */
  size_t unsettled, unsettled_bytes;
  struct store_topic *dirty_next;
  struct timer resend;
  /* Jobs whose place in the storage is gone: see store_mend.c. */
  bool mending;
  uint64_t mended;  /* by the pass under way */
  uint64_t surplus; /* records that no pass could put back */
};

void store_topic_unref(struct store_topic *t);
void store_queue_unref(struct store_queue *q);
void store_set_state(struct store *s, enum store_state state, const char *why);

/* --- asking --- */

struct ask;
typedef void (*answer_fn)(struct ask *a, enum store_rc rc, struct redis_reply *r, const char *why);

struct ask {
  struct redis_call call;
  struct ask *next;
  struct store *store;
  struct store_queue *q; /* referenced while on the way; may be NULL */
  struct store_topic *t;
  answer_fn answer; /* called once; the ask is freed after it, unless it was sent again */
  union {
    store_added_fn added;
    store_popped_fn popped;
    store_depth_fn depth;
    store_depths_fn depths;
    store_taken_fn taken;
    store_due_fn due;
    store_moved_fn moved;
    store_done_fn done;
    store_records_fn records;
    store_errors_fn errors;
    store_nodes_fn nodes;
    store_act_fn act;
    store_acts_fn acts;
    store_slice_fn slice;
    store_noted_fn noted;
    store_holds_fn holds;
    store_strays_fn strays;
  } fn;
  void *arg;
  uint64_t n[5];
  void *ptr; /* freed with it */
  bool own;  /* of the store itself: does not count for store_idle() */
  bool sent_again;
  enum store_script script;
  bool reloaded; /* its script was unknown once already */
  char *cmd;     /* of a script: to send it again */
  size_t cmd_len;
  enum store_rc rc; /* in the list of failed ones */
};

/* A question about a topic, a queue or (both NULL) the storage. NULL: no memory. */
struct ask *ask_new(struct store *s, struct store_queue *q, struct store_topic *t, answer_fn answer,
                    void *arg);
/* Begins s->out with EVALSHA and the number of keys. */
void ask_script(struct store *s, enum store_script script, unsigned keys);
/* Sends what s->out holds; the answer always comes, and never at once. */
void ask_send(struct ask *a, enum store_script script);
/* From within `answer`: a second round with what s->out holds. */
void ask_send_again(struct ask *a, enum store_script script);
/* What a reply means; *why is never NULL. STORE_ERROR for any error reply but those that are
 * certain to have done nothing for the time being. */
enum store_rc store_reply_rc(struct store *s, const struct redis_reply *r, const char **why);
void store_answer_failed(struct store *s); /* runs the answers that wait for the end of the turn */
void store_check_idle(struct store *s);

/* Unix ms by the server's clock: what is stored is compared by that one alone, for nodes' clocks
 * differ. `here` and `there` turn a time of one clock into the other's; 0 stays 0. */
uint64_t store_clock_ms(struct store *s);
uint64_t store_time_here(const struct store *s, uint64_t server_ms);
uint64_t store_time_there(const struct store *s, uint64_t node_ms);

uint64_t redis_reply_u64(const struct redis_reply *r); /* an integer, or a text of digits; else 0 */
bool entry_parse(const char *text, uint64_t *ms, uint64_t *seq);

/* --- parts --- */

void store_intake_failed(struct store *s);
void store_intake_go_on(struct store *s);
void store_intake_done(struct store *s);
void store_topic_add(struct store_topic *t, struct job_list *list, const char *entry,
                     struct redis_reply *id, uint64_t failed, uint64_t crashes,
                     struct redis_reply *field, struct redis_reply *body);
/* On READY, before anything else (the scripts have just been loaded), and when the data was lost.
 */
void store_attach_all(struct store *s, bool loaded);
/* The groups of the queue's topics are made where they are missing: something told that one is. */
void store_regroup(struct store_queue *q);
void store_groups_tick(
    struct store *s); /* each sweep: what failed, and what was held long enough */
/* How many groups a script that deletes should find: see parts/forget.lua. */
void store_put_groups(struct store_queue *q);
/* A script's words about what it could not tidy up. */
void store_untidy(struct store_queue *q, const char *said);
void store_settle_all(struct store *s); /* on READY: outcomes whose answer was lost */
void store_settle_start(struct store *s);
void store_settle_init(struct store_topic *t);
void store_settle_abandon(struct store_topic *t); /* the storage is going: forget what is left */
void store_settle_done(struct store_topic *t);    /* outcomes that are left stay in the storage */
void store_settle_odd(struct store_topic *t, uint64_t ms, uint64_t seq, uint64_t id,
                      const char *message);

int store_node_init(struct store *s);
void store_node_done(struct store *s);
void store_join(struct store *s);       /* store_ready() follows, or store_not_joined() */
void store_node_start(struct store *s); /* the timers, on READY */
void store_node_stop(struct store *s);
void store_ready(struct store *s); /* store_redis.c */
/* Whether it takes writes: "" it does, else why not. The first refused one tells, in one line for
 * all topics; the refresh of the lease tells when it takes them again. */
void store_refuses(struct store *s, const char *why); /* store_redis.c */
/* A command was refused for want of a right: told once in the log, and in the status for as long as
 * it goes on. What is not a job's own is asked again after STORE_FORBIDDEN_MS only. */
#define STORE_FORBIDDEN_MS 30000
void store_forbidden(struct store *s, const char *why); /* store_redis.c */
/* The server closes a connection that sends so many bytes in one piece. */
void store_bulk_refused(struct store *s, uint64_t bytes);
void store_elsewhere(struct store *s,
                     const char *why); /* not the server to talk to: connects again */
void store_not_joined(struct store *s, enum store_state state, uint64_t again_ms, const char *why);

uint64_t store_lease_ms(const struct store *s);
/* Puts the question for the registry into s->out; a dead node named `remove` is taken out of it. */
void store_nodes_put(struct store *s, const char *remove);

/* Tells of the dead ones in the registry's answer. True: there are some. */
bool store_nodes_seen(struct store *s, const struct redis_reply *r);
void store_wake_all(struct store *s); /* this node looks at all queues */

/* Consumers of a stream that should go if they have nothing; sent by the hundred. */
struct store_part {
  struct store *store;
  const char *stream;
  size_t n;
  const char *group[100], *consumer[100];
};
void store_part_add(struct store_part *p, const char *group, const char *consumer);
void store_part_send(struct store_part *p);

void store_census_init(struct store *s);
void store_census_done(struct store *s);
void store_census_start(struct store *s); /* on READY */
void store_census_stop(struct store *s);
void store_mend(struct store_topic *t);  /* jobs whose retry set or set of dead ones was deleted */
void store_census_dead(struct store *s); /* the registry has dead nodes: what is left of them? */
/* Notes from when on this node's jobs for the queue's topics elsewhere are there, too. */
void store_move_marks(struct store_queue *q);
int store_act_init(struct store *s);
void store_act_done(struct store *s);
void store_act_look(struct store *s); /* on READY and at each sweep; also sets the clock */

/* Redis does not know what is ahead of the topic's group: counts it, in slices and one group at a
 * time, while everything else goes on. */
void store_count_add(struct store_queue *q, const char *topic);
void store_count_forget(struct store_queue *q);
int store_count_init(struct store *s);
void store_count_stop(struct store *s);
void store_count_done(struct store *s);
/* Deletes what all groups of the queue have settled, or with `retain` what of that is old enough.
 */
void store_trim(struct store_queue *q);
#define STORE_TRIM_MORE 5000 /* so many entries went at once: there may be more */

int store_stray_init(struct store *s);
void store_stray_done(struct store *s);
void store_stray_ready(struct store *s);  /* on READY */
void store_stray_wanted(struct store *s); /* topics or queues went */

/* Other nodes should look at the queue; soon: within milliseconds, else within a second. */
void store_wake_peers(struct store_queue *q, bool soon);
/* A retry is there, due at due_ms. */
void store_tell_due(struct store_topic *t, uint64_t due_ms);
void store_wake_forget(struct store_queue *q);
void store_heard(struct store *s, const char *text, size_t len);
void store_subscribed(struct store *s);

#endif
