/* The folder of this broker's own files: it is made, and no second broker uses it. */
#ifndef PB_CORE_STATE_DIR_H
#define PB_CORE_STATE_DIR_H

struct log;

/* 0, or -errno where it cannot be made or written, or another broker has it; the log says which.
 * The lock lasts as long as *ret_fd is open; without one (a file system without locks, "" as dir)
 * it is -1 or a file that holds none. */
int state_dir_take(const char *dir, struct log *log, int *ret_fd);

#endif
