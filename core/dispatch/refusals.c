/* Owns the memory of refused jobs, a fixed number of them: of two that need one place the later one
 * has it. */
#include "dispatch/refusals.h"

#include <stdlib.h>

#define PLACES 512

struct refusals {
  struct {
    uint64_t id;
    unsigned n;
  } of[PLACES];
};

/* Ids count up in their low bits and lie in time in their high ones. */
static size_t place_of(uint64_t id) {
  return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 55);
}

bool refusals_add(struct refusals **r, struct job *job) {
  if (job->refused < REFUSALS_MAX) job->refused++;
  if (!*r) *r = calloc(1, sizeof **r); /* without memory the job alone knows */
  if (*r) {
    size_t at = place_of(job->id);
    (*r)->of[at].id = job->id;
    (*r)->of[at].n = job->refused;
  }
  return job->refused >= REFUSALS_MAX;
}

void refusals_recall(const struct refusals *r, struct job *job) {
  size_t at = place_of(job->id);
  if (r && r->of[at].id == job->id) job->refused = (uint8_t)r->of[at].n;
}

void refusals_free(struct refusals *r) {
  free(r);
}
