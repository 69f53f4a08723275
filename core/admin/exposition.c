/* Owns the texts of /metrics: how a text is made, which scraper reads which text, and when a text
 * is given up.
 *
 * Must never happen: a scrape that holds the loop for more than a ms; one text for each scraper;
 * old texts kept in memory because a scraper does not read.
 */
#include "admin/exposition.h"

#include "admin/private.h"
#include "base/buf.h"
#include "metrics/prometheus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FRESH_MS    1000        /* a text is shared for so long, or as long as ... */
#define COST        20          /* ... this many times as long as the making took */
#define STEP_US     1000        /* of making a text in one turn, ... */
#define REST_MS     1           /* ... before others have so long at least */
#define TEXTS_MAX   (24u << 20) /* bytes of all texts; a single one may have more */
#define WAIT_MS     20          /* while a reload is being applied */
#define STALE_MS    10000       /* a scraper this slow is dropped when room is short */
#define PIECE       (64u << 10) /* of an answer */
#define BLOCK       (4 * PIECE) /* of a text */
#define CLEAR       4           /* blocks that are given back in one turn */
#define TOPICS_AUTO 1000
#define TRIES_MAX                                                                                  \
  20 /* a text that is begun again so often, since topics came and went, is given up */

enum { FORMS = 2 }; /* sums, each topic */

struct scraper;

struct text {
  struct text *next; /* of exposition->texts, the youngest first */
  bool topics, whole, failed;
  uint64_t begun_ms, took_us;
  char **blocks; /* of BLOCK bytes, all but the last full; each a mapping of its own */
  size_t n_blocks, len;
  struct scraper *scrapers;
};

/* A scraper reads a text, or waits until the text is made. */
struct scraper {
  struct scraper *next, **prev; /* in the list of its text */
  struct text *text;            /* NULL: it was given up under him */
  struct call *call;            /* while he waits */
  size_t at;
};

struct exposition {
  struct admin *admin;
  struct text *texts;
  struct text *dead; /* nobody reads them; their blocks are given back a few at a time */
  struct timer clear;
  struct text *current[FORMS];
  size_t last_len[FORMS];
  /* The text that is being made. */
  struct text *making, *then; /* then: of the other form, to be made after it */
  struct prometheus_text *text;
  struct exposition_cursor plugins;
  bool pools;
  unsigned tries;
  uint64_t took_us;
  struct timer step;
};

/* --- texts --- */

/* Of all texts in memory. */
static size_t exposition_bytes(const struct exposition *x) {
  size_t n = 0;
  for (const struct text *t = x->texts; t; t = t->next) n += t->n_blocks * BLOCK;
  return n;
}

/* In blocks, since a text of 20 MB that grows in one piece is copied again and again. The heap has
 * none of them: to give back 40 MB of it at once took a turn of 25 ms. */
static void text_add(struct text *t, const char *data, size_t len) {
  while (len && !t->failed) {
    size_t at = t->len % BLOCK, n = BLOCK - at < len ? BLOCK - at : len;
    if (!at) {
      char **p = realloc(t->blocks, (t->n_blocks + 1) * sizeof *p);
      if (p) t->blocks = p;
      void *block =
          p ? mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            : MAP_FAILED;
      t->failed = block == MAP_FAILED;
      if (!t->failed) t->blocks[t->n_blocks++] = block;
    }
    if (t->failed) return;
    memcpy(t->blocks[t->n_blocks - 1] + at, data, n);
    t->len += n;
    data += n;
    len -= n;
  }
}

/* Gives back `n` blocks at most. True: it has none any more. */
static bool text_clear(struct text *t, size_t n) {
  while (t->n_blocks && n--) munmap(t->blocks[--t->n_blocks], BLOCK);
  if (t->n_blocks) return false;
  free(t->blocks);
  t->blocks = NULL;
  return true;
}

static void dead_clear(void *arg) {
  struct exposition *x = arg;
  struct text *t = x->dead;
  if (t && text_clear(t, CLEAR)) {
    x->dead = t->next;
    free(t);
  }
  if (x->dead) timer_start(&x->clear, REST_MS);
}

/* It is in no other list. */
static void text_bury(struct exposition *x, struct text *t) {
  t->next = x->dead;
  x->dead = t;
  if (!timer_pending(&x->clear)) timer_start(&x->clear, REST_MS);
}

