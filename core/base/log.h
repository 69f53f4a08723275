/* Log lines on standard error, as text or JSON, read by people at 3 a.m.
 *
 * A line says what happened, to which object ("msg/reply", "storage main"), and what the broker did
 * about it. Secrets are never logged. Repeats of one message for one object are held back: at most
 * LOG_BURST lines a second. The next line says how many were held back.
 */
#ifndef PB_CORE_LOG_H
#define PB_CORE_LOG_H

#include <pepperbus/transport.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;

/* Writes to `fd` (not closed). Never NULL: aborts without memory, at start only. */
struct log *log_new(int fd);
void log_free(struct log *log);
/* From now on a line that cannot be written at once is dropped and counted. A pipe or a terminal at
 * the log's descriptor becomes one that does not block. */
void log_never_wait(struct log *log);
void log_configure(struct log *log, enum pb_log_level level, bool json);
bool log_enabled(const struct log *log, enum pb_log_level level);

/* `subject` names the object ("msg/reply", "storage main", "client 127.0.0.1:4711") or is
 * NULL. One line; control characters in the text are escaped. */
void log_write(struct log *log, enum pb_log_level level, const char *subject, const char *fmt, ...)
    PB_PRINTF(4, 5);
void log_vwrite(struct log *log, enum pb_log_level level, const char *subject, const char *fmt,
                va_list ap);

/* Lines that are written already, as they are. */
void log_raw(struct log *log, const char *text);
/* Goes on where a write could not, and says how many lines were dropped; now and then. */
void log_flush(struct log *log);
uint64_t log_dropped(const struct log *log); /* lines, ever */

/* The last lines as they were written, also those that were dropped: `lines` at most, and what
 * LOG_TAIL_MAX bytes hold. To be freed, NUL-terminated; NULL: no memory. */
#define LOG_TAIL_MAX (128u << 10)
char *log_tail(const struct log *log, size_t lines);

#define log_error(log, subject, ...)   log_write(log, PB_LOG_ERROR, subject, __VA_ARGS__)
#define log_warning(log, subject, ...) log_write(log, PB_LOG_WARNING, subject, __VA_ARGS__)
#define log_info(log, subject, ...)    log_write(log, PB_LOG_INFO, subject, __VA_ARGS__)
#define log_debug(log, subject, ...)                                                               \
  do {                                                                                             \
    if (log_enabled(log, PB_LOG_DEBUG)) log_write(log, PB_LOG_DEBUG, subject, __VA_ARGS__);        \
  } while (0)

#endif
