/* The facts about a topic's pause: who asked for it, when and why. */
#ifndef PB_CORE_PAUSE_H
#define PB_CORE_PAUSE_H

#include <stddef.h>
#include <stdint.h>

/* since_ms 0 and "": an older release did. */
struct topic_pause {
  uint64_t since_ms; /* Unix */
  char by[128], reason[401];
};

/* From the text that the storage has: JSON, or what older releases wrote. */
void pause_parse(const char *text, struct topic_pause *ret);
/* "paused by an operator (who): why". */
void pause_words(const struct topic_pause *p, char *ret, size_t size);

#endif