/* What was made of it so far is thrown away. */
static bool text_again(struct exposition *x, struct text *t) {
  struct text *old = t->n_blocks ? calloc(1, sizeof *old) : NULL;
  if (!t->n_blocks) return true;
  if (!old) return false;
  old->blocks = t->blocks;
  old->n_blocks = t->n_blocks;
  t->blocks = NULL;
  t->n_blocks = t->len = 0;
  text_bury(x, old);
  return true;
}

static void scraper_leave(struct scraper *s) {
  if (!s->text) return;
  *s->prev = s->next;
  if (s->next) s->next->prev = s->prev;
  s->text = NULL;
}

static void text_free(struct exposition *x, struct text *t) {
  for (struct text **at = &x->texts; *at; at = &(*at)->next)
    if (*at == t) {
      *at = t->next;
      break;
    }
  if (x->current[t->topics] == t) x->current[t->topics] = NULL;
  while (t->scrapers) scraper_leave(t->scrapers);
  text_bury(x, t);
}

/* Frees the texts that no scraper reads, except the latest. */
static void texts_trim(struct exposition *x) {
  struct text *next;
  for (struct text *t = x->texts; t; t = next) {
    next = t->next;
    if (!t->scrapers && t->whole && t != x->current[t->topics]) text_free(x, t);
  }
}

/* Makes room for one more text. An old text is dropped if its scrapers have had their time to read
 * it. */
static bool texts_room(struct exposition *x, size_t len, uint64_t now) {
  texts_trim(x);
  while (x->texts && exposition_bytes(x) + len > TEXTS_MAX) {
    struct text *oldest = x->texts;
    while (oldest->next) oldest = oldest->next;
    if (!oldest->whole || (oldest->scrapers && now - oldest->begun_ms < STALE_MS)) return false;
    text_free(x, oldest);
  }
  return true;
}

/* --- scrapers --- */

static enum http_stream scraper_read(void *arg, struct buf *out) {
  struct scraper *s = arg;
  if (!s->text) return HTTP_CUT;
  size_t left = s->text->len - s->at, n = left < PIECE ? left : PIECE; /* at is at a piece's edge */
  buf_add(out, s->text->blocks[s->at / BLOCK] + s->at % BLOCK, n);
  s->at += n;
  return n == left ? HTTP_END : HTTP_MORE;
}

static void scraper_done(void *arg) {
  scraper_leave(arg);
  free(arg);
}

static void scraper_start(struct scraper *s) {
  static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
  struct call *c = s->call;
  s->call = NULL;
  call_stream(c, type, s->text->len, scraper_read, scraper_done, s);
  call_unref(c);
}

/* The text is there, or will not come. */
static void scrapers_start(struct text *t) {
  struct scraper *next;
  for (struct scraper *s = t->scrapers; s; s = next) {
    next = s->next;
    if (!s->call) continue;
    if (!t->failed && !call_answered(s->call)) {
      scraper_start(s);
      continue;
    }
    call_error(s->call, 503, "the metrics are not available now; try again");
    call_unref(s->call);
    scraper_done(s);
  }
}

static void scraper_join(struct text *t, struct call *c) {
  struct scraper *s = calloc(1, sizeof *s);
  if (!s) {
    call_error(c, 500, "out of memory");
    return;
  }
  s->text = t;
  s->next = t->scrapers;
  s->prev = &t->scrapers;
  if (s->next) s->next->prev = &s->next;
  t->scrapers = s;
  s->call = c;
  call_wait(c, ADMIN_WAIT_MS);
  if (t->whole) scraper_start(s);
}

/* --- making one --- */

static struct prometheus_form form_of(const struct exposition *x, bool topics) {
  return (struct prometheus_form){.topics = topics,
                                  .legacy = x->admin->view->settings->server.legacy_metrics};
}

static void make_start(struct exposition *x, struct text *t);

static void make_end(struct exposition *x, bool failed) {
  struct text *t = x->making;
  prometheus_free(x->text);
  x->text = NULL;
  x->making = NULL;
  t->failed |= failed;
  t->whole = !t->failed;
  t->took_us = x->took_us;
  if (t->whole) x->last_len[t->topics] = t->len;
  scrapers_start(t);
  if (t->failed)
    text_free(x, t);
  else
    texts_trim(x);
  struct text *then = x->then;
  x->then = NULL;
  if (then) make_start(x, then);
}

