/* doc/openapi.json as it is served; openapi.awk makes its source at build time. */
#ifndef PB_CORE_ADMIN_OPENAPI_H
#define PB_CORE_ADMIN_OPENAPI_H

extern const char openapi_json[];
extern const unsigned long openapi_json_len;

#endif
