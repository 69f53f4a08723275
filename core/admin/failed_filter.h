/* Which failed jobs a request means: a filter of the storage, from its query or its body. */
#ifndef PB_CORE_ADMIN_FAILED_FILTER_H
#define PB_CORE_ADMIN_FAILED_FILTER_H

#include "storage/store.h"

#include <jansson.h>

struct call;
struct topic;

/* The query's, of a list; `sets`: where it names none. False: answered with 400 or 403. */
bool filter_of_query(struct call *c, const struct topic *t, enum store_set sets,
                     struct store_filter *ret);
/* Those of a body's "filter". False: answered with 400 or 403. */
bool filter_of_json(struct call *c, const struct topic *t, json_t *members, enum store_set sets,
                    struct store_filter *ret);
/* With the members that do not let all pass. */
json_t *filter_json(const struct store_filter *f);
const char *filter_set_name(enum store_set set);
/* False: no such set. */
bool filter_set_named(const char *name, enum store_set *ret);

#endif
