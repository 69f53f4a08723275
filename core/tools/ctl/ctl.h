/* pepperbusctl: what its files share.
 *
 * A verb is a row of the table in main.c and a function that asks the API once or a few times,
 * prints and returns the exit code. Results go to standard output, everything else to standard
 * error.
 */
#ifndef PB_CTL_H
#define PB_CTL_H

#include <jansson.h>
#include <pepperbus/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_exit {
  CTL_OK = 0,
  CTL_NO = 1,          /* understood, and the answer is no: not 200, refused, not ready */
  CTL_USAGE = 2,       /* arguments or configuration */
  CTL_UNREACHABLE = 3, /* no broker there, or it did not answer */
  CTL_NOT_FOUND = 4,   /* no such queue, topic, job */
  CTL_AUTH = 5         /* no token, or not the right one */
};

/* The command line. Texts belong to argv. */
struct ctl_args {
  const char *config, *host, *token_file, *context, *ca_file;
  const char *id, *count, *set, *offset, *delay, *queue, *system;
  const char *reason, *from, *to;
  const char *base, *comment, *format, *since, *until, *who, *limit, *sort, *lines, *step;
  const char *topic, *max_age, *max_dead, *max_failed, *node;
  const char *match, *body, *code, *signature, *attempts, *rate, *content, *state;
  const char *role, *systems, *contents, *entries, *expires;
  bool json, all, yes, user, generate, help, version, follow, with_users, off, group, dry_run, now;
  bool no_content, dead, first_password;
  const char *rest[4]; /* behind the verb */
  size_t n_rest;
};

struct api;

struct ctl {
  struct ctl_args args;
  const char *verb; /* "topic ping", for messages */
  struct api *api;  /* made at the first question */
  bool color;       /* standard output is a terminal that wants it */
  bool tty;
};

typedef int (*verb_fn)(struct ctl *x);

/* --- target.c: which broker, and the token for it --- */

#define TOKEN_MAX 512

struct target {
  char *url;     /* "http://127.0.0.1:19840", "https://bus.example.com/base"; no "/" at its end */
  char *sock;    /* unix socket, or NULL */
  char *ca_file; /* https: who may have signed the certificate; NULL: as the system says */
  char *people;  /* how messages call it */
  bool or_port;  /* without the socket the URL is the broker's, too */
  bool local;    /* the broker of a configuration file */
  bool named;    /* by a context */
  char token[TOKEN_MAX];
};

/* Options, then --context, then the environment, then the local broker. CTL_OK, or the exit code
 * after the reason was printed. */
int target_find(struct ctl *x, struct target *ret);
/* Only where: `address` is HOST:PORT, a URL or unix:/path. */
int target_of(struct ctl *x, const char *address, struct target *ret);
/* The first line of a file. `own`: it must belong to us and be closed to others. */
int token_from_file(const char *path, bool own, char ret[TOKEN_MAX]);
void target_done(struct target *p); /* wipes the token */
/* The configuration file that is used: -c, or the compiled-in default. */
const char *config_file(const struct ctl *x);

/* --- context.c: ~/.config/pepperbus/ctl.ini --- */

struct context {
  char *url, *token_file, *ca_file; /* the last may be NULL */
};

/* CTL_OK with *ret, or the exit code after the reason was printed. */
int context_find(const char *name, struct context *ret);
/* Writes the section, and the token into `NAME.token` beside the file. */
int context_store(const char *name, const char *url, const char *ca_file, const char *token);
/* Takes the section out, and its token file if context_store() made it. */
int context_forget(const char *name);
void context_done(struct context *c);
bool context_name_is_sound(const char *name);

/* --- api.c: one question to the broker --- */

struct request {
  const char *method, *path; /* path: see path_*() below */
  const void *body;          /* may be NULL */
  size_t body_len;
  bool patient;       /* as long as it takes: the broker knows the topic's timeout */
  bool json;          /* the body is JSON; else bytes */
  const char *cookie; /* of a session, instead of the token */
  bool no_token;      /* the login */
  /* Takes the data of a good answer as they come; they are in no struct answer then. False: no
   * more of them. Such an answer takes as long as something comes. */
  bool (*sink)(void *arg, const char *data, size_t len);
  void *sink_arg;
};

