/* The report of the check: one line in words for each rule and worker. "ok" where the rule is kept,
 * "BROKEN" and a sentence for each breach.
 */
#ifndef PB_CHECK_REPORT_H
#define PB_CHECK_REPORT_H

#include <pepperbus/abi.h>
#include <stdbool.h>
#include <stdio.h>

struct report;

struct report *report_new(FILE *out, bool verbose);
void report_free(struct report *r);

/* A rule begins: `worker` says in words what its worker does, or is "". The one before ends. */
void report_rule(struct report *r, const char *rule, const char *worker);
void report_end(struct report *r);
/* A sentence about the plugin ("completes a request twice"). The same sentence for one rule is
 * printed once. */
void report_broken(struct report *r, const char *fmt, ...) PB_PRINTF(2, 3);
/* Worth knowing, and no breach. */
void report_note(struct report *r, const char *fmt, ...) PB_PRINTF(2, 3);
void report_verbose(struct report *r, const char *fmt, ...) PB_PRINTF(2, 3);

unsigned report_rules(const struct report *r);
unsigned report_broken_rules(const struct report *r);

#endif
