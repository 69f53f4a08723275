/* The state of a storage. */
#ifndef PB_CORE_STORAGE_REDIS_STATE_H
#define PB_CORE_STORAGE_REDIS_STATE_H

#include "storage/store.h"

struct store;

void state_set(struct store *s, enum store_state state, const char *why);
/* Changes the state without telling the listeners: the next steps need it, and the listeners are
 * told afterwards. */
void state_set_silently(struct store *s, enum store_state state);

#endif
