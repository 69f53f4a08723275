/* One child process: how it is started, and how its whole group is ended. */
#ifndef PB_EXEC_CHILD_H
#define PB_EXEC_CHILD_H

#include <stddef.h>
#include <sys/types.h>

/* Starts `file` in a new process group, with default signals, none blocked, the usual scheduler,
 * and only these three descriptors. `dir` is its working directory, "" the broker's. All is copied.
 * Returns 0 or -errno. On failure `file` has not run at all. */
int child_spawn(const char *file, char *const argv[], char *const envp[], const char *dir,
                const int fds[3], pid_t *ret_pid);
/* To everybody in its group. Only until child_watch()'s callback returns: then it is reaped, and
 * its number may be somebody else's. */
void child_kill(pid_t pid, int signo);

/* A pipe whose end `ours` (0 reads, 1 writes) does not block; both are closed at exec. */
int child_pipe(int fds[2], int ours);
/* A file in memory with these bytes, to be read from the beginning. Descriptor or -errno. */
int child_input(const void *data, size_t len);
void child_close(int *fd); /* and sets -1; -1 is fine */

/* Reads the bytes that are there into `buf`. > 0: their number; 0: no more just now; -1: the end.
 */
ssize_t child_read(int fd, char *buf, size_t size);

/* "ended with exit code 1", "was killed by signal 9 (Killed)". */
void child_describe(int wait_status, char *ret, size_t size);

#endif
