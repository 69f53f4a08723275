/* The address that trace ids name. */
#ifndef PB_CORE_GATEWAY_H
#define PB_CORE_GATEWAY_H

#include "job/id.h"

struct server_settings;

/* The address that producers use: the first TCP address of `listen`. */
struct gateway gateway_of(const struct server_settings *s);

#endif
