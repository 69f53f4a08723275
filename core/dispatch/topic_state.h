/* Facts of a topic -> its state. */
#ifndef PB_CORE_TOPIC_STATE_H
#define PB_CORE_TOPIC_STATE_H

#include <stdbool.h>

struct topic;

/* Derives the state from the facts. True when it is another one than before. */
bool topic_state_update(struct topic *t);
/* In this state no jobs are kept at hand on this node. */
bool topic_state_gives_back(const struct topic *t);

#endif
