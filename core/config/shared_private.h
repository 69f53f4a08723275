/* Private to shared_*.c: the sections as they are kept. */
#ifndef PB_CORE_CONFIG_SHARED_PRIVATE_H
#define PB_CORE_CONFIG_SHARED_PRIVATE_H

#include "base/arena.h"
#include "base/name_index.h"
#include "config/shared_text.h"

struct shared_item {
  struct shared_section s;
  const char *title; /* "topic q/t": its name in the index */
};

struct shared_sections {
  struct arena *arena, *index_arena;
  struct shared_item *list; /* n, room for cap */
  size_t n, cap;
  struct name_index index; /* title -> place in the list, from 1; made for cap */
};

/* Does what a section connects to differ, or whether TLS is checked? Without the pools that it
 * names. Either may be NULL. */
bool shared_address_differs(const struct shared_section *a, const struct shared_section *b);

#endif
