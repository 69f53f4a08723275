/* Owns the tables of the core's own keys: the one place where a key, its default, its limits
 * and its description stand. Parsing, checking, --dump-config, the sample file and the
 * reference all follow from here.
 */
#include "config/private.h"

#include <string.h>

#define DAY_MS           INT64_C(86400000)
#define OF(type, member) offsetof(struct type##_raw, member)

static const struct pb_option server_options[] = {
    {"node", PB_OPT_STRING, 0, OF(server, s.node), 0, 0, NULL, NULL,
     "Name of this node, unique among all nodes of a storage. Empty: the host name."},
    {"listen", PB_OPT_LIST, 0, OF(server, s.listen), 0, 0, NULL, "127.0.0.1:12017",
     "Where producers and pull workers connect (RESP): a list of HOST:PORT, [IPV6]:PORT or "
     "unix:/PATH."},
    {"admin", PB_OPT_STRING, 0, OF(server, s.admin), 0, 0, NULL, "127.0.0.1:19840",
     "Where console, HTTP API and /metrics answer. Empty: nowhere."},
    {"hosts", PB_OPT_LIST, 0, OF(server, s.hosts), 0, 0, NULL, NULL,
     "More names by which the admin port may be asked, as in bus.example.com. IP addresses, "
     "localhost, the host name, node and the name in admin always are; a request by any other is "
     "refused, for it may be a web page's."},
    {"metrics", PB_OPT_CHOICE, 0, OF(server, s.metrics), 0, 0, "auto,totals,topics", "auto",
     "What /metrics tells: sums over all queues and topics, or each of them; auto: each of them up "
     "to 1000 topics. /metrics?detail=topic tells each whatever this is, ?detail=total the sums."},
    {"metrics_auth", PB_OPT_BOOL, 0, OF(server, s.metrics_auth), 0, 0, NULL, "no",
     "yes: /metrics wants the token as well."},
    {"legacy_metrics", PB_OPT_BOOL, 0, OF(server, s.legacy_metrics), 0, 0, NULL, "yes",
     "yes: /metrics has the names of the first Pepperbus beside its own, for old dashboards."},
    {"systems", PB_OPT_LIST, 0, OF(server, s.systems), 0, 0, NULL, NULL,
     "Systems whose topics this node runs; it accepts jobs for all of them. Empty: all."},
    {"state_dir", PB_OPT_STRING, 0, OF(server, s.state_dir), 0, 0, NULL, "/var/lib/pepperbus",
     "Folder for what must survive a restart. May be relative to this file's folder."},
    {"plugin_dir", PB_OPT_STRING, 0, OF(server, s.plugin_dir), 0, 0, NULL, NULL,
     "Folder in which transports are looked for. May be relative to this file's folder. Empty: the "
     "one that was compiled in, as in /usr/lib/pepperbus."},
    {"include", PB_OPT_LIST, 0, OF(server, include), 0, 0, NULL, NULL,
     "More files to read, as in conf.d/*.ini; relative to this file."},
    {"max_clients", PB_OPT_INT, 0, OF(server, s.max_clients), 1, 10000000, NULL, "10000",
     "Connections of producers and pull workers at a time; more are refused with an error."},
    {"max_job_size", PB_OPT_SIZE, 0, OF(server, s.max_job_size), 1024, 512 << 20, NULL, "8mb",
     "A larger job is refused with an error."},
    {"max_arguments", PB_OPT_INT, 0, OF(server, s.max_arguments), 16, 16 << 20, NULL, "1048576",
     "Arguments of one command after AUTH; so many jobs fit into one LPUSH."},
    {"max_output", PB_OPT_SIZE, 0, OF(server, s.max_output), 64 << 10, INT64_C(16) << 30, NULL,
     "64mb", "Replies waiting for one client that does not read them; then it is cut off."},
    {"max_inflight", PB_OPT_INT, 0, OF(server, s.max_inflight), 1, 10000000, NULL, "10000",
     "Commands of one client waiting for their replies; then no more are read from it."},
    {"auth_timeout", PB_OPT_DURATION, 0, OF(server, s.auth_timeout_ms), 100, 3600000, NULL, "10s",
     "A client that has not authenticated by then is cut off. After AUTH it may idle for ever."},
    {"auth_attempts", PB_OPT_INT, 0, OF(server, s.auth_attempts), 1, 1000000, NULL, "10",
     "Wrong passwords a minute from one address for one queue, from where on the answer to each "
     "waits for 2 s; the first ones wait for less. A right password is answered at once, always."},
    {"drain_timeout", PB_OPT_DURATION, 0, OF(server, s.drain_timeout_ms), 0, DAY_MS, NULL, "30s",
     "How long a stop waits for running jobs; what still runs then is delivered again later."},
    {"log_level", PB_OPT_CHOICE, 0, OF(server, s.log_level), 0, 0, "error,warning,info,debug",
     "info", "Lines of this and the graver levels are logged."},
    {"log_format", PB_OPT_CHOICE, 0, OF(server, s.log_format), 0, 0, "text,json", "text",
     "Form of log lines on standard error."},
    {0}};

