/* Owns how counters are shown as JSON: tables, so that a new one is one line. */
#include "admin/private.h"

#include "base/json_write.h"

#include <string.h>

struct counter {
  const char *name;
  size_t offset;
};

#define QUEUE_COUNTER(x)                                                                           \
  { #x, offsetof(struct queue_counters, x) }
static const struct counter queue_counter[] = {
    QUEUE_COUNTER(accepted),
    QUEUE_COUNTER(accepted_bytes),
    QUEUE_COUNTER(refused),
    QUEUE_COUNTER(failed),
};
#define TOPIC_COUNTER(x)                                                                           \
  { #x, offsetof(struct topic_counters, x) }
static const struct counter topic_counter[] = {
    TOPIC_COUNTER(attempts),   TOPIC_COUNTER(requests),     TOPIC_COUNTER(done),
    TOPIC_COUNTER(failed),     TOPIC_COUNTER(lost),         TOPIC_COUNTER(timeout),
    TOPIC_COUNTER(retried),    TOPIC_COUNTER(dead),         TOPIC_COUNTER(unreachable),
    TOPIC_COUNTER(busy),       TOPIC_COUNTER(unregistered), TOPIC_COUNTER(recovered),
    TOPIC_COUNTER(run_ms_sum), TOPIC_COUNTER(run_count),
};
#define CLIENT_COUNTER(x)                                                                          \
  { #x, offsetof(struct client_counters, x) }
static const struct counter client_counter[] = {
    CLIENT_COUNTER(open),
    CLIENT_COUNTER(connections),
    CLIENT_COUNTER(commands),
    CLIENT_COUNTER(bytes_in),
    CLIENT_COUNTER(bytes_out),
    CLIENT_COUNTER(refused_clients),
    CLIENT_COUNTER(refused_auth),
    CLIENT_COUNTER(refused_auth_rate),
    CLIENT_COUNTER(protocol_errors),
    CLIENT_COUNTER(over_job_size),
    CLIENT_COUNTER(over_arguments),
    CLIENT_COUNTER(over_output),
    CLIENT_COUNTER(over_unauthenticated),
    CLIENT_COUNTER(over_input),
    CLIENT_COUNTER(over_auth_time),
};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static uint64_t counter_get(const void *base, const struct counter *c) {
  uint64_t v;
  memcpy(&v, (const char *)base + c->offset, sizeof v);
  return v;
}

static json_t *counters_table_json(const void *base, const struct counter *table, size_t n) {
  json_t *o = json_object();
  for (size_t i = 0; i < n; i++)
    json_object_set_new(o, table[i].name, json_u64(counter_get(base, &table[i])));
  return o;
}

static void counters_table_add(void *to, const void *from, const struct counter *table, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t v = counter_get(to, &table[i]) + counter_get(from, &table[i]);
    memcpy((char *)to + table[i].offset, &v, sizeof v);
  }
}

void counters_topic_write(struct buf *out, const char *name, const struct topic_counters *n) {
  json_write_begin(out, name);
  for (size_t i = 0; i < COUNT(topic_counter); i++)
    json_write_u64(out, topic_counter[i].name, counter_get(n, &topic_counter[i]));
  json_write_end(out);
}

json_t *json_rate(double v) {
  return json_real(v < 0.001 ? 0 : (double)(uint64_t)(v * 1000 + 0.5) / 1000);
}

json_t *counters_queue_json(const struct queue_counters *n) {
  return counters_table_json(n, queue_counter, COUNT(queue_counter));
}

json_t *counters_topic_json(const struct topic_counters *n) {
  return counters_table_json(n, topic_counter, COUNT(topic_counter));
}

json_t *counters_client_json(const struct client_counters *n) {
  return counters_table_json(n, client_counter, COUNT(client_counter));
}

void counters_queue_add(struct queue_counters *to, const struct queue_counters *from) {
  counters_table_add(to, from, queue_counter, COUNT(queue_counter));
}

void counters_topic_add(struct topic_counters *to, const struct topic_counters *from) {
  counters_table_add(to, from, topic_counter, COUNT(topic_counter));
}
