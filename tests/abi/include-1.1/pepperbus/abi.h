/* The version of the plugin interface, and how a plugin shows itself.
 *
 * A plugin is one shared object that exports exactly one function,
 * `<module>_LTX_pb_transport`, made by PB_TRANSPORT().  It imports nothing from the
 * broker: all it may call is in the host table (transport.h) that it is given.
 *
 * Major versions must be equal. A plugin's minor version may be lower than the broker's, not
 * higher: tables grow at the end only, and each tells its size, so a later broker knows what a
 * plugin of an earlier day does not have.
 *
 * History
 *   1.0  first version
 *   1.1  host table: batch_traceparent, sign, metric, pool_load, child_unwatch
 *        descriptor: next, metrics, check_topic, health, pool_health; PB_CAP_PULL
 *        topic: listen
 */
#ifndef PEPPERBUS_ABI_H
#define PEPPERBUS_ABI_H

#include <stddef.h>
#include <stdint.h>

#define PB_ABI_MAJOR 1           /* differs: the host refuses the plugin */
#define PB_ABI_MINOR 1           /* the plugin's may be lower than or equal to the host's */
#define PB_MAGIC     0x50425452u /* "PBTR" */

#if defined(__GNUC__)
#define PB_EXPORT            __attribute__((visibility("default")))
#define PB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PB_EXPORT
#define PB_PRINTF(fmt, args)
#endif

/* True where `table`, handed over by a host or plugin of another minor version, is long enough to
 * have `member`. A plugin that says abi_minor = PB_ABI_MINOR is refused by brokers that are older
 * than its headers, and need not ask. One that shall run with those too says the minor version that
 * it cannot do without, and asks before it uses what is newer:
 *
 *   .abi_minor = 0,
 *   ...
 *   if (PB_HAS(h, metric)) h->metric(o, JOBS_TOTAL, 1);      // a broker of 1.0 has no metric()
 */
#define PB_HAS(table, member)                                                                      \
  ((table)->size >= offsetof(__typeof__(*(table)), member) + sizeof((table)->member))

/* Exports `desc` (a static const struct pb_transport) from module `module`, which must be the
 * file's name without its ending: PB_TRANSPORT(echo, transport) for echo.so. At file scope. */
#define PB_TRANSPORT(module, desc)                                                                 \
  PB_EXPORT const struct pb_transport *module##_LTX_pb_transport(void);                            \
  const struct pb_transport *module##_LTX_pb_transport(void) {                                     \
    return &(desc);                                                                                \
  }

/* Why a call failed, in words for people; both end with NUL. Owned by the caller, who gives it
 * empty; the callee fills it only when it fails. `option` is the configuration key that is at
 * fault, so that the host can say file and line, or stays empty. `text` says what is wrong and what
 * would be right:
 *
 *   snprintf(err->option, sizeof err->option, "address");
 *   snprintf(err->text, sizeof err->text, "\"%.200s\" has no port; write HOST:PORT", address);
 *   return -EINVAL;
 */
struct pb_err {
  char option[64];
  char text[512];
};

#endif
