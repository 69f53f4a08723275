/* Configuration keys as tables: the core's own and a plugin's are of this one form, so one piece of
 * code parses, checks, dumps and documents them all.
 *
 *   struct pool_conf {
 *     const char *address;
 *     uint64_t connect_timeout_ms;
 *   };
 *   static const struct pb_option pool_options[] = {
 *       {.name = "address", .type = PB_OPT_STRING, .flags = PB_OPT_REQUIRED,
 *        .offset = offsetof(struct pool_conf, address), .help = "Where the service listens."},
 *       {.name = "connect_timeout", .type = PB_OPT_DURATION, .min = 10, .max = 60000, .def = "1s",
 *        .offset = offsetof(struct pool_conf, connect_timeout_ms), .help = "Patience for it."},
 *       {0}};
 *
 * pool_open() is then given a const struct pool_conf *, filled. A value that does not fit is told
 * with file and line, and never reaches the plugin. The keys appear in `pepperbusd --sample` and
 * `--reference`.
 */
#ifndef PEPPERBUS_OPTION_H
#define PEPPERBUS_OPTION_H

#include <stddef.h>
#include <stdint.h>

/* What stands at `offset` of the configuration struct once parsed.  Memory is the host's
 * and lives as long as the struct. */
enum pb_option_type {
  PB_OPT_STRING = 1,   /* const char *, never NULL: absent and no default is "" */
  PB_OPT_BOOL = 2,     /* int, 0 or 1: yes no true false on off */
  PB_OPT_INT = 3,      /* int64_t, min..max */
  PB_OPT_SIZE = 4,     /* uint64_t bytes: 64kb 8mb 1gb, powers of 1024 */
  PB_OPT_DURATION = 5, /* uint64_t milliseconds: 250ms 30s 5m 1h 7d; a bare 0 is allowed */
  PB_OPT_CHOICE = 6,   /* int, index into `choices` */
  PB_OPT_LIST = 7,     /* const char *const *, comma separated, NULL-terminated, never NULL */
  PB_OPT_RANGE = 8     /* struct pb_range, two durations "1s..10m"; one duration sets both */
};

struct pb_range {
  uint64_t from_ms, to_ms;
};

enum pb_option_flag {
  PB_OPT_REQUIRED = 1 << 0,  /* an error names the section when it is missing */
  PB_OPT_SECRET = 1 << 1,    /* shown as ******** wherever values are shown */
  PB_OPT_DEPRECATED = 1 << 2 /* accepted with a warning that shows `help` */
};

/* One key.  A table ends with name == NULL.  All strings are static. */
struct pb_option {
  const char *name;
  uint32_t type;       /* enum pb_option_type */
  uint32_t flags;      /* enum pb_option_flag */
  size_t offset;       /* offsetof() into the configuration struct */
  int64_t min, max;    /* INT, SIZE (bytes), DURATION (ms); max 0: no upper limit */
  const char *choices; /* CHOICE: "no,yes,auto" */
  const char *def;     /* default as it would be written in the file; NULL: "" / 0 / no */
  const char *help;    /* one sentence for the reference and the sample file */
};

#endif
