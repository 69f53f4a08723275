/* Owns the form of a line of Prometheus' page, and of the head above it. */
#include "base/buf.h"
#include "metrics/prometheus_private.h"

void prometheus_head(struct buf *out, const char *name, const char *type, const char *help) {
  buf_printf(out, "# HELP pepperbus_%s %s\n# TYPE pepperbus_%s %s\n", name, help, name, type);
}

void prometheus_counter_head(struct buf *out, const struct counter *c) {
  if (c->help) prometheus_head(out, c->metric, "counter", c->help);
}

static void number(struct buf *out, double v) {
  if (v >= 0 && v < 9e15 && v == (double)(uint64_t)v)
    buf_add_u64(out, (uint64_t)v);
  else
    buf_printf(out, "%.15g", v);
}

/* A scrape has thousands of lines: no printf() for plain text. */
void prometheus_line(struct buf *out, const char *name, const char *labels, const char *more,
                     double v) {
  buf_add_text(out, "pepperbus_");
  buf_add_text(out, name);
  if (*labels || more) {
    buf_add(out, "{", 1);
    buf_add_text(out, labels);
    if (*labels && more) buf_add(out, ",", 1);
    if (more) buf_add_text(out, more);
    buf_add(out, "}", 1);
  }
  buf_add(out, " ", 1);
  number(out, v);
  buf_add(out, "\n", 1);
}
