/* Owns the reading of workers' answers: ping lists and 207 lists. No I/O. */
#include "dispatch/request_answer.h"

#include <pepperbus/text.h>
#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_CODE_MAX  40   /* shown of the header Error-Code */
#define BEFORE_CODE_MAX 1900 /* of a message that stands before it: stores keep 2,000 bytes */

static bool separator(char c) {
  return c == ',' || c == ';' || isspace((unsigned char)c) || c == '<' || c == '>' || c == '"' ||
         c == '\'' || c == '[' || c == ']';
}

/* Is `path` one of the words of the list? The list may stand in other text, because notices of PHP
 * pollute bodies. So the whole text need not be a list. */
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

const char *request_answer_reason(const struct pb_result *r, size_t *ret_len) {
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

int request_answer_ping(const struct pb_result *r, const char *path, char *ret_message,
                        size_t size) {
  size_t len;
  const char *why = request_answer_reason(r, &len);
  char shown[401];
  pb_excerpt(shown, sizeof shown, why, len);
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
    snprintf(ret_message, size, "the worker does not register %s: %s", path, shown);
    return WORKER_UNREGISTERED;
  }
  if (r->code)
    snprintf(ret_message, size, "the worker answered code %d: %s", (int)r->code, shown);
  else
    snprintf(ret_message, size, "%s", len ? shown : "the worker gave no verdict");
  return WORKER_FAILED;
}

static void verdict_set(struct request_verdict *v, int code, const char *message, size_t len) {
  free(v->message);
  v->code = code;
  v->message = len ? malloc(len) : NULL;
  v->message_len = v->message ? len : 0;
  if (v->message) memcpy(v->message, message, len);
}

/* The worker's own code is added after its message. Codes 0 and 1 say no more than the verdict
 * does. */
static void verdict_failed(struct request_verdict *v, int code, const char *message, size_t len,
                           const char *error_code) {
  char tail[ERROR_CODE_MAX + 20];
  bool plain = !error_code || !*error_code || !strcmp(error_code, "0") || !strcmp(error_code, "1");
  char shown[BEFORE_CODE_MAX + 1];
  if (!plain && len > BEFORE_CODE_MAX) {
    len = pb_excerpt(shown, sizeof shown, message, len);
    message = shown;
  }
  verdict_set(v, code, message, len);
  if (plain) return;
  int n = snprintf(tail, sizeof tail, "%s(error code %.*s)", len ? " " : "", ERROR_CODE_MAX,
                   error_code);
  char *grown = realloc(v->message, v->message_len + (size_t)n);
  if (!grown) return;
  memcpy(grown + v->message_len, tail, (size_t)n);
  v->message = grown;
  v->message_len += (size_t)n;
}

