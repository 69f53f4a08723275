/* The process as it was started. */
#ifndef PB_CORE_PROCESS_H
#define PB_CORE_PROCESS_H

/* First thing in main(): puts right what was inherited, and how memory is to be had. */
void process_setup(void);

#endif
