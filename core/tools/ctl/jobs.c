/* Verbs about jobs and their ids.
 */
#include "tools/ctl/ctl.h"

#include "base/out_of_memory.h"
#include "job/id_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTENT_MAX (1u << 30)

static char *read_all(FILE *f, const char *name, size_t *ret_len) {
  size_t len = 0, cap = 1u << 16;
  char *data = malloc(cap);
  if (!data) out_of_memory();
  for (size_t n; (n = fread(data + len, 1, cap - len, f)) > 0;) {
    len += n;
    if (len < cap) continue;
    if (len > CONTENT_MAX || !(data = realloc(data, cap *= 2))) {
      ctl_error("%s is too large for a job", name);
      exit(CTL_USAGE);
    }
  }
  if (ferror(f)) {
    ctl_error("cannot read %s: %s", name, strerror(errno));
    free(data);
    return NULL;
  }
  *ret_len = len;
  return data;
}

char *content_read(const char *text, size_t *ret_len) {
  if (!text || strcmp(text, "-") == 0) {
    if (isatty(STDIN_FILENO)) fputs("content (Ctrl-D ends it): ", stderr);
    return read_all(stdin, "standard input", ret_len);
  }
  if (*text != '@') {
    char *copy = strdup(text);
    if (!copy) out_of_memory();
    *ret_len = strlen(copy);
    return copy;
  }
  FILE *f = fopen(text + 1, "re");
  if (!f) {
    ctl_error("cannot read %s: %s; content that begins with @ goes by standard input", text + 1,
              strerror(errno));
    return NULL;
  }
  char *data = read_all(f, text + 1, ret_len);
  fclose(f);
  return data;
}

int verb_job_add(struct ctl *x) {
  json_t *o;
  size_t len;
  if (strchr(x->args.rest[0], '/')) {
    ctl_error("jobs are added to a queue, not to a topic: every topic of \"%.*s\" gets it",
              (int)strcspn(x->args.rest[0], "/"), x->args.rest[0]);
    return CTL_USAGE;
  }
  char *body = content_read(x->args.rest[1], &len);
  if (!body) return CTL_USAGE;
  char *path = path_query(path_queue(x->args.rest[0], "/jobs"), "delay", x->args.delay);
  int code = api_ask(
      x, &(struct request){.method = "POST", .path = path, .body = body, .body_len = len}, &o);
  free(path);
  free(body);
  if (code) return code;
  if (x->args.json) return print_json(o, CTL_OK);
  printf("%s added to %s%s%s\n", get_text(o, "id"), get_text(o, "queue"),
         x->args.delay ? ", not before " : "", x->args.delay ? x->args.delay : "");
  json_decref(o);
  return CTL_OK;
}

int verb_id(struct ctl *x) {
  char a[TEXT_MAX];
  json_t *o = id_json(x->args.rest[0]);
  if (!o) {
    ctl_error("\"%s\" is neither a job id (20 digits, or D-...) nor a trace id (ID-IPV4-PORT)",
              x->args.rest[0]);
    return CTL_USAGE;
  }
  if (x->args.json) return print_json(o, CTL_OK);
  printf("id        %s\ndisque    %s\ntime      %s (%s here)\nshard     %llu\nsequence  %llu\n",
         get_text(o, "id"), get_text(o, "disque_id"), get_text(o, "time"),
         text_time(get_u64(o, "unix_ms"), a), (unsigned long long)get_u64(o, "shard"),
         (unsigned long long)get_u64(o, "sequence"));
  if (*get_text(o, "gateway")) printf("gateway   %s\n", get_text(o, "gateway"));
  json_decref(o);
  return CTL_OK;
}
