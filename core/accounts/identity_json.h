/* The rights of an identity in a document: "role", "systems" (null: all of them), "contents",
 * "entries". */
#ifndef PB_CORE_IDENTITY_JSON_H
#define PB_CORE_IDENTITY_JSON_H

#include "accounts/identity.h"

#include <jansson.h>

/* The member "systems". */
json_t *identity_systems_json(const struct identity *id);
/* NULL: the document does not have a role and a list of systems. Rights that are not there are not
 * given. */
struct identity *identity_read(const json_t *o, enum identity_how how, const char *name);

#endif
