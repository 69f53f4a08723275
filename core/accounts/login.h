/* How long somebody who gave a wrong password has to wait before the next try.
 *
 * Counted by user and address together: 1 s, doubling to 30 s. Nobody can lock out a user by wrong
 * passwords from another address. While one password of a pair is being checked, no other one of
 * the same pair is, and few of one address: so a fast guesser neither goes round the delay nor
 * fills the queue of passwords for everybody else.
 */
#ifndef PB_CORE_LOGIN_H
#define PB_CORE_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#define LOGIN_DELAY_MS     1000
#define LOGIN_DELAY_MAX_MS 30000
#define LOGIN_FORGET_MS    900000 /* after so long without a try it begins again */
#define LOGIN_PAIRS        4096   /* remembered: the one that tried least lately gives way */
#define LOGIN_AT_ONCE      4      /* checks of one address */

struct login_limiter;

struct login_limiter *login_limiter_new(void);
void login_limiter_free(struct login_limiter *l);
/* 0: the password may be checked, and login_end() is owed. Else after how many ms it may be.
 * `address`: without a port. Upper and lower case of `user` are one. */
uint64_t login_begin(struct login_limiter *l, const char *user, const char *address,
                     uint64_t now_ms);
enum login_result { LOGIN_RIGHT, LOGIN_WRONG, LOGIN_UNKNOWN /* it could not be checked */ };
void login_end(struct login_limiter *l, const char *user, const char *address,
               enum login_result result, uint64_t now_ms);

#endif
