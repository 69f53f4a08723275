/* All that comes from the storage for a topic: new jobs, due retries, and news of the topic. */
#ifndef PB_CORE_FETCH_H
#define PB_CORE_FETCH_H

#include <stddef.h>
#include <stdint.h>

struct job_list;
struct topic;

void fetch_begin(struct topic *t);
void fetch_end(struct topic *t);
/* Asks for the jobs that are missing at hand, and notes when the next retry is due. */
void fetch_more(struct topic *t);
/* Forgets the sizes of jobs: jobs of any size may have come since the last read. */
void fetch_forget(struct topic *t);
/* So many jobs of one answer fit into memory, at most `max`. */
size_t fetch_page(const struct topic *t, size_t max);
/* The storage brought jobs. */
void fetch_arrived(struct topic *t, struct job_list *jobs);
/* The stream has something new. */
void fetch_new(struct topic *t);
/* A retry that another node left is due at Unix ms. */
void fetch_due(struct topic *t, uint64_t due_ms);
/* After an error it may be asked again. */
void fetch_rested(struct topic *t);
/* Makes the topic's group where it is missing; the topic is attached once the answer has come. */
void fetch_attach(struct topic *t);
/* The storage is not ready any more. */
void fetch_lost(struct topic *t);
/* Nothing more is asked of the storage; answers on the way bring nothing about. */
void fetch_stop(struct topic *t);
/* Asks what there is of the topic; again where that is being asked already. */
void fetch_depth(struct topic *t);
/* The same of each of these topics of one queue that is attached, in few questions. */
void fetch_depths(struct topic *const *topics, size_t n);

#endif
