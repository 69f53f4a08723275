/* Transport plugins: found, loaded, their ABI checked. The only libltdl user.
 *
 * All `*.so` of plugin_dir are loaded at start, on one thread, and stay mapped. A plugin that
 * cannot be used is refused with a sentence (file, plugin, wanted, found) and the rest go on.
 */
#ifndef PB_CORE_PLUGIN_LOADER_H
#define PB_CORE_PLUGIN_LOADER_H

#include "config/settings.h"

struct log;
struct plugins;

struct plugin_info {
  const char *file, *name, *version, *summary, *run_type;
  uint16_t abi_major, abi_minor;
  const struct pb_transport *transport; /* NULL: refused */
  const char *why;                      /* refused: a sentence; else "" */
};

/* Loads the plugins in `dir` (absolute; refused when other users may write to it). Never NULL. */
struct plugins *plugins_load(const char *dir, struct log *log);
/* Loads one file, for pepperbus-plugin-check. `log` may be NULL: then only `why` has the fault. */
struct plugins *plugins_load_file(const char *file, struct log *log);
void plugins_free(struct plugins *p); /* the code stays mapped */
/* For settings_load(). Valid until plugins_free(). */
const struct settings_types *plugins_types(const struct plugins *p);
const struct plugin_info *plugins_list(const struct plugins *p, size_t *ret_n);

#endif
