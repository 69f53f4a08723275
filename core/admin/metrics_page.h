/* What /metrics answers: a text that is made once a second at most, piece by piece in many turns of
 * the loop, and shared by all who ask.
 */
#ifndef PB_CORE_EXPOSITION_H
#define PB_CORE_EXPOSITION_H

#include <stddef.h>

struct broker;
struct exposition;

struct exposition *exposition_new(struct broker *b); /* NULL: no memory */
/* After the port's connections are closed. NULL is fine. */
void exposition_free(struct exposition *x);
size_t exposition_bytes(const struct exposition *x); /* of all texts in memory */

#endif
