/* Owns the life of a storage: its connections, and the order in which its parts begin and end. */
#include "base/log.h"
#include "storage/redis/managed_server.h"
#include "storage/redis/private.h"
#include "storage/redis/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *store_name(const struct store *s) {
  return s->st->name;
}

bool store_is_same(const struct store *a, const struct store *b) {
  return a->hello.run_known && b->hello.run_known && !strcmp(a->hello.run, b->hello.run) &&
         a->st->db == b->st->db;
}

bool store_is_twin(const struct store *s) {
  return s->hello.twin;
}

/* All groups are asked for: jobs may be added. */
static void on_attached(struct store *s) {
  state_set_silently(s, STORE_READY); /* so that what follows is sent; told below */
  settle_all(s);
  state_set_silently(s, STORE_CONNECTING);
  state_set(s, STORE_READY, "");
  if (s->state != STORE_READY) return;
  membership_start(s);
  sweep_start(s);
  census_start(s);
  wakeup_start(s);
  unconfigured_start(s);
  shared_all_new(s);
}

static void on_ready(struct store *s) {
  if (objects_attaches(s)) return; /* its name was asked for again */
  hello_over(s);
  state_set_silently(s, STORE_READY);
  acts_find_open(s); /* first: what follows compares times by the server's clock */
  state_set_silently(s, STORE_CONNECTING);
  objects_attach_slowly(s);
}

static const struct membership_events member_events = {.ready = on_ready,
                                                       .not_joined = hello_again,
                                                       .data_lost = sweep_data_lost,
                                                       .dead = census_dead};

/* --- connections --- */

static void link_up(void *arg) {
  struct store *s = arg;
  hello_begin(s);
}

static void link_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  char text[STORE_WORDS];
  if (s->freeing) return;
  count_stop(s);
  objects_attach_stop(s);
  if (hello_lost(s) && !refused) return; /* said already why it is not used */
  if (s->managed) managed_server_check(s->managed);
  if (s->managed && !refused && managed_server_is_starting(s->managed)) {
    state_set(s, STORE_LOADING, "its redis-server is starting");
    return;
  }
  if (s->managed && *managed_server_why(s->managed))
    snprintf(text, sizeof text, "%s; trying again", managed_server_why(s->managed));
  else
    snprintf(text, sizeof text, "%s%.400s; connecting again",
             refused ? "cannot be used: " : "no connection: ", why);
  state_set(s, refused ? STORE_REFUSED : STORE_CONNECTING, text);
}

static void sub_up(void *arg) {
  wakeup_subscribed(arg);
}

static void sub_down(void *arg, bool refused, const char *why) {
  struct store *s = arg;
  if (s->freeing || s->state != STORE_READY) return;
  if (refused && !strncmp(why, "NOPERM ", 7)) {
    char text[STORE_WORDS];
    snprintf(
        text, sizeof text,
        "%s refuses: its ACL forbids to subscribe, so wake-ups of other nodes come late: %.200s",
        s->subject, why);
    refusals_right(s, text);
    return;
  }
  log_warning(loop_log(s->loop), s->subject,
              "the connection for wake-ups of other nodes is gone (%s%s); trying again",
              refused ? "refused: " : "", why);
}

static void sub_message(void *arg, const char *text, size_t len) {
  wakeup_heard(arg, text, len);
}

/* --- life --- */

static struct link *link_of(struct store *s, const char *channel) {
  const struct storage_settings *st = s->st;
  struct link_settings ls = {.name = s->subject,
                             .unusable = st->broken,
                             .address = s->address,
                             .username = st->username,
                             .password = st->password,
                             .client_name = s->client_name,
                             .channel = channel,
                             .db = st->db,
                             .connect_timeout_ms = st->connect_timeout_ms,
                             .command_timeout_ms = st->command_timeout_ms,
                             .reconnect_max_ms = store_lease_ms(s) / 8,
                             .refused_ms = channel ? STORE_FORBIDDEN_MS : 0};
  struct link_events ev = {.up = channel ? sub_up : link_up,
                           .down = channel ? sub_down : link_down,
                           .message = sub_message,
                           .arg = s};
  return link_new(s->loop, &ls, &ev);
}

struct store *store_new(struct loop *loop, const struct storage_settings *st,
                        const struct server_settings *server, const char *node_instance,
                        unsigned shard, const struct store_events *ev) {
  struct store *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->loop = loop;
  s->st = st;
  s->server = server;
  s->ev = *ev;
  s->since_ms = loop_now_ms(loop);
  query_init(s);
  add_init(s);
  add_replicated_init(s);
  objects_init(s, on_attached);
  hello_init(s);
  sweep_init(s);
  wakeup_init(s);
  census_init(s);
  settle_start(s);
  s->node_instance = strdup(node_instance);
  if (asprintf(&s->subject, "storage %s", st->name) < 0) s->subject = NULL;
  if (asprintf(&s->client_name, "pepperbus-%s", server->node) < 0) s->client_name = NULL;
  if (membership_init(s, shard, &member_events) || unconfigured_init(s) || count_init(s) ||
      acts_init(s) || !s->node_instance || !s->subject || !s->client_name)
    goto failed;
  if (st->managed) {
    s->managed =
        managed_server_new(loop, s->subject, st->server_binary, server->state_dir, st->name);
    if (!s->managed) goto failed;
    s->address = strdup(managed_server_address(s->managed));
  } else {
    s->address = strdup(st->address);
  }
  if (!s->address || !(s->link = link_of(s, NULL)) || !(s->sub = link_of(s, STORE_CHANNEL)))
    goto failed;
  return s;
failed:
  store_free(s);
  return NULL;
}

void store_free(struct store *s) {
  if (!s) return;
  struct link *link = s->link, *sub = s->sub;
  s->freeing = true;
  state_set_silently(s, STORE_CONNECTING);
  s->link = s->sub = NULL;
  link_free(link);
  add_replicated_close(s);
  link_free(sub);
  add_answer_failed(s);
  query_answer_failed(s);
  flush_done(s);
  hello_done(s);
  membership_done(s);
  sweep_done(s);
  wakeup_done(s);
  unconfigured_done(s);
  census_done(s);
  count_done(s);
  acts_done(s);
  while (s->objects.lingering) settle_abandon(s->objects.lingering);
  query_done(s);
  settle_stop(s);
  add_done(s);
  objects_done(s);
  managed_server_free(s->managed);
  cmd_done(&s->out);
  free(s->node_instance);
  free(s->subject);
  free(s->client_name);
  free(s->address);
  free(s);
}

void store_stats(const struct store *s, struct store_stats *ret) {
  struct link_stats l = {0};
  if (s->link) link_stats(s->link, &l);
  *ret = (struct store_stats){.commands = l.commands,
                              .reconnects = l.reconnects,
                              .unknown = s->queries.unknown,
                              .late = s->settling.late,
                              .in_flight = l.in_flight,
                              .rtt_us = l.rtt_us};
}