struct answer {
  long status; /* of HTTP */
  char *data;
  size_t len;
  json_t *json; /* NULL: it is none */
  char *cookie; /* "name=value" of Set-Cookie; NULL: none */
};

/* CTL_OK with an answer of any status, to be freed by answer_done(); or the exit code after the
 * reason was printed. */
int api_call(struct ctl *x, const struct request *r, struct answer *ret);
void answer_done(struct answer *a);
/* Prints why the broker refused; the exit code. With --json the answer is printed as it came. */
int api_refused(struct ctl *x, struct answer *a);
/* CTL_OK with *ret (the caller frees it), or the exit code after the reason was printed. With
 * --json an error answer of the broker is printed as it came. */
int api_ask(struct ctl *x, const struct request *r, json_t **ret);
int api_get(struct ctl *x, const char *path, json_t **ret);
/* `body` may be NULL; it is taken over. */
int api_post(struct ctl *x, const char *path, json_t *body, json_t **ret);
int api_send(struct ctl *x, const char *method, const char *path, json_t *body, json_t **ret);
/* As api_call(), for any method. `body` is taken over and wiped. */
int api_send_any(struct ctl *x, const char *method, const char *path, json_t *body,
                 struct answer *ret);
/* The same with a session instead of the token, or (cookie NULL) with neither. */
int api_send_session(struct ctl *x, const char *method, const char *path, json_t *body,
                     const char *cookie, struct answer *ret);
/* Later requests go to this broker. `p` is taken over. */
void api_use(struct ctl *x, struct target *p);
/* The broker that requests go to. Sends nothing. NULL: the fault was printed. */
const struct target *api_target(struct ctl *x);
void api_free(struct api *a);

/* --- password.c --- */

#define PASSWORD_MAX 512

/* On a terminal without echo, else the next line of standard input. False: the fault was printed.
 */
bool password_ask(const char *text, char ret[PASSWORD_MAX + 1], size_t *ret_len);
/* Twice on a terminal. */
bool password_ask_new(char ret[PASSWORD_MAX + 1], size_t *ret_len);
bool password_generate(char ret[PASSWORD_MAX + 1], size_t *ret_len);
/* For a text that is no secret: with echo. False: the fault was printed. */
bool line_ask(const char *text, char *ret, size_t size);
bool yes_ask(const char *question); /* on a terminal */
/* Before something is deleted. Asks on a terminal; elsewhere --yes must have been given. CTL_OK:
 * yes. */
int confirm(struct ctl *x, const char *what);

/* "/api/v1/topics/<queue>/<topic><tail>" of args.rest[0], percent-encoded; malloc'd. NULL: told,
 * it is not of the form queue/topic. */
char *path_topic(struct ctl *x, const char *tail);
char *path_queue(const char *queue, const char *tail);
/* "/api/v1/<noun>/<name><tail>" */
char *path_named(const char *noun, const char *name, const char *tail);
/* Adds "?name=value" or "&name=value"; frees the old text and returns the new one. value NULL:
 * nothing is added. */
char *path_query(char *path, const char *name, const char *value);

/* --- text.c: values for people --- */

void ctl_error(const char *fmt, ...) PB_PRINTF(1, 2);
/* Prints as JSON and frees. Returns `code`. */
int print_json(json_t *o, int code);
/* Each writes to a buffer of TEXT_MAX and returns it. */
#define TEXT_MAX 64
const char *text_count(uint64_t n, char *ret);                 /* 1,234,567 */
const char *text_many(uint64_t n, const char *one, char *ret); /* "1 job", "1,234 jobs" */
const char *text_rate(double per_second, char *ret);           /* 12.3/s */
const char *text_bytes(uint64_t n, char *ret);                 /* 1.2 MB */
const char *text_duration(uint64_t ms, char *ret);             /* 250 ms, 1.5 s, 3m 4s, 2d 5h */
const char *text_time(uint64_t unix_ms, char *ret);            /* local time */
const char *text_when(uint64_t unix_ms, char *ret); /* 18:00:05 of today, 11-29 18:00 before */
/* "90s", "2h", "30d" as milliseconds. False: it is none. */
bool duration_read(const char *text, uint64_t *ret_ms);
/* "2h": so long ago; "2026-11-30", "2026-11-30 18:00", "2026-11-30T18:00:05": local time. False:
 * told. */
