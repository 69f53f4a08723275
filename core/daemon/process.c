/* Puts right what the process has inherited. */
#include "daemon/process.h"

#include "event/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* The program that started us may have closed the standard descriptors. Then the next file that is
 * opened would get their numbers, and log lines would be written into that file. It may also have
 * blocked signals or ignored SIGCHLD: both are inherited. */
void process_setup(void) {
  sigset_t none;
  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    while (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) >= 0) continue;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGCHLD, SIG_DFL);
  memory_setup();
}