static const struct pb_option system_options[] = {{"title", PB_OPT_STRING, 0, OF(system, s.title),
                                                   0, 0, NULL, NULL,
                                                   "What people call it; shown in the console."},
                                                  {0}};

static const struct pb_option storage_options[] = {
    {"system", PB_OPT_STRING, 0, OF(storage, system), 0, 0, NULL, NULL,
     "Only topics of this system may use it. Empty: any."},
    {"address", PB_OPT_STRING, 0, OF(storage, s.address), 0, 0, NULL, NULL,
     "Of Redis, HOST:PORT or unix:/PATH. Not with managed = yes."},
    {"username", PB_OPT_STRING, 0, OF(storage, s.username), 0, 0, NULL, NULL,
     "For Redis' ACL. Empty: its default user."},
    {"password", PB_OPT_STRING, PB_OPT_SECRET, OF(storage, s.password), 0, 0, NULL, NULL,
     "For Redis, in clear."},
    {"password_file", PB_OPT_STRING, 0, OF(storage, password_file), 0, 0, NULL, NULL,
     "File whose first line is the password, relative to this one."},
    {"db", PB_OPT_INT, 0, OF(storage, s.db), 0, 65535, NULL, "0", "Number of the Redis database."},
    {"managed", PB_OPT_BOOL, 0, OF(storage, s.managed), 0, 0, NULL, "no",
     "yes: the broker starts a private redis-server under state_dir, its append-only file on."},
    {"server_binary", PB_OPT_STRING, 0, OF(storage, s.server_binary), 0, 0, NULL, "redis-server",
     "Program of a managed storage, with or without its path. Where there is no redis-server, "
     "valkey-server is taken."},
    {"max_connections", PB_OPT_INT, 0, OF(storage, s.max_connections), 2, 1000, NULL, "4",
     "Connections of this node to it at most. One is for commands, one for wake-ups of other "
     "nodes; the "
     "first job that waits for replicas opens a third, with 2 such jobs are refused."},
    {"connect_timeout", PB_OPT_DURATION, 0, OF(storage, s.connect_timeout_ms), 10, 600000, NULL,
     "2s", "A connection that is not there by then is tried anew."},
    {"command_timeout", PB_OPT_DURATION, 0, OF(storage, s.command_timeout_ms), 100, 3600000, NULL,
     "10s", "When Redis is silent for this long with a command open, the connection is given up."},
    {"lease", PB_OPT_DURATION, 0, OF(storage, s.lease_ms), 1000, 3600000, NULL, "10s",
     "A node that renews no lease for one and a half times this long, while others do, is dead, "
     "and "
     "they take its running jobs over."},
    {"max_inflight", PB_OPT_INT, 0, OF(storage, s.max_inflight), 16, 10000000, NULL, "100000",
     "Jobs on the way to it; more are refused with an error until it has caught up."},
    {0}};

