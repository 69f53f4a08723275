/* Owns what INFO says. */
#include "metrics/info.h"

#include "base/buf.h"
#include "event/memory.h"
#include "metrics/private.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define REDIS_VERSION "7.0.15" /* for clients that look for one; our commands are of that age */

static const char *store_state_word(const struct store *st) {
  switch (store_state(st)) {
  case STORE_CONNECTING:
    return "connecting";
  case STORE_LOADING:
    return "loading";
  case STORE_READY:
    return "ready";
  case STORE_REFUSED:
    return "refused";
  }
  return "unknown";
}

static void info_server(struct metrics *m, struct buf *out) {
  const struct settings *set = registry_settings(m->reg);
  struct utsname os;
  uint64_t up = (loop_now_ms(m->loop) - m->started_ms) / 1000;
  if (uname(&os)) os.sysname[0] = os.release[0] = os.machine[0] = 0;
  buf_printf(out,
             "redis_version:" REDIS_VERSION
             "\r\nredis_mode:standalone\r\npepperbus_version:" PACKAGE_VERSION
             "\r\npepperbus_node:%s\r\nos:%s %s %s\r\narch_bits:%zu\r\n"
             "process_id:%ld\r\nuptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n",
             set ? set->server.node : "", os.sysname, os.release, os.machine, sizeof(void *) * 8,
             (long)getpid(), up, up / 86400);
}

static void info_clients(struct metrics *m, struct buf *out) {
  const struct settings *set = registry_settings(m->reg);
  buf_printf(out,
             "connected_clients:%" PRIu64 "\r\nmaxclients:%" PRId64 "\r\nblocked_clients:0\r\n",
             m->clients.open, set ? set->server.max_clients : 0);
}

static void info_memory(struct metrics *m, struct buf *out) {
  uint64_t rss = memory_resident();
  (void)m;
  buf_printf(out, "used_memory:%" PRIu64 "\r\nused_memory_rss:%" PRIu64 "\r\n", rss, rss);
}

/* Clients wait until `loading` is 0. Here it always is: while a storage loads, its jobs are refused
 * with a reason, and other storages may take theirs. */
static void info_persistence(struct metrics *m, struct buf *out) {
  (void)m;
  buf_add_text(out, "loading:0\r\n");
}

static void info_replication(struct metrics *m, struct buf *out) {
  (void)m;
  buf_add_text(out, "role:master\r\nconnected_slaves:0\r\n");
}

static void info_cpu(struct metrics *m, struct buf *out) {
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u)) memset(&u, 0, sizeof u);
  buf_printf(out, "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\ncpu_percent:%.1f\r\n",
             (long)u.ru_stime.tv_sec, (long)u.ru_stime.tv_usec, (long)u.ru_utime.tv_sec,
             (long)u.ru_utime.tv_usec, process_cpu_percent(m));
}

static void info_stats(struct metrics *m, struct buf *out) {
  for (size_t i = 0; i < LENGTH(client_table); i++)
    buf_printf(out, "%s:%" PRIu64 "\r\n", client_table[i].info,
               counter_value(&m->clients, &client_table[i]));
}

static void info_storages(struct metrics *m, struct buf *out) {
  size_t n;
  struct store *const *stores = registry_stores(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    struct store_stats st = {0};
    store_stats(stores[i], &st);
    buf_printf(out,
               "storage_%s:state=%s,commands=%" PRIu64 ",in_flight=%" PRIu64 ",reconnects=%" PRIu64
               ",unknown=%" PRIu64 ",rtt_us=%" PRIu64 "\r\n",
               store_name(stores[i]), store_state_word(stores[i]), st.commands, st.in_flight,
               st.reconnects, st.unknown, st.rtt_us);
  }
}

static void info_counters(struct buf *out, const struct counter *table, size_t n,
                          const void *counters) {
  for (size_t i = 0; i < n; i++)
    if (table[i].info) { /* no printf(): there may be thousands of topics */
      buf_add_text(out, table[i].info);
      buf_add(out, "=", 1);
      buf_add_u64(out, counter_value(counters, &table[i]));
      buf_add(out, ",", 1);
    }
}

static void info_queues(struct metrics *m, struct buf *out) {
  size_t n;
  struct queue *const *queues = registry_queues(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    buf_printf(out, "queue_%s:topics=%zu,", queues[i]->set->name, queues[i]->n_topics);
    info_counters(out, queue_table, LENGTH(queue_table), &queues[i]->counters);
    buf_printf(out, "accepted_per_s=%.1f\r\n", queues[i]->rates.accepted);
  }
}

static void info_topics(struct metrics *m, struct buf *out) {
  size_t n;
  struct topic *const *topics = registry_topics(m->reg, &n);
  for (size_t i = 0; i < n; i++) {
    const struct topic *t = topics[i];
    buf_printf(out, "topic_%s:state=%s,running=%zu,", t->set->path, topic_state_names[t->state],
               t->requests.running);
    info_counters(out, topic_table, LENGTH(topic_table), &t->counters);
    buf_printf(out, "done_per_s=%.1f,failed_per_s=%.1f\r\n", t->rates.done, t->rates.failed);
  }
}

static const struct section {
  const char *name;
  void (*fn)(struct metrics *m, struct buf *out);
} sections[] = {
    {"Server", info_server}, {"Clients", info_clients},
    {"Memory", info_memory}, {"Persistence", info_persistence},
    {"Stats", info_stats},   {"Replication", info_replication},
    {"CPU", info_cpu},       {"Storages", info_storages},
    {"Queues", info_queues}, {"Topics", info_topics},
};

static bool is_word(const char *text, size_t len, const char *word) {
  return len == strlen(word) && !strncasecmp(text, word, len);
}

void info_write(struct metrics *m, const char *section, size_t section_len, struct buf *out) {
  bool all = !section || !section_len || is_word(section, section_len, "all") ||
             is_word(section, section_len, "default") ||
             is_word(section, section_len, "everything");
  metrics_freshen(m);
  for (size_t i = 0; i < LENGTH(sections); i++) {
    if (!all && !is_word(section, section_len, sections[i].name)) continue;
    buf_printf(out, "%s# %s\r\n", out->len ? "\r\n" : "", sections[i].name);
    sections[i].fn(m, out);
  }
}
