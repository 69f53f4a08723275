/* The keys of a topic of run type exec or pull, as the host fills them from exec.c's tables. */
#ifndef PB_EXEC_CONF_H
#define PB_EXEC_CONF_H

#include <pepperbus/transport.h>

struct exec_conf {
  const char *entry, *directory;
  const char *const *env;
  const char *env_file;
  const char *user, *group, *umask;
  int64_t nice;
  uint64_t limit_cpu_ms, limit_memory, limit_file_size;
  int64_t limit_open_files, limit_processes;
  uint64_t kill_after_ms, max_output;
  struct pb_range restart;
  /* exec */
  int resident, ping;
  int64_t max_requests;
  /* pull */
  const char *connect, *pull_password;
};

#endif