static const struct pb_option pool_options[] = {
    {"run_type", PB_OPT_STRING, PB_OPT_REQUIRED, OF(pool, s.run_type), 0, 0, NULL, NULL,
     "How its workers are called: cgi, http, exec or another that a plugin provides."},
    {"max_connections", PB_OPT_INT, 0, OF(pool, s.max_connections), 1, 100000, NULL, "16",
     "Requests at a time over all its topics on this node; not more than the workers (php-fpm: "
     "children) that are meant for jobs. With concurrency = auto it is the bound, 128 where it is "
     "not given."},
    {"concurrency", PB_OPT_CHOICE, 0, OF(pool, s.concurrency), 0, 0, "fixed,auto", "fixed",
     "fixed: max_connections at a time. auto: as many as the workers bear, found out from idle "
     "ones, from requests that wait, or from latency."},
    {"reserve", PB_OPT_INT, 0, OF(pool, s.reserve), 0, 100000, NULL, "1",
     "With concurrency = auto: workers that are left free for others, such as web requests."},
    {0}};

static const struct pb_option queue_options[] = {
    {"system", PB_OPT_STRING, 0, OF(queue, system), 0, 0, NULL, NULL,
     "System it belongs to. May be left out where there is only one, or none."},
    {"password", PB_OPT_STRING, PB_OPT_SECRET, OF(queue, s.password), 0, 0, NULL, NULL,
     "For producers: plain, or a hash made by `pepperbusctl passwd` (sha256:SALT:HEX). Required, "
     "here or by password_file."},
    {"password_file", PB_OPT_STRING, 0, OF(queue, password_file), 0, 0, NULL, NULL,
     "File whose first line is the password, relative to this one."},
    {"max_length", PB_OPT_INT, 0, OF(queue, s.max_length), 0, 0, NULL, "0",
     "Jobs that may wait in it; then producers get an error. 0: no limit."},
    {"max_bytes", PB_OPT_SIZE, 0, OF(queue, s.max_bytes), 0, 0, NULL, "0",
     "Bytes that may wait in it; then producers get an error. 0: no limit."},
    {"retain", PB_OPT_DURATION, 0, OF(queue, s.retain_ms), 0, 3650 * DAY_MS, NULL, "0",
     "Keep jobs this long after all topics have had them, so that a topic can be rewound."},
    {0}};

static const struct pb_option topic_options[] = {
    {"storage", PB_OPT_STRING, 0, OF(topic, storage), 0, 0, NULL, NULL,
     "Where its jobs are kept; must belong to the queue's system, or to none. May be left out "
     "where only one does."},
    {"run_type", PB_OPT_STRING, 0, OF(topic, s.run_type), 0, 0, NULL, NULL,
     "How its worker is called: cgi, http, exec or another that a plugin provides. pull: it is not "
     "called, it takes jobs itself (RPOP); with `entry` the broker starts it. Default: the "
     "pool's."},
    {"pool", PB_OPT_STRING, 0, OF(topic, pool), 0, 0, NULL, NULL,
     "Pool whose workers it uses. Empty: none, where the run type needs none."},
    {"password", PB_OPT_STRING, PB_OPT_SECRET, OF(topic, s.password), 0, 0, NULL, NULL,
     "For pull workers; plain or a hash. Default: the queue's."},
    {"password_file", PB_OPT_STRING, 0, OF(topic, password_file), 0, 0, NULL, NULL,
     "File whose first line is the password, relative to this one."},
    {"signing_key", PB_OPT_STRING, PB_OPT_SECRET, OF(topic, s.signing_key), 0, 0, NULL, NULL,
     "Requests to its worker carry a signature made with this key, so that the worker can refuse "
     "strangers. Empty: none."},
    {"signing_key_file", PB_OPT_STRING, 0, OF(topic, signing_key_file), 0, 0, NULL, NULL,
     "File whose first line is the signing key, relative to this one."},
    {"signing_version", PB_OPT_CHOICE, 0, OF(topic, s.signing_version), 0, 0, "v2,v1", "v2",
     "Form of the signature. v1 is that of the release 0.1, for workers that do not know v2 yet; "
     "it goes with the next release."},
    {"workers", PB_OPT_INT, 0, OF(topic, s.workers), 1, 100000, NULL, "10",
     "Attempts at a time on one node."},
    {"chunk", PB_OPT_INT, 0, OF(topic, s.chunk), 1, 10000, NULL, "1",
     "Jobs in one request at most. One that has 8 MB of them takes no further job; a job's last "
     "attempt has one to itself."},
    {"chunk_wait", PB_OPT_DURATION, 0, OF(topic, s.chunk_wait_ms), 0, 600000, NULL, "0",
     "How long a job waits for others, so that its request is full. A full one leaves at once; 0: "
     "none waits."},
    {"timeout", PB_OPT_DURATION, 0, OF(topic, s.timeout_ms), 10, 30 * DAY_MS, NULL, "60s",
     "For one attempt."},
    {"attempts", PB_OPT_INT, 0, OF(topic, s.attempts), 1, 1000000, NULL, "5",
     "Attempts until a job is dead. 1: no automatic retry."},
    {"crashes", PB_OPT_INT, 0, OF(topic, s.crashes), 1, 1000000, NULL, "10",
     "A job found running at the end of a node this often is dead; a stop that did not wait for it "
     "counts as well."},
    {"backoff", PB_OPT_RANGE, 0, OF(topic, s.backoff), 0, 365 * DAY_MS, NULL, "1s..10m",
     "Wait before the next attempt, from..to: doubled each time, with jitter."},
    {"start_from", PB_OPT_CHOICE, 0, OF(topic, s.start_from), 0, 0, "now,beginning", "now",
     "For a topic added to a living queue: now, or the beginning of what is retained."},
    {"enabled", PB_OPT_BOOL, 0, OF(topic, s.enabled), 0, 0, NULL, "yes",
     "no: jobs are accepted and held for it, and its worker is not called."},
    {0}};

