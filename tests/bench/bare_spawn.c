/* The least that it takes to run programs, as the measure for the exec transport: so many at a
 * time by posix_spawn(), each awaited, nothing said to them and nothing read.
 *
 *   bare_spawn PROGRAM [SECONDS [PROCESSES]]
 *
 * Prints programs per second.
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t now_ns(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void start(char *program) {
  char *argv[] = {program, NULL}, *envp[] = {(char *)"PATH=/usr/bin:/bin", NULL};
  pid_t pid;
  int rc = posix_spawn(&pid, program, NULL, NULL, argv, envp);

  if (rc == 0) return;
  fprintf(stderr, "bare_spawn: %s: %s\n", program, strerror(rc));
  exit(1);
}

int main(int argc, char **argv) {
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  int processes = argc > 3 ? atoi(argv[3]) : 8;
  uint64_t begin, end, now, n = 0;

  if (argc < 2) {
    fprintf(stderr, "usage: bare_spawn PROGRAM [SECONDS [PROCESSES]]\n");
    return 2;
  }
  begin = now_ns();
  end = begin + (uint64_t)(seconds * 1e9);
  for (int i = 0; i < processes; i++) start(argv[1]);
  do {
    if (wait(NULL) < 0) return 1;
    n++;
    start(argv[1]);
  } while ((now = now_ns()) < end);
  printf("%.0f\n", (double)n * 1e9 / (double)(now - begin));
  while (wait(NULL) > 0) {
  }
  return 0;
}