bool moment_read(const char *text, const char *option, uint64_t *ret_ms);
uint64_t wall_ms(void);
uint64_t mono_ms(void);
/* Members of `o` by path "counts.ready"; 0, "" and false where they are missing. */
json_t *get(json_t *o, const char *path);
uint64_t get_u64(json_t *o, const char *path);
double get_real(json_t *o, const char *path);
const char *get_text(json_t *o, const char *path);
bool get_bool(json_t *o, const char *path);
/* Foreign text (a worker's message) must not move the cursor or colour the terminal: control
 * characters become blanks, `multi` keeps line breaks. malloc'd. */
char *text_plain(const char *text, bool multi);
/* Columns of a screen that the text has; and of its beginning that fits into `max` columns, with
 * the bytes of that. */
size_t text_width(const char *text);
size_t text_cut(const char *text, size_t max, size_t *ret_len);
void text_print(const char *text, FILE *out); /* plain, with its line ends */
void json_plain(json_t *o);
/* A value on one line, spelt as in a configuration file: lists with commas, yes and no. malloc'd.
 */
char *text_value(json_t *value);

enum color { PLAIN, GREEN, YELLOW, RED, BOLD, DIM };
/* The escape sequence, or "" where colours are off. */
const char *color_on(const struct ctl *x, enum color c);
const char *color_off(const struct ctl *x, enum color c);
enum color state_color(const char *state); /* of topics and storages */

/* --- table.c: aligned columns --- */

struct column {
  const char *title;
  bool right; /* numbers */
};

struct table;
struct table *table_new(const struct ctl *x, const struct column *columns, size_t n);
/* The next cell, row by row. Copied and made plain. */
void table_add(struct table *t, enum color c, const char *text);
void table_addf(struct table *t, enum color c, const char *fmt, ...) PB_PRINTF(3, 4);
/* Right-aligned number, coloured where it is not 0. */
void table_count(struct table *t, enum color c, uint64_t n);
/* Prints and frees the table. If the last column does not fit into a screen of `width` columns (0:
 * no limit), its rest stands in lines below the row. With `max_rows` (0: all) the table is cut. */
void table_print(struct table *t, FILE *out, size_t width, size_t max_rows);
void table_free(struct table *t);
size_t terminal_width(void); /* 0: standard output is no terminal */

/* --- verbs --- */

