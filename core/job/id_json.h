/* The facts that an id contains, as JSON: for the API, and for pepperbusctl without a broker. */
#ifndef PB_CORE_ID_JSON_H
#define PB_CORE_ID_JSON_H

#include <jansson.h>

/* Of a job id in either form, or a trace id. NULL: the text is neither. */
json_t *id_json(const char *text);

#endif