static void verdict_text(struct request_verdict *v, int code, const char *text) {
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

/* --- a 207 list amid other text --- */

#define MISSES_MAX                                                                                 \
  1000 /* beginnings that were none; a body of "[{[{..." must not take for ever                    \
        */

/* Turns numbers that jansson cannot hold into strings, digit for digit: numbers with more than 18
 * digits, a fraction or an exponent. So an id keeps its 64 bits, and an odd number spoils only its
 * own job, not the list. NULL: no memory. */
static char *numbers_quoted(const char *p, size_t len, size_t *ret_len) {
  char *out = malloc(2 * len + 1), *to = out; /* a quoted number has two bytes at least */
  bool text = false;
  if (!out) return NULL;
  for (size_t i = 0; i < len;) {
    size_t n = 0, digits = 0;
    if (!text)
      while (i + n < len && memchr("0123456789+-.eE", p[i + n], 15) &&
             (n || p[i] == '-' || isdigit((unsigned char)p[i])))
        digits += isdigit((unsigned char)p[i + n++]) != 0;
    bool plain = digits <= 18 && (n == digits || (p[i] == '-' && n == digits + 1));
    if (!n) {
      if (text && p[i] == '\\' && i + 1 < len)
        *to++ = p[i++];
      else if (p[i] == '"')
        text = !text;
      *to++ = p[i++];
      continue;
    }
    if (!plain && n > 1) *to++ = '"';
    memcpy(to, p + i, n);
    to += n;
    i += n;
    if (!plain && n > 1) *to++ = '"';
  }
  *ret_len = (size_t)(to - out);
  return out;
}

/* How far an array is a list of outcomes. */
enum list_rank { LIST_OTHER, LIST_IDS, LIST_CODES };

static enum list_rank list_rank(const json_t *list) {
  enum list_rank rank = LIST_OTHER;
  for (size_t i = 0; i < json_array_size(list) && rank < LIST_CODES; i++) {
    const json_t *item = json_array_get(list, i);
    if (!json_object_get(item, "id")) continue;
    rank = json_object_get(item, "code") ? LIST_CODES : LIST_IDS;
  }
  return rank;
}

/* Finds the list in the body. NULL, and the reason, if there is none. Other output may stand around
 * the list: notices of PHP, output of the worker, even other lists. The list that gives codes to
 * ids counts. If there are several, the last one counts: a worker prints first and answers then.
 * The time is linear, because bytes that were read in vain are counted. */
static json_t *list_find(const char *p, size_t len, char *ret_why, size_t size) {
  json_t *found = NULL;
  char *quoted = NULL;
  enum list_rank rank = LIST_OTHER;
  size_t vain = 0, misses = 0, most = 2 * len;
  bool start = true;
  for (size_t i = 0; i < len && misses < MISSES_MAX && vain <= most;) {
    json_error_t at;
    size_t k = i + 1;
    while (k < len && isspace((unsigned char)p[k])) k++;
    bool begins = (p[i] == '[' && (start || (k < len && p[k] == '{'))) || (p[i] == '{' && start);
    if (!begins) {
      start &= isspace((unsigned char)p[i]) != 0;
      i++;
      continue;
    }
    /* A NUL in one job's message (PHP's var_export() makes them) must not spoil the whole list. */
    json_t *v = json_loadb(p + i, len - i, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &at);
    size_t read = at.position > 0 ? (size_t)at.position : 1;
    if (v) {
      enum list_rank is = json_is_array(v) ? list_rank(v) : LIST_OTHER;
      if (json_is_array(v) && (!found || is >= rank)) {
        json_decref(found);
        found = json_incref(v);
        rank = is;
      } else if (!found) {
        snprintf(ret_why, size, "it is another value");
      }
      json_decref(v);
      i += read;
    } else if (json_error_code(&at) == json_error_numeric_overflow && !quoted) {
      if (!(quoted = numbers_quoted(p + i, len - i, &len))) break;
      p = quoted;
      i = 0;
      continue; /* the same beginning once more */
    } else {
      if (!*ret_why) snprintf(ret_why, size, "%s", at.text);
      /* Cut off: a list within it is not the worker's answer. */
      if (json_error_code(&at) == json_error_premature_end_of_input) break;
      vain += read;
      misses++;
      i++;
    }
    start = false;
  }
  if (!found && !*ret_why) snprintf(ret_why, size, "there is none in it");
  free(quoted);
  return found;
}

static void each_job(const struct pb_result *r, const char (*ids)[21], size_t n,
                     struct request_verdict *verdicts) {
  char reason[JSON_ERROR_TEXT_LENGTH] = "";
  json_t *list = list_find(r->body, r->body ? r->body_len : 0, reason, sizeof reason);
  if (!list) {
    char why[256];
    snprintf(why, sizeof why,
             "the worker answered 207 but its body is not a JSON list of outcomes (%.160s)",
             reason);
    for (size_t i = 0; i < n; i++) verdict_text(&verdicts[i], WORKER_FAILED, why);
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
    if (!json_is_integer(code) || json_integer_value(code) < 0 ||
        json_integer_value(code) > INT_MAX)
      verdict_text(&verdicts[i], WORKER_FAILED, "the worker's 207 list gives this job no code");
    else
      verdict_set(&verdicts[i], (int)json_integer_value(code),
                  json_is_string(msg) ? json_string_value(msg) : "",
                  json_is_string(msg) ? json_string_length(msg) : 0);
  }
  json_decref(list);
}

void request_answer_jobs(const struct pb_result *r, const char (*ids)[21], size_t n,
                         struct request_verdict *verdicts) {
  if (r->outcome == PB_ANSWERED && r->code == WORKER_EACH) {
    each_job(r, ids, n, verdicts);
    return;
  }
  size_t len = 0;
  /* Only an answer can have been a success. */
  bool done = r->outcome == PB_ANSWERED && r->code == WORKER_OK;
  int code = done || r->code != WORKER_OK ? r->code : WORKER_FAILED;
  const char *why = done ? "" : request_answer_reason(r, &len);
  const char *own = r->outcome == PB_ANSWERED && !done ? r->error_code : NULL;
  for (size_t i = 0; i < n; i++) verdict_failed(&verdicts[i], code, why, len, own);
}