int verb_status(struct ctl *x);
int verb_topic_history(struct ctl *x);
int verb_mark(struct ctl *x);
int verb_queue_ls(struct ctl *x);
int verb_pool_ls(struct ctl *x);
int verb_pool_show(struct ctl *x);
int verb_node_ls(struct ctl *x);
int verb_plugin_ls(struct ctl *x);
int verb_topic_ls(struct ctl *x);
int verb_topic_show(struct ctl *x);
int verb_topic_ping(struct ctl *x);
int verb_topic_test(struct ctl *x);
int verb_topic_pause(struct ctl *x);
int verb_topic_resume(struct ctl *x);
int verb_topic_errors(struct ctl *x);
int verb_topic_failed(struct ctl *x);
int verb_topic_replay(struct ctl *x);
int verb_topic_purge(struct ctl *x);
int verb_topic_export(struct ctl *x); /* failed_files.c */
int verb_topic_import(struct ctl *x);
int verb_topic_stray(struct ctl *x);
int verb_topic_drop(struct ctl *x);
int verb_topic_move(struct ctl *x);
int verb_topic_rename(struct ctl *x);
int verb_act_ls(struct ctl *x);
int verb_act_show(struct ctl *x);
int verb_act_cancel(struct ctl *x);
int verb_act_undo(struct ctl *x);
int verb_job_add(struct ctl *x);
int verb_id(struct ctl *x);
int verb_alert_ls(struct ctl *x); /* alerts.c */
int verb_alert_silence(struct ctl *x);
int verb_alert_unsilence(struct ctl *x);
int verb_config_check(struct ctl *x);
int verb_config_show(struct ctl *x);
int verb_config_reload(struct ctl *x);
int verb_config_shared(struct ctl *x);
int verb_config_diff(struct ctl *x);
int verb_config_apply(struct ctl *x);
int verb_config_history(struct ctl *x);
int verb_config_rollback(struct ctl *x);
int verb_config_export(struct ctl *x);
int verb_config_import(struct ctl *x);
int verb_config_restore(struct ctl *x);
int verb_user_ls(struct ctl *x);
int verb_user_add(struct ctl *x);
int verb_user_set(struct ctl *x);
int verb_user_passwd(struct ctl *x);
int verb_user_rm(struct ctl *x);
int verb_token_ls(struct ctl *x);
int verb_token_add(struct ctl *x);
int verb_token_rm(struct ctl *x);
int verb_audit(struct ctl *x);
int verb_cluster_status(struct ctl *x);
int verb_cluster_key(struct ctl *x);
int verb_node_drain(struct ctl *x);
int verb_node_rm(struct ctl *x);
int verb_node_log(struct ctl *x);
int verb_login(struct ctl *x);
int verb_logout(struct ctl *x);
int verb_open(struct ctl *x);
int verb_passwd(struct ctl *x);
int verb_top(struct ctl *x);
int verb_check(struct ctl *x);
int verb_job_ls(struct ctl *x);
int verb_job_show(struct ctl *x);
int verb_job_cancel(struct ctl *x);
int verb_job_replay(struct ctl *x);
int verb_client_ls(struct ctl *x);
int verb_client_kill(struct ctl *x);

/* What is wrong. *ret is NULL where the broker has no such list. */
int problems_get(struct ctl *x, json_t **ret);
/* As many as fit above the rest of `status`, and how many more there are. */
void problems_print(struct ctl *x, json_t *o);
/* --- filter.c: which failed jobs --- */

/* Is there an option of a filter, but --set? */
bool filter_given(const struct ctl *x);
/* The options as members of the API's filter, --set too. NULL: told. */
json_t *filter_json(struct ctl *x);
/* Its members as a query behind `path`, which is taken over (NULL stays NULL). */
char *filter_query(char *path, json_t *filter);

/* A table of groups of failures, most failures first. `title`: of the column with their number.
 * Returns the sum of these. */
uint64_t groups_print(struct ctl *x, json_t *groups, const char *title);
/* "check" that could not check: its line on standard output, and its exit code. */
int check_failed(int code);
/* Shows the progress of an act until it has ended; CTL_OK when it is done. *ret is set where the
 * end is printed.
 */
int act_follow(struct ctl *x, const char *id, json_t **ret);
/* The answer of a verb that begins an act, `member` says how many jobs it was. An act that takes
 * longer is followed to its end; then `*o` is as if it had ended at once. */
int many_follow(struct ctl *x, json_t **o, const char *member);
/* How a replay or purge that has just ended can be undone; nothing where it cannot. */
void act_print_undo(json_t *a);
/* "16", or "4 of 128" for a pool that finds its limit by itself. */
const char *pool_limit(json_t *pool, char *ret);
/* The table of verb_topic_ls(). */
struct table *topics_table(struct ctl *x, json_t *topics);
/* Jobs of a topic that no worker has, and that one has. What a node has read ahead is ready. */
uint64_t topic_ready(json_t *o);
uint64_t topic_running(json_t *o);
/* Why it hands nothing out, or what is wrong with its figures or its worker; "" when all is well.
 */
const char *topic_why(json_t *o);
/* "config check FILE": the shared configuration of a file, asked of the broker. */
int shared_check(struct ctl *x);
/* "config show N" */
int shared_show(struct ctl *x, const char *number);
/* Adds "expires_ms": --expires, or 90 days without the option; nothing for "never". False: the
 * fault was printed. */
bool expires_add(struct ctl *x, json_t *body);
/* The content that a verb sends: argument `text`, "@FILE", or standard input when it is NULL or
 * "-". malloc'd; NULL: told. */
char *content_read(const char *text, size_t *ret_len);

#endif
