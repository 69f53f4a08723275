/* Jobs from replies into this node's memory. */
#ifndef PB_CORE_STORAGE_REDIS_TAKE_H
#define PB_CORE_STORAGE_REDIS_TAKE_H

#include <stdint.h>

struct job_list;
struct redis_reply;
struct store_topic;

/* Adds one job to the list. An entry that cannot be decoded goes to the dead jobs with a message.
 * `entry` NULL: a claimed retry. A job that is in this node's memory already is left out. */
void take_job(struct store_topic *t, struct job_list *list, const char *entry,
              struct redis_reply *id, uint64_t failed, uint64_t crashes, struct redis_reply *field,
              struct redis_reply *body);

#endif
