/* Text of any bytes as JSON: messages of workers, names of clients and files may not be UTF-8. */
#ifndef PB_CORE_JSON_TEXT_H
#define PB_CORE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* Bytes that are not UTF-8 become U+FFFD. NULL only without memory. */
json_t *json_text(const void *text, size_t len);
json_t *json_cstr(const char *text); /* NULL: null */

#endif
