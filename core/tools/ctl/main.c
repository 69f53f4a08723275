/* pepperbusctl: arguments and the table of verbs; the help text is made from that table.
 */
#include "tools/ctl/ctl.h"

#include "base/suggest.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

#define BIT(n)       (UINT64_C(1) << (n))
#define OPT_GLOBAL   BIT(0)
#define OPT_ID       BIT(1)
#define OPT_COUNT    BIT(2)
#define OPT_ALL      BIT(3)
#define OPT_SET      BIT(4)
#define OPT_OFFSET   BIT(5)
#define OPT_DELAY    BIT(6)
#define OPT_FILTER   BIT(7)
#define OPT_YES      BIT(8)
#define OPT_USER     BIT(9)
#define OPT_GENERATE BIT(10)
#define OPT_FOLLOW   BIT(11)
#define OPT_REASON   BIT(12)
#define OPT_FROM     BIT(13)
#define OPT_TO       BIT(14)
#define OPT_BASE     BIT(15)
#define OPT_COMMENT  BIT(16)
#define OPT_USERS    BIT(17)
#define OPT_FORMAT   BIT(18)
#define OPT_SOURCE   BIT(19)
#define OPT_ROLE     BIT(20)
#define OPT_RIGHTS   BIT(21)
#define OPT_EXPIRES  BIT(22)
#define OPT_SINCE    BIT(23)
#define OPT_WHO      BIT(24)
#define OPT_WATCH    BIT(25)
#define OPT_LIMIT    BIT(26)
#define OPT_OFF      BIT(27)
#define OPT_SORT     BIT(28)
#define OPT_CHECK    BIT(29)
#define OPT_NODE     BIT(30)
#define OPT_GROUP    BIT(31)
#define OPT_JOBS     BIT(32)
#define OPT_SPEED    BIT(33)
#define OPT_NOW      BIT(34)
#define OPT_LINES    BIT(40)
#define OPT_STEP     BIT(41)
#define OPT_CONTENT  BIT(42)
#define OPT_STATE    BIT(43)
#define OPT_TOPIC    BIT(44)
#define OPT_EXPORT   BIT(45)
#define OPT_DEAD     BIT(46)
#define OPT_FIRST    BIT(47)

/* Two rows may have one name, with the same letter and member: what it means depends on the verb.
 * Only --user is a switch for some verbs and has a value for others (OPT_WHO). */
