/* How a topic's command is started: words, environment, directory, and the limits and the user
 * that it gets by way of the helper program pepperbus-exec.
 */
#ifndef PB_EXEC_LAUNCH_H
#define PB_EXEC_LAUNCH_H

#include "exec_conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct launch;

/* Is the configuration sound, as far as it can be checked without a look at the system? */
int launch_check(const struct exec_conf *conf, struct pb_err *err);

/* Are the file and the user there that it names? -ENOENT where one is not. */
int launch_check_names(const struct exec_conf *conf, struct pb_err *err);
/* Does the server listen at a port like that of `connect`? Behind an address translation it need
 * not. */
bool launch_listened(const struct exec_conf *conf, const struct pb_topic_info *topic);
/* Is it known where pull workers find the broker? */
int launch_check_address(const struct exec_conf *conf, const struct pb_topic_info *topic,
                         struct pb_err *err);

enum launch_flag { LAUNCH_PULL = 1 << 0 }; /* ends with the broker; knows its address */

/* Looks the program, the user and the environment file up. The first reference is the caller's. */
int launch_new(const struct pb_topic_info *topic, const struct exec_conf *conf, unsigned flags,
               struct launch **ret, struct pb_err *err);
/* References are counted only on the loop's thread. Members that launch_run() reads never change.
 */
struct launch *launch_ref(struct launch *l);
void launch_unref(struct launch *l); /* NULL is fine */

/* The environment of one start: the topic's, and `extra`, "NAME=value" texts, then NULL. A block to
 * free(), good as long as the reference. NULL without memory. */
char **launch_env(const struct launch *l, const char *const extra[]);
/* Starts it with these descriptors. 0 or -errno. On any thread. */
int launch_run(const struct launch *l, char *const env[], const int fds[3], pid_t *ret_pid);

/* Can it be run now? 0, or -errno and a text. A look at the file system. */
int launch_look(const struct launch *l, char *ret_why, size_t size);
bool launch_exposed(const struct launch *l);     /* can everybody read its env_file? */
const char *launch_file(const struct launch *l); /* the program's absolute path */
/* Did the helper, not the program, end with this? `err` is the end of standard error. */
bool launch_failed(const struct launch *l, int wait_status, const char *err, size_t len);

#endif
