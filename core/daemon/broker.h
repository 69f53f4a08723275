/* The broker as main() sees it: a run from start to stop, or a text that is printed instead of a
 * run. */
#ifndef PB_CORE_BROKER_H
#define PB_CORE_BROKER_H

#include <stdio.h>

struct settings_types;

enum broker_exit { /* what main() returns */
                   BROKER_STOPPED = 0,
                   BROKER_CANNOT_RUN = 1, /* a port in use, no memory */
                   BROKER_BAD_CONFIG = 2
};

struct broker_options {
  const char *config_file; /* absolute: a reload finds it wherever the process was started */
  const char *plugin_dir;  /* NULL: as configured */
};

/* Runs until a signal stops it. */
enum broker_exit broker_run(const struct broker_options *o);
/* Prints on standard output that the configuration is sound, or on standard error its faults. */
enum broker_exit broker_check(const struct broker_options *o);
/* Prints the effective configuration. */
enum broker_exit broker_dump(const struct broker_options *o);
/* Prints something that is made of the options of all transports. */
enum broker_exit broker_print(const struct broker_options *o,
                              void (*print)(const struct settings_types *types, FILE *out));

#endif
