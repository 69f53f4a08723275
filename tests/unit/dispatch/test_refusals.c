/* How often a job was refused is remembered: by the job, and for when it comes again. */
#include "dispatch/refusals.c"

#include "tap.h"

static struct job job_again(const struct refusals *r, uint64_t id) {
  struct job job = {.id = id};
  refusals_recall(r, &job);
  return job;
}

static void test_counts(void) {
  struct refusals *r = NULL;
  struct job job = {.id = 7};
  ok(!refusals_add(&r, &job) && !refusals_add(&r, &job), "a job may be refused twice");
  ok(refusals_add(&r, &job), "the third time is a failed attempt");
  bool always = true;
  for (int i = 0; i < 1000; i++) always &= refusals_add(&r, &job);
  ok(always, "and each one after it");
  refusals_free(r);
}

static void test_comes_again(void) {
  struct refusals *r = NULL;
  struct job job = {.id = 7};
  is_int(job_again(NULL, 7).refused, 0, "where none was refused nothing is remembered");
  refusals_add(&r, &job);
  refusals_add(&r, &job);
  struct job again = job_again(r, 7);
  is_int(again.refused, 2, "a job that went back and came again has its number");
  is_int(job_again(r, 8).refused, 0, "another one has not");
  ok(refusals_add(&r, &again), "so the third time counts");
  refusals_free(r);
}

static void test_one_place(void) {
  struct refusals *r = NULL;
  struct job first = {.id = 7}, second = {.id = 8};
  while (place_of(second.id) != place_of(first.id)) second.id++;
  refusals_add(&r, &first);
  refusals_add(&r, &first);
  refusals_add(&r, &second);
  is_int(job_again(r, second.id).refused, 1, "of two jobs with one place the later has it");
  is_int(job_again(r, first.id).refused, 0, "the other begins anew: no job has another's number");
  is_int(first.refused, 2, "unless it is still in memory");
  bool within = true;
  for (uint64_t id = 1; id; id <<= 1) within &= place_of(id) < PLACES && place_of(~id) < PLACES;
  ok(within, "every id has a place");
  refusals_free(r);
  refusals_free(NULL);
}

int main(void) {
  test_counts();
  test_comes_again();
  test_one_place();
  return done_testing();
}
