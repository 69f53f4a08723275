/* The thread on which passwords are checked and hashed: yescrypt takes some 50 ms, a directory
 * server may take seconds. The thread starts with the first work.
 */
#ifndef PB_CORE_PASSWORDS_H
#define PB_CORE_PASSWORDS_H

#include <stdbool.h>
#include <stddef.h>

#define PASSWORDS_WAITING 32  /* one more is -EBUSY */
#define PASSWORD_LEN_MAX  511 /* of crypt(3) */
#define PASSWORD_HASH_MAX 256

struct loop;
struct passwords;

/* No memory ends the process. */
struct passwords *passwords_new(struct loop *loop);
/* After the loop's last turn. Waits for what runs, and answers everything with -ECANCELED. */
void passwords_free(struct passwords *p);

/* rc: 0 the password is right; -EACCES it is wrong; -ECANCELED the broker stops. `hash`: of
 * passwords_hash(); valid during the call. On the loop, never from within the call that asked. */
typedef void (*password_fn)(void *arg, int rc, const char *hash);
/* 0, or -EBUSY or another -errno: then `fn` does not come. Both texts are copied, and wiped after
 * use. `stored` NULL: there is no such user; costs as much as a user's. */
int passwords_check(struct passwords *p, const char *stored, const char *given, password_fn fn,
                    void *arg);
/* yescrypt. -EINVAL in `fn`: crypt(3) does not take this password. */
int passwords_hash(struct passwords *p, const char *password, password_fn fn, void *arg);
/* `work` runs on the thread and touches nothing of the loop; done(arg, its result) on the loop. */
int passwords_run(struct passwords *p, int (*work)(void *arg), void (*done)(void *arg, int rc),
                  void *arg);
/* From any thread: work should end soon. */
bool passwords_stopping(const struct passwords *p);

#endif
