/* A topic's jobs at hand: taken from the storage, to be run here. */
#ifndef PB_CORE_READY_H
#define PB_CORE_READY_H

#include "job/job.h"

#include <stddef.h>

struct topic;

void ready_begin(struct topic *t);
void ready_end(struct topic *t);
/* The storage brought jobs. Each is put at hand, or goes back, or is dead. */
void ready_arrived(struct topic *t, struct job_list *jobs);
/* The jobs of a request that was not run: first in line again. */
void ready_back(struct topic *t, struct job **jobs, size_t n);
/* All go back to the storage, for any node. */
void ready_give_back(struct topic *t);
/* All are forgotten; the storage's record has them. */
void ready_drop(struct topic *t);
/* By the topic's state they go back, wait for a while, or stay. */
void ready_by_state(struct topic *t);

#endif
