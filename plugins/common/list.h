/* A list whose items have the links as members: `next`, and `prev`, which points at the pointer to
 * the item. An item leaves the list without a search. The list is a pointer to its first item.
 */
#ifndef PB_COMMON_LIST_H
#define PB_COMMON_LIST_H

#include <stddef.h>

/* Arguments are plain variables or addresses: they are evaluated more than once. */

/* `item`, which is on no list, becomes the first of `*list`. */
#define LIST_PUSH(list, item)                                                                      \
  do {                                                                                             \
    (item)->next = *(list);                                                                        \
    (item)->prev = (list);                                                                         \
    if ((item)->next) (item)->next->prev = &(item)->next;                                          \
    *(list) = (item);                                                                              \
  } while (0)

/* Takes `item` off the list that it is on. */
#define LIST_REMOVE(item)                                                                          \
  do {                                                                                             \
    *(item)->prev = (item)->next;                                                                  \
    if ((item)->next) (item)->next->prev = (item)->prev;                                           \
    (item)->next = NULL;                                                                           \
    (item)->prev = NULL;                                                                           \
  } while (0)

#endif