static const struct ctl_option {
  const char *name;
  int letter; /* over 255: it has none */
  uint64_t bit;
  const char *value; /* of the help text; NULL: it is a switch */
  size_t offset;     /* in struct ctl_args: const char *, or bool for a switch */
  const char *help;
} options[] = {
    {"config", 'c', OPT_GLOBAL, "FILE", offsetof(struct ctl_args, config),
     "the broker's configuration file, which says where the broker is"},
    {"host", 'H', OPT_GLOBAL, "HOST:PORT", offsetof(struct ctl_args, host),
     "admin address, instead of the configuration's; or unix:/path"},
    {"token-file", 'T', OPT_GLOBAL, "FILE", offsetof(struct ctl_args, token_file),
     "file with the token; else $PEPPERBUS_TOKEN, else state_dir/admin.token"},
    {"json", 'j', OPT_GLOBAL, NULL, offsetof(struct ctl_args, json), "print the API's JSON"},
    {"help", 'h', OPT_GLOBAL, NULL, offsetof(struct ctl_args, help),
     "print help, also about one verb"},
    {"version", 'V', OPT_GLOBAL, NULL, offsetof(struct ctl_args, version), "print the version"},
    {"id", 'i', OPT_ID, "ID", offsetof(struct ctl_args, id), "only this job"},
    {"count", 'n', OPT_COUNT, "N", offsetof(struct ctl_args, count),
     "number of entries (replay: the oldest N jobs)"},
    {"all", 'a', OPT_ALL, NULL, offsetof(struct ctl_args, all), "all jobs that are there now"},
    {"set", 's', OPT_SET, "SET", offsetof(struct ctl_args, set),
     "retry (waiting for the next attempt), dead, quarantine, or both (default: retry and dead); "
     "purge: ready, too"},
    {"offset", 'o', OPT_OFFSET, "N", offsetof(struct ctl_args, offset), "skip the first N"},
    {"delay", 'd', OPT_DELAY, "TIME", offsetof(struct ctl_args, delay),
     "run the job after this time: 90s, 5m, 2h"},
    {"queue", 'q', OPT_FILTER, "QUEUE", offsetof(struct ctl_args, queue), "only of this queue"},
    {"system", 'S', OPT_FILTER, "SYSTEM", offsetof(struct ctl_args, system), "only of this system"},
    {"yes", 'y', OPT_YES, NULL, offsetof(struct ctl_args, yes), "do not ask for confirmation"},
    {"user", 'u', OPT_USER, NULL, offsetof(struct ctl_args, user),
     "for a [user] section (yescrypt: slow on purpose)"},
    {"generate", 'g', OPT_GENERATE, NULL, offsetof(struct ctl_args, generate),
     "make a password, and print it before its hash"},
    {"follow", 'f', OPT_FOLLOW, NULL, offsetof(struct ctl_args, follow),
     "show its progress until it ends; exit 0 when it is done"},
    {"from", 'F', OPT_FROM, "STORAGE", offsetof(struct ctl_args, from),
     "storage with the jobs; needed when several have some"},
    {"to", 't', OPT_TO, "STORAGE", offsetof(struct ctl_args, to),
     "storage that the topic is configured for; only checked"},
    {"reason", 'r', OPT_REASON, "TEXT", offsetof(struct ctl_args, reason),
     "reason; topic ls, topic show and status show it"},
    {"context", 'C', OPT_GLOBAL, "NAME", offsetof(struct ctl_args, context),
     "a broker elsewhere, of ~/.config/pepperbus/ctl.ini; else $PEPPERBUS_CONTEXT"},
    {"ca-file", 256, OPT_GLOBAL, "FILE", offsetof(struct ctl_args, ca_file),
     "https: the authority that the broker's certificate is trusted by"},
    {"base", 'b', OPT_BASE, "N", offsetof(struct ctl_args, base),
     "revision that the text was made from; \"head\": whatever is there now"},
    {"comment", 'm', OPT_COMMENT, "TEXT", offsetof(struct ctl_args, comment),
     "comment of the new revision"},
    {"with-users", 257, OPT_USERS, NULL, offsetof(struct ctl_args, with_users),
     "[user] sections, too; else they stay as they are"},
    {"format", 258, OPT_FORMAT, "FORMAT", offsetof(struct ctl_args, format), "ini or jsonl"},
    {"from", 'F', OPT_SOURCE, "NODE|N", offsetof(struct ctl_args, from),
     "a node whose revision it is, or the number of one that the storage has"},
    {"role", 259, OPT_ROLE, "ROLE", offsetof(struct ctl_args, role), "admin, operator or viewer"},
    {"systems", 260, OPT_ROLE, "A,B", offsetof(struct ctl_args, systems),
     "only these systems; \"\": all"},
    {"contents", 261, OPT_RIGHTS, "yes|no", offsetof(struct ctl_args, contents),
     "may see what jobs contain"},
    {"entries", 262, OPT_RIGHTS, "yes|no", offsetof(struct ctl_args, entries),
     "may change what topics run"},
    {"expires", 263, OPT_EXPIRES, "TIME", offsetof(struct ctl_args, expires),
     "the token ends after this time: 12h, 90d; never"},
    {"since", 264, OPT_SINCE, "T", offsetof(struct ctl_args, since),
     "not before: 30m, 2d, 2026-11-30, \"2026-11-30 18:00\""},
    {"step", 295, OPT_STEP, "TIME", offsetof(struct ctl_args, step),
     "time of a row: 1m, 5m, 1h, 1d; default: 1m of up to 3 hours, else 1h"},
    {"until", 265, OPT_SINCE, "T", offsetof(struct ctl_args, until), "not after"},
    {"user", 'u', OPT_WHO, "NAME", offsetof(struct ctl_args, who), "this user"},
    {"lines", 290, OPT_LINES, "N", offsetof(struct ctl_args, lines),
     "at most so many lines, 1,000 at most; default 100"},
    {"limit", 'l', OPT_LIMIT, "N", offsetof(struct ctl_args, limit), "at most so many"},
    {"follow", 'f', OPT_WATCH, NULL, offsetof(struct ctl_args, follow),
     "go on, and print what comes; Ctrl-C ends it"},
    {"password", 304, OPT_FIRST, NULL, offsetof(struct ctl_args, first_password),
     "a password for the first login of all instead, good once within a day"},
    {"off", 266, OPT_OFF, NULL, offsetof(struct ctl_args, off),
     "end it: the node runs topics again"},
    {"sort", 267, OPT_SORT, "COLUMN", offsetof(struct ctl_args, sort),
     "order by this column: ready, oldest, failed ...; default: busiest first"},
    {"max-age", 268, OPT_CHECK, "TIME", offsetof(struct ctl_args, max_age),
     "critical when a job is not done after this time (5m; 1m,5m: warning, critical)"},
    {"max-dead", 269, OPT_CHECK, "N", offsetof(struct ctl_args, max_dead),
     "critical with more dead jobs; or WARNING,CRITICAL"},
    {"max-failed", 270, OPT_CHECK, "N/min", offsetof(struct ctl_args, max_failed),
     "critical with more failed attempts in a minute; or WARNING,CRITICAL"},
    {"topic", 271, OPT_CHECK, "QUEUE/TOPIC", offsetof(struct ctl_args, topic), "only this topic"},
    {"node", 272, OPT_NODE, "NODE", offsetof(struct ctl_args, node), "of this node"},
    {"match", 274, OPT_JOBS, "TEXT", offsetof(struct ctl_args, match),
     "only jobs whose message has this part, in any case"},
    {"body", 275, OPT_JOBS, "TEXT", offsetof(struct ctl_args, body),
     "only jobs whose content has this part"},
    {"code", 276, OPT_JOBS, "N", offsetof(struct ctl_args, code), "only jobs that failed with it"},
    {"signature", 277, OPT_JOBS, "ID", offsetof(struct ctl_args, signature),
     "only jobs of this cause; --group shows the causes"},
    {"node", 272, OPT_JOBS, "NODE", offsetof(struct ctl_args, node), "only jobs that failed there"},
    {"attempts", 278, OPT_JOBS, "N..M", offsetof(struct ctl_args, attempts),
     "only jobs with so many failed attempts: 3, 2..5, 2.."},
    {"rate", 279, OPT_SPEED, "N/s", offsetof(struct ctl_args, rate),
     "at most so many jobs a second; ends at once unless --follow"},
    {"dry-run", 280, OPT_SPEED, NULL, offsetof(struct ctl_args, dry_run),
     "only count the jobs, by cause"},
    {"now", 281, OPT_NOW, NULL, offsetof(struct ctl_args, now),
     "free their memory at once; it cannot be undone then"},
    {"content", 300, OPT_CONTENT, "TEXT|@FILE|-", offsetof(struct ctl_args, content),
     "run a copy of the job with this content; needs --topic"},
    {"state", 301, OPT_STATE, "STATE", offsetof(struct ctl_args, state),
     "ready (default), delayed, running, retry, dead or quarantine"},
    {"topic", 271, OPT_TOPIC, "QUEUE/TOPIC", offsetof(struct ctl_args, topic),
     "in this topic; else in each topic that has the job"},
    {"format", 258, OPT_EXPORT, "FORMAT", offsetof(struct ctl_args, format),
     "jsonl (default), which can be imported, or csv"},
    {"no-content", 302, OPT_EXPORT, NULL, offsetof(struct ctl_args, no_content),
     "without what the jobs contain"},
    {"dead", 303, OPT_DEAD, NULL, offsetof(struct ctl_args, dead),
     "all of them lie dead until they are replayed"},
    {"group", 273, OPT_GROUP, NULL, offsetof(struct ctl_args, group),
     "group them by cause: code and message without ids and numbers"},
};
#define N_OPTIONS (sizeof options / sizeof *options)

