/* Owns requests: batches, tickets, their cancellation; and a topic's end. */
#include "tools/plugin_check/host_private.h"

#include <errno.h>
#include <stdio.h>

#define JOB_ID 4611686018427387905u /* of a batch's first job */

void host_timeout(struct host_inst *in, uint64_t ms) {
  in->info.timeout_ms = ms;
}

static struct pb_batch *batch_new(struct host_inst *in, size_t n) {
  struct host *h = in->p->h;
  struct pb_batch *b = host_must(calloc(1, sizeof *b));
  pb_ticket id = h->last_id + 1;

  b->h = h;
  b->type = n ? PB_BATCH_DATA : PB_BATCH_PING;
  b->n = n;
  b->ids = host_must(calloc(n + 1, sizeof *b->ids));
  for (size_t i = 0; i < n; i++)
    snprintf(b->ids[i], sizeof b->ids[i], "%ju", (uintmax_t)JOB_ID + i);
  b->deadline_ms = h->now_ms + in->info.timeout_ms;
  snprintf(b->trace, sizeof b->trace, "%llu-2130706433-12017", (unsigned long long)id);
  snprintf(b->traceparent, sizeof b->traceparent,
           "00-40000000000000017f0000012ef10000-4000000000000002-01");
  return b;
}

static struct host_ticket *submit(struct host_inst *in, struct pb_batch *b) {
  struct host *h = in->p->h;
  struct host_ticket *t = host_must(calloc(1, sizeof *t));

  if (in->draining || in->destroyed) host_give_up("submit after drain");
  t->id = ++h->last_id;
  t->inst = in;
  t->batch = b;
  t->was_ping = b->type == PB_BATCH_PING;
  t->next = h->tickets;
  h->tickets = t;
  in->open++;
  h->submit_why = (struct pb_err){0};
  HOST_CALL(h, "submit()", h->submit_error = h->t->submit(in->inst, b, t->id, &h->submit_why));
  if (h->submit_error > 0)
    host_fault(h, "returns %d from submit(): it is 0, or a negative errno", h->submit_error);
  if (h->submit_error == 0) return t;
  if (t->completions)
    host_fault(h, "completes a request within submit() and refuses it as well");
  else
    in->open--;
  if (h->submit_error != -EAGAIN && !h->submit_why.text[0])
    host_fault(h, "refuses a batch in submit() (%s) and leaves err->text empty",
               strerror(-h->submit_error));
  for (size_t i = 0; i < h->queue_n; i++)
    if (h->queue[i] == t) h->queue[i] = h->queue[--h->queue_n];
  for (struct host_ticket **at = &h->tickets; *at; at = &(*at)->next)
    if (*at == t) {
      *at = t->next;
      break;
    }
  host_free_ticket(t);
  return NULL;
}

struct host_ticket *host_submit(struct host_inst *in, const char *form, size_t len) {
  struct pb_batch *b = batch_new(in, form ? 1 : 0);

  if (!form) {
    form = "IS_PEPPER_BUS_REQUEST=true&type=ping";
    len = strlen(form);
  }
  b->form = host_copy(form, len);
  b->content = host_copy(form, len);
  b->form_len = b->len = len;
  b->json = host_copy_text(b->n ? in->p->h->json : "[]");
  b->json_len = strlen(b->json);
  return submit(in, b);
}

/* The same JSON plain and as a form's value. */
static void put_json(FILE *json, FILE *form, const char *text, size_t len) {
  fwrite(text, 1, len, json);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];

    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
      fputc(c, form);
    else
      fprintf(form, "%%%02X", c);
  }
}

struct host_ticket *host_submit_jobs(struct host_inst *in, size_t n, const char *content,
                                     size_t len) {
  struct pb_batch *b = batch_new(in, n);
  FILE *json = host_must(open_memstream(&b->json, &b->json_len));
  FILE *form = host_must(open_memstream(&b->form, &b->form_len));

  fprintf(form,
          "IS_PEPPER_BUS_REQUEST=true&type=data&outTraceId=%s&queue=%s&topic=%s&jobs=", b->trace,
          in->info.queue, in->info.topic);
  put_json(json, form, "[", 1);
  for (size_t i = 0; i < n; i++) {
    static const char tail[] = "\",\"retrying\":0,\"RetryTimes\":1}";
    char head[160];
    int head_len =
        snprintf(head, sizeof head, "%s{\"id\":\"%s\",\"inTraceId\":\"%s\",\"content\":\"",
                 i ? "," : "", b->ids[i], b->trace);

    put_json(json, form, head, (size_t)head_len);
    put_json(json, form, content, len);
    put_json(json, form, tail, sizeof tail - 1);
  }
  put_json(json, form, "]", 1);
  if (fclose(json) || fclose(form)) host_give_up("no memory");
  b->content = host_copy(content, len);
  b->len = len;
  return submit(in, b);
}

int host_submit_error(const struct host *h) {
  return h->submit_error;
}

const char *host_submit_why(const struct host *h) {
  return h->submit_why.text;
}

unsigned host_ready(const struct host_inst *in) {
  return in->ready;
}

void host_cancel_id(struct host_inst *in, pb_ticket id) {
  HOST_CALL(in->p->h, "cancel()", in->p->h->t->cancel(in->inst, id));
}

void host_cancel(struct host_ticket *t) {
  host_cancel_id(t->inst, t->id);
}

void host_drain(struct host_inst *in) {
  in->draining = true;
  HOST_CALL(in->p->h, "drain()", in->p->h->t->drain(in->inst));
}

bool host_drained(const struct host_inst *in) {
  return in->drained == 1 && !in->open;
}

unsigned host_open(const struct host_inst *in) {
  return in->open;
}

void host_destroy(struct host_inst *in) {
  HOST_CALL(in->p->h, "destroy()", in->p->h->t->destroy(in->inst));
  in->destroyed = true;
  in->p->instances--;
  host_owner_gone(in->owner, "destroy()");
}
