/* What a page by ?offset= has: things that were picked by their names, titles and states, in the
 * order that ?sort= asks for.
 */
#ifndef PB_CORE_ADMIN_PICKS_H
#define PB_CORE_ADMIN_PICKS_H

#include "config/settings.h"

#include <stdbool.h>
#include <stddef.h>

struct call;
struct names;

#define PICK_TEXT_MAX 200

struct pick {
  const char *name; /* ties are in its order */
  const char *text; /* the order by a text; NULL: by `key` */
  double key;
  size_t at; /* the caller's */
};

/* The parameters of such a page. */
struct picking {
  char q[PICK_TEXT_MAX], state[PICK_TEXT_MAX], system[NAME_LEN_MAX + 2], storage[NAME_LEN_MAX + 2],
      sort[40];
  bool by_system, down;
};

/* Is a page by offset asked for: one of q, state, storage, sort, offset? */
bool picking_asked(const struct call *c);
/* `sorts`: the words of ?sort=, which NULL ends; the first is the default. False: answered with
 * 400. */
bool picking_get(struct call *c, struct picking *ret, const char *const *sorts);
/* Has the name or the title the text of ?q=? */
bool picking_has(const struct picking *p, const char *name, const char *title);
/* Is the word in the list of ?state=, or is there none? */
bool picking_state(const struct picking *p, const char *state);
bool picking_system(const struct picking *p, const struct system_settings *system);
/* Are jobs of the topic, of a topic of the queue in the storage of ?storage=, or is there none? */
bool picking_storage(const struct picking *p, const struct topic_settings *topic);
bool picking_queue_storage(const struct picking *p, const struct queue_settings *queue);
/* Sorts all of them and adds the page of ?offset= and ?limit=, which is all[ret->offset] and so on.
 * False: answered with 400. */
bool picks_add(struct call *c, const struct picking *p, struct pick *all, size_t n,
               struct names *ret);

#endif
