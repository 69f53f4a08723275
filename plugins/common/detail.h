/* The words of a result's detail: what became of a request, told to people. */
#ifndef PB_COMMON_DETAIL_H
#define PB_COMMON_DETAIL_H

#include <pepperbus/transport.h>

#define DETAIL_QUOTE_MAX 600 /* of a worker's output, quoted */

/* The beginning and the end of a worker's output, control characters as blanks. */
void detail_quote(char ret[DETAIL_QUOTE_MAX + 1], const char *text, size_t len);

/* The words are put into `ret` (`size` bytes). The functions return their length as snprintf()
 * does. `peer` is the worker's address, `why` what happened there. */

/* The request was cancelled before it ended. `why` is NULL where the worker answered after all. */
int detail_late(char *ret, size_t size, const char *peer, const char *why);
/* The request ended without an answer, which means `outcome`: PB_UNREACHABLE, PB_BUSY, PB_LOST or
 * PB_GARBLED. `kind` stands before the peer if the worker saw nothing of the request. It says what
 * is at that address, such as "php-fpm at ", or is "". */
int detail_unanswered(char *ret, size_t size, int outcome, const char *kind, const char *peer,
                      const char *why);

/* Makes `text` (`size` bytes, `n` of them wanted, as snprintf() tells) the detail of `r`. The
 * detail stays as it is where there are no words. */
void detail_set(struct pb_result *r, const char *text, size_t size, int n);

#endif
