/* Owns how the description of the API is served. */
#include "admin/openapi.h"

#include "admin/private.h"

void admin_get_openapi(struct call *c) {
  call_text(c, 200, "application/json", openapi_json, openapi_json_len);
}
