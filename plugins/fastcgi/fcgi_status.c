/* Reads the page with jansson. Only this file of the plugin uses jansson.
 *
 * php-fpm's own sums of its processes (8.2) grow by one with each request on a kept connection and
 * are corrected once a second. So the processes of the full page are counted here.
 */
#include "fcgi_status.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static uint64_t status_count(const json_t *o, const char *name) {
  json_int_t n = json_integer_value(json_object_get(o, name));

  return n > 0 ? (uint64_t)n : 0;
}

static void each_process(const json_t *o, struct fcgi_page *page, fcgi_process_fn fn, void *arg) {
  const json_t *list = json_object_get(o, "processes");

  if (!json_array_size(list)) return;
  page->total = json_array_size(list);
  page->idle = 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *one = json_array_get(list, i);
    const char *script = json_string_value(json_object_get(one, "script"));
    const char *state = json_string_value(json_object_get(one, "state"));
    struct fcgi_process p = {
        .script = script ? script : "",
        .requests = status_count(one, "requests"),
        .cpu = json_number_value(json_object_get(one, "last request cpu")) / 100,
        .memory = status_count(one, "last request memory"),
    };

    if (!state || strcmp(state, "Idle") != 0) continue;
    page->idle++;
    if (fn && p.requests && p.cpu >= 0) fn(arg, &p);
  }
  page->active = page->total - page->idle;
}

int fcgi_status_parse(const char *text, size_t len, struct fcgi_page *ret, fcgi_process_fn fn,
                      void *arg) {
  json_t *o = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
  const char *manager = json_string_value(json_object_get(o, "process manager"));

  /* Both are on every such page, and on no other that we know. */
  if (!manager || !json_is_integer(json_object_get(o, "total processes"))) {
    json_decref(o);
    return -EBADMSG;
  }
  *ret = (struct fcgi_page){
      .start_time = status_count(o, "start time"),
      .accepted = status_count(o, "accepted conn"),
      .idle = status_count(o, "idle processes"),
      .active = status_count(o, "active processes"),
      .total = status_count(o, "total processes"),
      .queue = status_count(o, "listen queue"),
      .max_children_reached = status_count(o, "max children reached"),
      .slow_requests = status_count(o, "slow requests"),
      .fixed = strcmp(manager, "static") == 0,
  };
  each_process(o, ret, fn, arg);
  json_decref(o);
  return 0;
}
