/* Owns the reading of workers' answers: ping lists and 207 lists. No I/O. */
#include "worker_reply.h"

#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool separator(char c) { return c == ',' || c == ';' || isspace((unsigned char)c) || c == '<' ||
                                       c == '>' || c == '"' || c == '\'' || c == '[' || c == ']'; }

/* Is `path` one of the words of a list? The list may stand amid other text: notices of PHP
 * pollute bodies, so it is not the whole that counts. */
static bool list_has(const char *list, size_t len, const char *path) {
  size_t want = strlen(path), i = 0;
  while (i < len) {
    while (i < len && separator(list[i])) i++;
    size_t start = i;
    while (i < len && !separator(list[i])) i++;
    if (i - start == want && !memcmp(list + start, path, want)) return true;
  }
  return false;
}

const char *worker_reply_reason(const struct pb_result *r, size_t *ret_len) {
  if (r->outcome == PB_ANSWERED && r->code && r->body_len) {
    *ret_len = r->body_len;
    return r->body;
  }
  if (r->detail_len) {
    *ret_len = r->detail_len;
    return r->detail;
  }
  *ret_len = r->body_len;
  return r->body ? r->body : "";
}

int worker_reply_ping(const struct pb_result *r, const char *path, char *ret_message, size_t size) {
  size_t len;
  const char *why = worker_reply_reason(r, &len);
  int shown = len > 400 ? 400 : (int)len;
  if (r->code == WORKER_OK) {
    if ((r->topics && list_has(r->topics, strlen(r->topics), path)) ||
        (r->body_len && list_has(r->body, r->body_len, path))) {
      snprintf(ret_message, size, "%s is registered", path);
      return WORKER_OK;
    }
    snprintf(ret_message, size, "the worker does not register %s; it registers: %.200s", path,
             r->topics && *r->topics ? r->topics : "nothing");
    return WORKER_UNREGISTERED;
  }
  if (r->code == WORKER_UNREGISTERED) {
    snprintf(ret_message, size, "the worker does not register %s: %.*s", path, shown, why);
    return WORKER_UNREGISTERED;
  }
  if (r->code)
    snprintf(ret_message, size, "the worker answered code %d: %.*s", (int)r->code, shown, why);
  else
    snprintf(ret_message, size, "%.*s", len ? shown : 400, len ? why : "the worker gave no verdict");
  return WORKER_FAILED;
}

static void verdict_set(struct worker_verdict *v, int code, const char *message, size_t len) {
  free(v->message);
  v->code = code;
  v->message = len ? malloc(len) : NULL;
  v->message_len = v->message ? len : 0;
  if (v->message) memcpy(v->message, message, len);
}

static void verdict_text(struct worker_verdict *v, int code, const char *text) {
  verdict_set(v, code, text, strlen(text));
}

/* Ids in the list are strings; numbers are taken too where they are exact. */
static bool id_equals(const json_t *item, const char *id) {
  char number[24];
  const json_t *v = json_object_get(item, "id");
  if (json_is_string(v))
    return json_string_length(v) == strlen(id) && !strcmp(json_string_value(v), id);
  if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
  snprintf(number, sizeof number, "%llu", (unsigned long long)json_integer_value(v));
  return !strcmp(number, id);
}

static void each_job(const struct pb_result *r, const char (*ids)[21], size_t n,
                     struct worker_verdict *verdicts) {
  json_error_t at;
  /* A NUL in one job's message (PHP's var_export() makes them) must not spoil the whole list. */
  json_t *list = json_loadb(r->body ? r->body : "", r->body ? r->body_len : 0,
                            JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &at);
  if (!json_is_array(list)) {
    char why[256];
    snprintf(why, sizeof why,
             "the worker answered 207 but its body is not a JSON list of outcomes (%s)",
             list ? "it is another value" : at.text);
    for (size_t i = 0; i < n; i++) verdict_text(&verdicts[i], WORKER_FAILED, why);
    json_decref(list);
    return;
  }
  size_t hint = 0, len = json_array_size(list);
  for (size_t i = 0; i < n; i++) {
    const json_t *found = NULL;
    /* Workers answer in the order they were asked: look there first. */
    for (size_t k = 0; k < len && !found; k++) {
      const json_t *item = json_array_get(list, (hint + k) % len);
      if (id_equals(item, ids[i])) {
        found = item;
        hint = (hint + k + 1) % len;
      }
    }
    if (!found) {
      verdict_text(&verdicts[i], WORKER_FAILED, "the worker's 207 list does not name this job");
      continue;
    }
    const json_t *code = json_object_get(found, "code"), *msg = json_object_get(found, "msg");
    if (!json_is_integer(code) || json_integer_value(code) < 0 || json_integer_value(code) > INT_MAX)
      verdict_text(&verdicts[i], WORKER_FAILED, "the worker's 207 list gives this job no code");
    else
      verdict_set(&verdicts[i], (int)json_integer_value(code),
                  json_is_string(msg) ? json_string_value(msg) : "",
                  json_is_string(msg) ? json_string_length(msg) : 0);
  }
  json_decref(list);
}

void worker_reply_jobs(const struct pb_result *r, const char (*ids)[21], size_t n,
                       struct worker_verdict *verdicts) {
  if (r->outcome == PB_ANSWERED && r->code == WORKER_EACH) {
    each_job(r, ids, n, verdicts);
    return;
  }
  size_t len = 0;
  /* Only an answer can have been a success. */
  bool done = r->outcome == PB_ANSWERED && r->code == WORKER_OK;
  int code = done || r->code != WORKER_OK ? r->code : WORKER_FAILED;
  const char *why = done ? "" : worker_reply_reason(r, &len);
  for (size_t i = 0; i < n; i++) verdict_set(&verdicts[i], code, why, len);
}
