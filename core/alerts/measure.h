/* What an alert watches, as a number: by what this node sees, and what the storages tell. */
#ifndef PB_CORE_ALERTS_MEASURE_H
#define PB_CORE_ALERTS_MEASURE_H

#include "config/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct loop;
struct measure;
struct registry;

/* Failed attempts of the last minute: how many there were in all, look by look. */
#define FAILED_LOOKS 32
struct failed_minute {
  struct {
    uint64_t at_ms, total;
  } looks[FAILED_LOOKS];
  size_t first, n;
};

struct measure *measure_new(struct loop *loop, struct registry *reg, struct control *control);
void measure_free(struct measure *m); /* after the stores are freed; NULL is fine */
/* Each node has its part of it, and the parts are added up. */
bool measure_is_shared(enum alert_metric metric);
/* This node's part of such a metric. */
double measure_share(struct measure *m, const struct alert_settings *set, struct failed_minute *f);
/* Of another metric, by what is known now; asks for what is not. False: it is not known. */
bool measure_whole(struct measure *m, const struct alert_settings *set, double *ret);
/* The end of a look at all alerts: what was wanted is asked for. */
void measure_ask(struct measure *m);
/* Failed attempts up to now; the answer: in the last minute. */
uint64_t failed_minute_add(struct failed_minute *f, uint64_t now_ms, uint64_t total);

#endif