static const struct pb_option user_options[] = {
    {"role", PB_OPT_CHOICE, PB_OPT_REQUIRED, OF(user, s.role), 0, 0, "admin,operator,viewer", NULL,
     "What the user may do."},
    {"systems", PB_OPT_LIST, 0, OF(user, systems), 0, 0, NULL, NULL,
     "Systems the user may see. Empty: all."},
    {"password", PB_OPT_STRING, PB_OPT_SECRET, OF(user, s.password), 0, 0, NULL, NULL,
     "Hash made by `pepperbusctl passwd`. Required, here or by password_file."},
    {"password_file", PB_OPT_STRING, 0, OF(user, password_file), 0, 0, NULL, NULL,
     "File whose first line is the password, relative to this one."},
    {0}};

#define TABLE(id)                                                                                  \
  { id##_options, sizeof(struct pb_option) }
#define SIZES(id) sizeof(struct id##_raw), sizeof(struct id##_settings)

static const struct kind kinds[KINDS] = {
    [SERVER] = {"server", TABLE(server), SIZES(server), "This node of the broker.", NULL},
    [SYSTEM] = {"system", TABLE(system), SIZES(system),
                "A unit of isolation: its storages, nodes and queues never mix with another's.",
                "live"},
    [STORAGE] = {"storage", TABLE(storage), SIZES(storage), "A Redis deployment that keeps jobs.",
                 "main"},
    [POOL] = {"pool", TABLE(pool), SIZES(pool), "Workers that several topics share.", "local"},
    [QUEUE] = {"queue", TABLE(queue), SIZES(queue), "What producers add jobs to.", "msg"},
    [TOPIC] = {"topic", TABLE(topic), SIZES(topic),
               "One subscription of a queue: which worker handles its jobs, and how. Each topic "
               "gets every job of its queue once.",
               "msg/reply"},
    [USER] = {"user", TABLE(user), SIZES(user), "Who may use console and API.", "admin"},
};

const struct kind *kind_get(enum kind_id id) {
  return &kinds[id];
}

const struct kind *kind_named(const char *name) {
  for (int id = 0; id < KINDS; id++)
    if (strcmp(kinds[id].name, name) == 0) return &kinds[id];
  return NULL;
}

struct options transport_options(const struct pb_transport *t, enum kind_id id) {
  struct options none = {NULL, sizeof(struct pb_option)};
  if (!t || (id != POOL && id != TOPIC)) return none;
  return (struct options){id == POOL ? t->pool_options : t->topic_options, t->option_size};
}
