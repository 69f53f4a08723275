/* Owns tickets: a request with a plugin, from submit to its one completion. A cancelled request
 * keeps its ticket until the plugin completes it or its instance is destroyed.
 *
 * Must never happen: a plugin's completion acting inside the plugin's own call (it is queued and
 * acted on when the call is over), or one ticket completed twice (the second is counted and
 * ignored).
 */
#include "transport/private.h"

#include "base/log.h"
#include "transport/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ticket *ticket_new(struct transports *tr) {
  struct ticket *t = tr->free_tickets;
  if (t) {
    tr->free_tickets = t->next_free;
    t->generation++;
    return t;
  }
  if (tr->ticket_n == tr->ticket_cap) {
    size_t cap = tr->ticket_cap ? tr->ticket_cap * 2 : 64;
    struct ticket **p = realloc(tr->tickets, cap * sizeof *p);
    if (!p) return NULL;
    tr->tickets = p;
    tr->ticket_cap = cap;
  }
  t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->generation = 1;
  t->index = (uint32_t)tr->ticket_n + 1; /* 0 is never a ticket */
  tr->tickets[tr->ticket_n++] = t;
  return t;
}

static pb_ticket ticket_id(const struct ticket *t) {
  return (uint64_t)t->index << 32 | t->generation;
}

struct ticket *ticket_find(struct transports *tr, pb_ticket id) {
  size_t index = (size_t)(id >> 32);
  if (!index || index > tr->ticket_n) return NULL;
  struct ticket *t = tr->tickets[index - 1];
  return t->generation == (uint32_t)id && t->generation & 1 ? t : NULL;
}

static void ticket_free(struct transports *tr, struct ticket *t) {
  t->generation++;
  t->inst = NULL;
  t->completed = false;
  t->text.len = 0;
  if (t->text.failed || t->text.cap > 64 * 1024) buf_free(&t->text);
  t->next_free = tr->free_tickets;
  tr->free_tickets = t;
}

static size_t keep(struct buf *text, const char *data, size_t len) {
  size_t at = text->len;
  if (len) buf_add(text, data, len);
  buf_add(text, "", 1);
  return at;
}

void ticket_complete(struct ticket *t, const struct pb_result *r) {
  struct transports *tr = t->inst->tr;
  struct pb_result *own = &t->result;
  memset(own, 0, sizeof *own);
  memcpy(own, r, r->size && r->size < sizeof *own ? r->size : sizeof *own);
  if (!own->body) own->body_len = 0;
  if (!own->detail) own->detail_len = 0;
  t->error_code_at = keep(&t->text, own->error_code, own->error_code ? strlen(own->error_code) : 0);
  t->topics_at = keep(&t->text, own->topics, own->topics ? strlen(own->topics) : 0);
  t->body_at = keep(&t->text, own->body, own->body_len);
  t->detail_at = keep(&t->text, own->detail, own->detail_len);
  t->completed = true;
  t->next_done = NULL;
  *tr->done_end = t;
  tr->done_end = &t->next_done;
  loop_defer(tr->loop, &tr->deliver, tickets_deliver, tr);
}

void tickets_deliver(void *arg) {
  struct transports *tr = arg;
  struct ticket *t = tr->done;
  tr->done = NULL;
  tr->done_end = &tr->done;
  while (t) {
    struct ticket *next = t->next_done;
    struct instance *in = t->inst;
    struct pb_result *r = &t->result;
    if (t->text.failed) {
      *r = (struct pb_result){.outcome = PB_GARBLED, .detail = "no memory for the worker's answer"};
      r->detail_len = strlen(r->detail);
    } else {
      r->error_code = t->text.data + t->error_code_at;
      if (r->topics) r->topics = t->text.data + t->topics_at;
      r->body = t->text.data + t->body_at;
      r->detail = t->text.data + t->detail_at;
    }
    in->tickets--;
    t->fn(t->arg, r);
    ticket_free(tr, t);
    instance_idle(in);
    t = next;
  }
}

void tickets_lose(struct transports *tr, struct instance *in) {
  if (!in->tickets) return;
  for (size_t i = 0; i < tr->ticket_n; i++) {
    struct ticket *t = tr->tickets[i];
    if (t->inst != in || t->completed) continue;
    struct pb_result r = {.size = sizeof r,
                          .outcome = PB_LOST,
                          .detail = "the transport was closed while the request ran"};
    r.detail_len = strlen(r.detail);
    ticket_complete(t, &r);
  }
}

int instance_submit(struct instance *in, const struct pb_batch *b, instance_done_fn fn, void *arg,
                    pb_ticket *ret, struct pb_err *err) {
  struct transports *tr = in->tr;
  struct ticket *t = ticket_new(tr);
  if (!t) {
    snprintf(err->text, sizeof err->text, "out of memory");
    return -ENOMEM;
  }
  t->inst = in;
  t->batch = b;
  t->fn = fn;
  t->arg = arg;
  in->tickets++;
  *ret = ticket_id(t);
  uint64_t begin = call_begin();
  in->submitting = b;
  int rc = in->pool->plugin->desc->submit(in->inst, b, *ret, err);
  in->submitting = NULL;
  /* Making the texts that the plugin asked for is part of this time: at least 64 KB per ms. That is
   * the core's time, and with jobs of megabytes it is most of it. */
  begin += (b->form.len + b->json.len + b->bodies.len) >> 16;
  call_end(&in->owner, begin, "submit()");
  if (rc && t->completed) { /* it has a result by now: that one counts, the job may have run */
    log_warning(loop_log(tr->loop), in->owner.label,
                "the transport completed a request within submit() and refused it as well");
    return 0;
  }
  if (rc) {
    in->tickets--;
    ticket_free(tr, t);
  }
  return rc;
}

void instance_cancel(struct instance *in, pb_ticket id) {
  struct ticket *t = ticket_find(in->tr, id);
  if (t && !t->completed) in->pool->plugin->desc->cancel(in->inst, id);
}

void tickets_free(struct transports *tr) {
  for (size_t i = 0; i < tr->ticket_n; i++) {
    buf_free(&tr->tickets[i]->text);
    free(tr->tickets[i]);
  }
  free(tr->tickets);
}