static const struct verb {
  const char *noun, *name; /* name NULL: the noun is the verb */
  const char *args;
  size_t min, max; /* arguments */
  uint64_t options;
  verb_fn fn;
  const char *help;
} verbs[] = {
    {"status", NULL, "", 0, 0, 0, verb_status,
     "problems first, then the broker at a glance; exit 1 when not ready"},
    {"top", NULL, "", 0, 0, OPT_FILTER | OPT_SORT, verb_top, "topics live; keys on its last line"},
    {"check", NULL, "", 0, 0, OPT_CHECK | OPT_FILTER, verb_check,
     "one line for monitoring systems; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN"},
    {"queue", "ls", "", 0, 0, 0, verb_queue_ls, "queues, and how many jobs were added"},
    {"queue", "stray", "QUEUE", 1, 1, 0, verb_topic_stray,
     "jobs of topics that are not (or no longer) configured for their storage"},
    {"topic", "ls", "", 0, 0, OPT_FILTER, verb_topic_ls, "topics, their state and their jobs"},
    {"topic", "show", "QUEUE/TOPIC", 1, 1, 0, verb_topic_show, "everything about one topic"},
    {"topic", "ping", "QUEUE/TOPIC", 1, 1, 0, verb_topic_ping,
     "ask its worker whether it registers the topic; exit 1 unless 200"},
    {"topic", "test", "QUEUE/TOPIC [DATA|@FILE|-]", 1, 2, 0, verb_topic_test,
     "run its worker with this content, outside of the queue; exit 1 unless 200"},
    {"topic", "pause", "QUEUE/TOPIC", 1, 1, OPT_REASON, verb_topic_pause,
     "send no more jobs to workers, on any node, until resumed"},
    {"topic", "resume", "QUEUE/TOPIC", 1, 1, 0, verb_topic_resume, "send jobs to workers again"},
    {"topic", "history", "QUEUE/TOPIC", 1, 1, OPT_SINCE | OPT_STEP, verb_topic_history,
     "figures that were kept, by minute or hour"},
    {"topic", "errors", "QUEUE/TOPIC", 1, 1, OPT_COUNT | OPT_GROUP | OPT_WATCH, verb_topic_errors,
     "why attempts failed, newest first; by cause; or as they come"},
    {"topic", "failed", "QUEUE/TOPIC", 1, 1,
     OPT_ID | OPT_SET | OPT_COUNT | OPT_OFFSET | OPT_JOBS | OPT_SINCE | OPT_GROUP | OPT_LIMIT,
     verb_topic_failed, "failed jobs that wait or are dead; by cause; --id: one in full"},
    {"topic", "retry", "QUEUE/TOPIC", 1, 1,
     OPT_ID | OPT_SET | OPT_COUNT | OPT_OFFSET | OPT_JOBS | OPT_SINCE | OPT_GROUP | OPT_LIMIT,
     verb_topic_failed, "another name of topic failed"},
    {"topic", "replay", "QUEUE/TOPIC", 1, 1,
     OPT_ID | OPT_SET | OPT_COUNT | OPT_ALL | OPT_JOBS | OPT_SINCE | OPT_SPEED | OPT_FOLLOW,
     verb_topic_replay, "run failed jobs again, with their full attempts"},
    {"topic", "purge", "QUEUE/TOPIC", 1, 1,
     OPT_ID | OPT_SET | OPT_ALL | OPT_JOBS | OPT_SINCE | OPT_SPEED | OPT_NOW | OPT_FOLLOW | OPT_YES,
     verb_topic_purge, "delete failed jobs for good"},
    {"topic", "export", "QUEUE/TOPIC [FILE|-]", 1, 2, OPT_SET | OPT_JOBS | OPT_SINCE | OPT_EXPORT,
     verb_topic_export, "failed jobs as JSON lines or CSV, to a file or standard output"},
    {"topic", "import", "QUEUE/TOPIC [FILE|-]", 1, 2, OPT_DEAD, verb_topic_import,
     "failed jobs from JSON lines, as topic export writes them; exit 1 when lines are wrong"},
    {"topic", "stray", "QUEUE", 1, 1, 0, verb_topic_stray, "another name of queue stray"},
    {"topic", "move", "QUEUE/TOPIC", 1, 1, OPT_FROM | OPT_TO, verb_topic_move,
     "after a change of its `storage` and a reload: move its jobs from the old storage"},
    {"topic", "rename", "OLD NEW", 2, 2, OPT_FROM, verb_topic_rename,
     "after a change of its name and a reload: move its jobs from the old QUEUE/TOPIC"},
    {"topic", "drop", "QUEUE/TOPIC", 1, 1, OPT_YES, verb_topic_drop,
     "delete everything of a topic that is not configured, its jobs included"},
    {"act", "ls", "", 0, 0, OPT_COUNT, verb_act_ls,
     "acts on many jobs (replay, purge, move), newest first"},
    {"act", "show", "ACT", 1, 1, OPT_FOLLOW, verb_act_show, "progress of one act"},
    {"act", "cancel", "ACT", 1, 1, 0, verb_act_cancel, "end an act; what it did so far stays done"},
    {"act", "undo", "ACT", 1, 1, 0, verb_act_undo,
     "within a minute after a replay or purge: put its jobs back"},
    {"alert", "ls", "", 0, 0, 0, verb_alert_ls, "what is watched, and which alerts fire"},
    {"alert", "silence", "ALERT TIME", 2, 2, OPT_REASON, verb_alert_silence,
     "tell nobody of it for this time: 30m, 2h, 1d"},
    {"alert", "unsilence", "ALERT", 1, 1, 0, verb_alert_unsilence, "end the silence"},
    {"job", "add", "QUEUE [DATA|@FILE|-]", 1, 2, OPT_DELAY, verb_job_add, "add a job"},
    {"job", "ls", "QUEUE/TOPIC", 1, 1, OPT_STATE | OPT_LIMIT, verb_job_ls,
     "jobs of a topic by their state, oldest first"},
    {"job", "show", "ID", 1, 1, 0, verb_job_show, "where a job is, in each topic"},
    {"job", "cancel", "ID", 1, 1, OPT_TOPIC, verb_job_cancel,
     "a job that does not run shall not run; exit 1 when it runs or is done"},
    {"job", "replay", "ID", 1, 1, OPT_TOPIC | OPT_CONTENT, verb_job_replay,
     "run one failed job again, perhaps with another content"},
    {"id", NULL, "ID", 1, 1, 0, verb_id, "decode a job id or trace id (no broker needed)"},
    {"pool", "ls", "", 0, 0, 0, verb_pool_ls,
     "pools, their workers and the topics that wait for them"},
    {"pool", "show", "POOL", 1, 1, 0, verb_pool_show,
     "everything about one pool; exit 1 when its workers cannot be reached"},
    {"client", "ls", "", 0, 0, OPT_NODE | OPT_LIMIT, verb_client_ls,
     "connections of producers and pull workers to one node"},
    {"client", "kill", "CLIENT", 1, 1, OPT_NODE | OPT_YES, verb_client_kill,
     "end a connection; most clients connect again by themselves"},
    {"node", "ls", "", 0, 0, 0, verb_node_ls, "nodes that share the storages"},
    {"node", "drain", "NODE", 1, 1, OPT_OFF, verb_node_drain,
     "let a node run no topic, until --off; its jobs run on others"},
    {"node", "rm", "NODE", 1, 1, OPT_YES, verb_node_rm,
     "forget a node that is gone: its report, and the names of its local sections"},
    {"node", "log", "NODE", 1, 1, OPT_LINES, verb_node_log, "the last lines of a node's log"},
    {"cluster", "status", "", 0, 0, 0, verb_cluster_status,
     "the shared configuration and which node runs what; exit 1 unless all do"},
    {"cluster", "key", "show|rotate|reset", 1, 1, OPT_YES, verb_cluster_key,
     "the id of the key in this node's file; make another key; or one where nobody has the old "
     "one"},
    {"plugin", "ls", "", 0, 0, 0, verb_plugin_ls, "transports, also the refused ones"},
    {"config", "check", "[FILE|-]", 0, 1, OPT_BASE, verb_config_check,
     "check the file as pepperbusd -t does; exit 2 when it has faults. With FILE: as the shared "
     "configuration"},
    {"config", "show", "[N]", 0, 1, 0, verb_config_show,
     "the configuration in effect, secrets masked; or revision N of the shared one"},
    {"config", "reload", "", 0, 0, 0, verb_config_reload,
     "make the broker read its files again; a file with faults changes nothing"},
    {"config", "shared", "", 0, 0, 0, verb_config_shared,
     "the shared configuration that is newest, secrets masked"},
    {"config", "diff", "[FILE|-|N [N]]", 0, 2, OPT_BASE, verb_config_diff,
     "what a text, or a revision, would change; exit 1 where it differs"},
    {"config", "apply", "[FILE|-]", 0, 1, OPT_BASE | OPT_COMMENT | OPT_YES, verb_config_apply,
     "make it the shared configuration of all nodes"},
    {"config", "history", "", 0, 0, OPT_LIMIT, verb_config_history, "revisions, newest first"},
    {"config", "rollback", "N", 1, 1, OPT_BASE | OPT_COMMENT | OPT_USERS, verb_config_rollback,
     "make the text of revision N the newest revision"},
    {"config", "export", "", 0, 0, OPT_FORMAT, verb_config_export,
     "the shared configuration as text, secrets masked"},
    {"config", "import", "[FILE|-]", 0, 1, OPT_BASE | OPT_COMMENT | OPT_USERS, verb_config_import,
     "apply an export, INI or JSON lines, [user] sections left alone"},
    {"config", "restore", "", 0, 0, OPT_SOURCE | OPT_COMMENT, verb_config_restore,
     "after the storage lost revisions: make one the newest again"},
    {"user", "ls", "", 0, 0, 0, verb_user_ls, "users of console and API"},
    {"user", "add", "NAME", 1, 1, OPT_ROLE | OPT_RIGHTS | OPT_GENERATE, verb_user_add,
     "make a user; the password is asked for, or read from standard input"},
    {"user", "set", "NAME", 1, 1, OPT_ROLE | OPT_RIGHTS, verb_user_set, "change a user's rights"},
    {"user", "passwd", "NAME", 1, 1, OPT_GENERATE, verb_user_passwd,
     "set a user's password; the user's sessions end"},
    {"user", "rm", "NAME", 1, 1, OPT_YES, verb_user_rm, "delete a user, sessions and tokens too"},
    {"token", "ls", "", 0, 0, 0, verb_token_ls, "API tokens: role, systems, end, last use"},
    {"token", "add", "NAME", 1, 1, OPT_ROLE | OPT_EXPIRES | OPT_WHO, verb_token_add,
     "make an API token and print it, once"},
    {"token", "rm", "ID", 1, 1, 0, verb_token_rm, "take an API token back"},
    {"mark", NULL, "TEXT", 1, 1, 0, verb_mark, "mark a deploy: charts and topic history show it"},
    {"audit", NULL, "", 0, 0, OPT_SINCE | OPT_WHO | OPT_LIMIT | OPT_WATCH, verb_audit,
     "who did what, from where, with which result; newest first"},
    {"login", NULL, "URL", 1, 1, OPT_WHO | OPT_EXPIRES, verb_login,
     "get an API token of a broker elsewhere, and keep it as a context"},
    {"logout", NULL, "[CONTEXT]", 0, 1, 0, verb_logout,
     "take the token of a context back, and forget the context"},
    {"open", NULL, "", 0, 0, OPT_FIRST, verb_open,
     "print a link that opens the console once, for a minute"},
    {"passwd", NULL, "", 0, 0, OPT_USER | OPT_GENERATE, verb_passwd,
     "hash a password for the configuration (asked for, or from standard input)"},
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

/* --- help --- */

static void verb_title(const struct verb *v, char *ret, size_t size) {
  snprintf(ret, size, "%s%s%s%s%s", v->noun, v->name ? " " : "", v->name ? v->name : "",
           *v->args ? " " : "", v->args);
}

static void help_options(FILE *out, uint64_t bits) {
  for (size_t i = 0; i < N_OPTIONS; i++) {
    char head[48];
    if (!(options[i].bit & bits)) continue;
    char letter[8] = "    ";
    if (options[i].letter < 256) snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
    snprintf(head, sizeof head, "%s--%s%s%s", letter, options[i].name, options[i].value ? " " : "",
             options[i].value ? options[i].value : "");
    fprintf(out, "  %-26s %s\n", head, options[i].help);
  }
}

static void help_verbs(FILE *out, const char *noun) {
  char title[80];
  for (size_t i = 0; i < N_VERBS; i++) {
    if (noun && strcmp(verbs[i].noun, noun) != 0) continue;
    verb_title(&verbs[i], title, sizeof title);
    fprintf(out, strlen(title) > 26 ? "  %s\n%29s%s\n" : "  %-26s %s%s\n", title,
            strlen(title) > 26 ? "" : verbs[i].help, strlen(title) > 26 ? verbs[i].help : "");
  }
}

static void help_all(FILE *out) {
  fputs("usage: pepperbusctl [options] VERB [arguments]\n\n", out);
  help_verbs(out, NULL);
  fputs("\noptions of every verb (pepperbusctl VERB --help shows the others)\n", out);
  help_options(out, OPT_GLOBAL);
  fputs("\nexit: 0 done, 1 the answer is no, 2 usage or configuration, 3 broker not reached,\n"
        "      4 not found, 5 no or wrong token\n",
        out);
}

static void help_verb(FILE *out, const struct verb *v) {
  char title[80];
  verb_title(v, title, sizeof title);
  fprintf(out, "usage: pepperbusctl %s%s\n%s\n\n", title, v->options ? " [options]" : "", v->help);
  help_options(out, v->options);
  help_options(out, OPT_GLOBAL);
}

/* --- arguments --- */

/* Is it the row that getopt gets for its name? */
static bool option_counts(size_t i, bool who) {
  if (options[i].bit & OPT_USER) return !who;
  if (options[i].bit & OPT_WHO) return who;
  for (size_t k = 0; k < i; k++)
    if (options[k].letter == options[i].letter) return false;
  return true;
}

/* Reads the options into `args` and notes them in given[]. `who`: --user has a value. False: the
 * fault was printed. */
static bool args_read(struct ctl_args *args, int argc, char **argv, bool who, bool *given) {
  struct option longs[N_OPTIONS + 1] = {{0}}, *l = longs;
  char letters[2 * N_OPTIONS + 2] = "", *p = letters;
  for (size_t i = 0; i < N_OPTIONS; i++) {
    if (!option_counts(i, who)) continue;
    *l++ = (struct option){.name = options[i].name,
                           .has_arg = options[i].value ? required_argument : no_argument,
                           .val = options[i].letter};
    if (options[i].letter > 255) continue;
    *p++ = (char)options[i].letter;
    if (options[i].value) *p++ = ':';
  }
  *p = 0;
  for (int c; (c = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
    size_t i = 0;
    while (i < N_OPTIONS && (options[i].letter != c || !option_counts(i, who))) i++;
    if (i == N_OPTIONS) return false;
    given[i] = true;
    if (options[i].value)
      *(const char **)((char *)args + options[i].offset) = optarg;
    else
      *(bool *)((char *)args + options[i].offset) = true;
  }
  return true;
}

/* Verbs whose --user has a value. They are known by their noun, which stands before it. */
static bool noun_has_who(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    for (size_t v = 0; v < N_VERBS; v++)
      if (verbs[v].options & OPT_WHO && !strcmp(argv[i], verbs[v].noun)) return true;
  return false;
}

static bool noun_has_verbs(const char *noun) {
  for (size_t i = 0; i < N_VERBS; i++)
    if (verbs[i].name && !strcmp(verbs[i].noun, noun)) return true;
  return false;
}

/* The verb that argv[optind...] names; optind is moved behind it. NULL: told. */
static const struct verb *verb_find(int argc, char **argv) {
  const char *noun = argv[optind], *name = optind + 1 < argc ? argv[optind + 1] : NULL;
  bool known = false;
  struct suggest near = {.want = noun}, near_name = {.want = name ? name : ""};
  for (size_t i = 0; i < N_VERBS; i++) {
    suggest_offer(&near, verbs[i].noun);
    if (strcmp(verbs[i].noun, noun) != 0) continue;
    known = true;
    if (verbs[i].name && (!name || strcmp(verbs[i].name, name) != 0)) {
      suggest_offer(&near_name, verbs[i].name);
      continue;
    }
    optind += verbs[i].name ? 2 : 1;
    return &verbs[i];
  }
  if (known) {
    if (name)
      ctl_error("%s has no \"%s\"%s%s%s", noun, name, near_name.best ? "; did you mean " : "",
                near_name.best ? near_name.best : "", near_name.best ? "?" : "");
    fputs("usage: pepperbusctl VERB ...\n", stderr);
    help_verbs(stderr, noun);
  } else {
    ctl_error("there is no verb \"%s\"%s%s%s; pepperbusctl --help shows them", noun,
              near.best ? "; did you mean " : "", near.best ? near.best : "", near.best ? "?" : "");
  }
  return NULL;
}

/* Has the verb an option of this name? */
static bool verb_has(const struct verb *v, const char *name) {
  for (size_t i = 0; i < N_OPTIONS; i++)
    if (!strcmp(options[i].name, name) && options[i].bit & (v->options | OPT_GLOBAL)) return true;
  return false;
}

static bool verb_fits(const struct verb *v, struct ctl *x, const bool *given) {
  for (size_t i = 0; i < N_OPTIONS; i++)
    if (given[i] && !verb_has(v, options[i].name)) {
      ctl_error("%s does not know --%s", x->verb, options[i].name);
      return false;
    }
  if (x->args.n_rest >= v->min && x->args.n_rest <= v->max) return true;
  ctl_error(x->args.n_rest < v->min ? "%s needs %s" : "%s: too many arguments; it takes: %s",
            x->verb, *v->args ? v->args : "none");
  return false;
}

/* Its exit codes are others: also where its options cannot be read. */
static bool is_check(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], "check")) return strcmp(argv[i - 1], "config") != 0;
  return false;
}

