/* A fault of a key, written into a pb_err. */
#ifndef PB_COMMON_FAULT_H
#define PB_COMMON_FAULT_H

#include <pepperbus/transport.h>

/* The key `option` ("" : no key) has the fault that the sentence tells. -EINVAL. */
int fault(struct pb_err *err, const char *option, const char *fmt, ...) PB_PRINTF(3, 4);
/* There is no memory. -ENOMEM; err->option stays as it is. */
int fault_memory(struct pb_err *err);

#endif
