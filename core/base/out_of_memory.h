/* The end of the process when a small object of fixed size cannot be had: core/README.md has the
 * policy. */
#ifndef PB_CORE_OUT_OF_MEMORY_H
#define PB_CORE_OUT_OF_MEMORY_H

/* Says so on standard error and ends the process at once. */
void out_of_memory(void) __attribute__((noreturn));

#endif
