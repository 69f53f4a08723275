/* The version of the plugin interface, and how a plugin shows itself.
 *
 * A plugin is one shared object that exports exactly one function,
 * `<module>_LTX_pb_transport`, made by PB_TRANSPORT().  It imports nothing from the
 * broker: all it may call is in the host table (transport.h) that it is given.
 *
 * History
 *   1.0  first version
 */
#ifndef PEPPERBUS_ABI_H
#define PEPPERBUS_ABI_H

#include <stddef.h>
#include <stdint.h>

#define PB_ABI_MAJOR 1 /* differs: the host refuses the plugin */
#define PB_ABI_MINOR 0 /* the plugin's may be lower than or equal to the host's */
#define PB_MAGIC 0x50425452u /* "PBTR" */

#if defined(__GNUC__)
#define PB_EXPORT __attribute__((visibility("default")))
#define PB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PB_EXPORT
#define PB_PRINTF(fmt, args)
#endif

/* True where `table`, handed over by a host or plugin of another minor version, is long
 * enough to have `member`.  A plugin asks this before it uses a slot newer than 1.0. */
#define PB_HAS(table, member)                                                                      \
  ((table)->size >= offsetof(__typeof__(*(table)), member) + sizeof((table)->member))

/* Exports `desc` (a static const struct pb_transport) from module `module`, which must be
 * the file's name without its ending. */
#define PB_TRANSPORT(module, desc)                                                                 \
  PB_EXPORT const struct pb_transport *module##_LTX_pb_transport(void);                            \
  const struct pb_transport *module##_LTX_pb_transport(void) { return &(desc); }

/* Why a call failed, in words for people.  Owned by the caller; the callee fills it only
 * when it fails. `option` names the configuration key that is at fault, so that the host
 * can say file and line, or is empty. */
struct pb_err {
  char option[64];
  char text[512];
};

#endif