static bool make_begin(struct exposition *x) {
  x->plugins = (struct exposition_cursor){0};
  x->pools = false;
  prometheus_free(x->text);
  x->text = NULL;
  if (!text_again(x, x->making)) return false;
  x->text = prometheus_new(x->admin->view->metrics, form_of(x, x->making->topics));
  return x->text != NULL;
}

/* True: more pieces follow. The pieces may show different moments. Each line is right for the
 * moment of its piece. */
static bool make_piece(struct exposition *x, struct buf *out) {
  struct text *t = x->making;
  int rc = prometheus_more(x->text, out);
  if (rc == -EAGAIN) {
    out->len = 0;
    if (++x->tries < TRIES_MAX && make_begin(x)) return true;
    make_end(x, true);
    return false;
  }
  if (!rc && !x->pools) {
    exposition_pools(x->admin->view, t->topics, out);
    exposition_port(x->admin, out);
    exposition_cluster(x->admin->view, out);
    exposition_alerts(x->admin->view, out);
    exposition_history(x->admin->view, out);
    x->pools = true;
  } else if (!rc && exposition_plugins(x->admin->view, t->topics, &x->plugins, out)) {
    rc = -1; /* the last piece */
  }
  t->failed |= out->failed;
  text_add(t, out->data, out->len);
  out->len = 0;
  if (rc >= 0) return true;
  make_end(x, false);
  return false;
}

static void make_step(void *arg) {
  struct exposition *x = arg;
  struct buf piece = {0};
  uint64_t begin = loop_clock_us();
  if (!x->making) return;
  if (registry_applies(
          x->admin->view->registry)) { /* it would have to start over, again and again */
    timer_start(&x->step, WAIT_MS);
    return;
  }
  bool more = true;
  while (more && loop_clock_us() - begin < STEP_US) {
    uint64_t from = loop_clock_us();
    more = make_piece(x, &piece);
    x->took_us += loop_clock_us() - from;
  }
  buf_free(&piece);
  if (more) timer_start(&x->step, REST_MS);
}

static void make_start(struct exposition *x, struct text *t) {
  x->making = t;
  x->tries = 0;
  x->took_us = 0;
  if (make_begin(x))
    timer_start(&x->step, 0);
  else
    make_end(x, true);
}

/* The other form may be in the making: then it follows. */
static struct text *text_new(struct exposition *x, bool topics, uint64_t now) {
  struct text *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->topics = topics;
  t->begun_ms = now;
  t->next = x->texts;
  x->texts = t;
  x->current[topics] = t;
  return t;
}

/* --- asking --- */

static bool wants_topics(struct call *c) {
  char detail[16] = "";
  const struct settings *s = c->view->settings;
  if (call_query(c, "detail", detail, sizeof detail)) return !strcmp(detail, "topic");
  if (s->server.metrics) return s->server.metrics == 2;
  return s->n_topics <= TOPICS_AUTO;
}

static uint64_t fresh_ms(const struct text *t) {
  uint64_t ms = COST * t->took_us / 1000;
  return ms < FRESH_MS ? ms : FRESH_MS;
}

void admin_get_metrics(struct call *c) {
  struct exposition *x = c->admin->exposition;
  uint64_t now = loop_now_ms(c->view->loop);
  bool topics = wants_topics(c);
  struct text *t = x->current[topics];
  bool fresh = t && (!t->whole || now - t->begun_ms < fresh_ms(t));
  bool makes = !fresh && texts_room(x, x->last_len[topics], now);
  if (!fresh) t = makes ? text_new(x, topics, now) : x->current[topics];
  if (!t) {
    call_error(c, 503, "too many others read the metrics now; try again");
    return;
  }
  scraper_join(t, c);
  if (!makes) return;
  if (x->making)
    x->then = t;
  else
    make_start(x, t);
}

/* --- life --- */

struct exposition *exposition_new(struct admin *a) {
  struct exposition *x = calloc(1, sizeof *x);
  if (!x) return NULL;
  x->admin = a;
  timer_init(&x->step, a->view->loop, make_step, x);
  timer_init(&x->clear, a->view->loop, dead_clear, x);
  return x;
}

void exposition_free(struct exposition *x) {
  if (!x) return;
  timer_done(&x->step);
  x->then = NULL;
  if (x->making) make_end(x, true);
  while (x->texts) text_free(x, x->texts);
  timer_done(&x->clear);
  while (x->dead) {
    struct text *t = x->dead;
    x->dead = t->next;
    text_clear(t, SIZE_MAX);
    free(t);
  }
  free(x);
}
