/* Owns the processes of a topic whose workers take their jobs by themselves, by RPOP over the
 * broker's port. The processes are started, kept alive and ended, and their output is logged.
 *
 * The broker sends them nothing. A ping is answered here: are the processes up?
 */
#include "child.h"
#include "keeper.h"
#include "launch.h"
#include "tail.h"

#include <errno.h>
#include <pepperbus/text.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define STABLE_MS 10000 /* who lived this long is started again without a pause */

struct puller {
  struct proc proc;
  struct tail said; /* on both outputs */
};

struct pull {
  struct instance base;
  struct keeper keeper;
};

static void puller_readable(struct proc *p, int fd) {
  struct puller *w = (struct puller *)p;
  char *scratch = p->keeper->in->plugin->scratch;
  ssize_t n = child_read(fd, scratch, SCRATCH_SIZE);

  if (n > 0) {
    tail_add(&w->said, scratch, (size_t)n);
    proc_print(p, scratch, (size_t)n);
  }
  if (n < 0) proc_close_fd(p, fd == p->out ? &p->out : &p->err);
}

/* --- processes come and go --- */

static void puller_up(struct proc *p) {
  struct puller *w = (struct puller *)p;

  if (!w->said.max) tail_init(&w->said, STDERR_MAX);
  tail_clear(&w->said);
}

static void puller_down(struct proc *p, int wait_status, const char *why) {
  struct puller *w = (struct puller *)p;
  struct instance *in = p->keeper->in;
  size_t len;
  const char *said = tail_text(&w->said, &len);
  char brief[300];

  (void)wait_status;
  if (p->planned || p->keeper->stopping) return;
  pb_excerpt(brief, sizeof brief, said, len);
  keeper_note(p->keeper, why, said, len);
  instance_log(in, PB_LOG_WARNING, "a pull worker %s%s%s; it is started again%s", why,
               len ? ": " : "", brief, p->failures ? " after a pause" : "");
}

static void pull_stopped(struct instance *in) {
  in->plugin->h->drained(in->o);
}

static const struct keeper_ops pull_ops = {
    .up = puller_up,
    .readable = puller_readable,
    .down = puller_down,
    .stopped = pull_stopped,
};

/* --- the host's calls --- */

static int pull_start(struct instance *base, struct pb_err *err) {
  struct pull *in = (struct pull *)base;

  in->keeper.stable_ms = STABLE_MS;
  return keeper_start(&in->keeper, base, &pull_ops, base->topic->workers, sizeof(struct puller),
                      false, err);
}

static int pull_submit(struct instance *base, const struct pb_batch *b, pb_ticket t,
                       struct pb_err *err) {
  struct pull *in = (struct pull *)base;
  const struct pb_host *h = base->plugin->h;
  struct pb_result res = {.size = sizeof res, .outcome = PB_ANSWERED, .code = 200};

  if (h->batch_type(b) != PB_BATCH_PING) {
    snprintf(err->text, sizeof err->text,
             "pull workers take their jobs themselves; nothing can be sent to them");
    return -EOPNOTSUPP;
  }
  if (keeper_failing(&in->keeper)) {
    res.outcome = PB_UNREACHABLE;
    res.detail = in->keeper.last;
    res.detail_len = strlen(res.detail);
  }
  res.topics = base->path;
  h->complete(base->o, t, &res);
  return 0;
}

static void pull_cancel(struct instance *base, pb_ticket t) {
  (void)base, (void)t; /* pings are answered at once */
}

static void pull_drain(struct instance *base) {
  keeper_stop(&((struct pull *)base)->keeper, STEP_TERM);
}

static void pull_destroy(struct instance *base) {
  struct pull *in = (struct pull *)base;

  for (size_t i = 0; i < in->keeper.n; i++)
    tail_done(&((struct puller *)in->keeper.procs[i])->said);
  keeper_destroy(&in->keeper);
}

static int pull_health(struct instance *base, char *ret, size_t size) {
  return keeper_health(&((struct pull *)base)->keeper, ret, size);
}

const struct mode mode_pull = {
    .size = sizeof(struct pull),
    .start = pull_start,
    .submit = pull_submit,
    .cancel = pull_cancel,
    .drain = pull_drain,
    .destroy = pull_destroy,
    .health = pull_health,
};
