/* The process as it was started. */
#ifndef PB_CORE_PROCESS_H
#define PB_CORE_PROCESS_H

/* First call in main(): puts right what was inherited, and sets how memory is allocated. */
void process_setup(void);

#endif