int main(int argc, char **argv) {
  struct ctl x = {.verb = ""};
  bool given[N_OPTIONS] = {false};
  char title[40];
  for (int fd = 0; fd <= STDERR_FILENO; fd++) /* otherwise a socket would get our output */
    while (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) >= 0) continue;
  setlocale(LC_ALL, "");
  if (!args_read(&x.args, argc, argv, noun_has_who(argc, argv), given)) {
    fputs("pepperbusctl --help shows verbs and options\n", stderr);
    return is_check(argc, argv) ? check_failed(CTL_USAGE) : CTL_USAGE;
  }
  if (x.args.version) {
    puts("pepperbusctl " PACKAGE_VERSION);
    return CTL_OK;
  }
  if (optind >= argc) {
    help_all(x.args.help ? stdout : stderr);
    return x.args.help ? CTL_OK : CTL_USAGE;
  }
  if (x.args.help && optind + 1 >= argc && noun_has_verbs(argv[optind])) { /* topic --help */
    help_verbs(stdout, argv[optind]);
    return CTL_OK;
  }
  const struct verb *v = verb_find(argc, argv);
  if (!v) return CTL_USAGE;
  if (x.args.help) {
    help_verb(stdout, v);
    return CTL_OK;
  }
  snprintf(title, sizeof title, "%s%s%s", v->noun, v->name ? " " : "", v->name ? v->name : "");
  x.verb = title;
  for (int i = optind; i < argc; i++, x.args.n_rest++)
    if (x.args.n_rest < sizeof x.args.rest / sizeof *x.args.rest)
      x.args.rest[x.args.n_rest] = argv[i];
  if (!verb_fits(v, &x, given)) return v->fn == verb_check ? check_failed(CTL_USAGE) : CTL_USAGE;
  const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
  x.tty = isatty(STDOUT_FILENO);
  x.color = x.tty && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
  curl_global_init(CURL_GLOBAL_DEFAULT);
  int code = v->fn(&x);
  api_free(x.api);
  curl_global_cleanup();
  if (fflush(stdout) != 0 && code == CTL_OK) code = CTL_NO;
  return code;
}
