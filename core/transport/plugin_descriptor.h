/* A plugin's descriptor: checked, and copied to the size that this broker knows. The loader's
 * alone.
 */
#ifndef PB_CORE_PLUGIN_DESCRIPTOR_H
#define PB_CORE_PLUGIN_DESCRIPTOR_H

#include "transport/plugin_loader.h"

struct plugin {
  struct plugin_info info;
  char file[512], why[1536];
  char name[64], version[32], summary[128], run_type[64];
  struct pb_transport desc; /* the plugin's, cut or zero-extended to our size */
};

/* The file's name without its folder. */
const char *plugin_base_name(const char *file);
/* Sets p->desc, and fills p->info from it. If the descriptor cannot be used, p->info.transport
 * stays NULL, and p->why says what it wants and has. */
void plugin_descriptor_take(struct plugin *p, const struct pb_transport *d);

#endif
