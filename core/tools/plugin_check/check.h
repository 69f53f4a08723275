/* The parts of pepperbus-plugin-check.
 *
 * main.c      arguments, the process that is driven and the one that watches it
 * rules.c     what the descriptor says: keys, metrics, texts
 * drive.c     the contract, rule by rule, against workers that work or misbehave
 * peer.c      workers that misbehave
 * report.c    the words
 * host*.c     the host; the tests of the plugins in this tree use the same
 *
 * The plugin is loaded and its keys are filled by the core.
 */
#ifndef PB_CHECK_CHECK_H
#define PB_CHECK_CHECK_H

#include "config/option.h"
#include "tools/plugin_check/peer.h"
#include "tools/plugin_check/report.h"

#include <pepperbus/transport.h>
#include <stdbool.h>

struct pair { /* ending with key NULL */
  char *key;
  const char *value;
};

struct args {
  const char *file, *run_type; /* run_type NULL: the first */
  char queue[129], topic[129];
  struct pair *pool, *set;      /* as given */
  unsigned wait_ms;             /* real time for a worker before the clock moves on */
  bool verbose, valgrind, slow; /* slow: runs under valgrind, times say nothing */
};

/* The watching process' view of the driven process, in memory that both share. */
struct progress {
  char rule[128], call[64]; /* call: "" while the plugin is not called */
  uint64_t call_ms;         /* monotonic, when it began */
};

struct options rules_pool_options(const struct pb_transport *t);
struct options rules_topic_options(const struct pb_transport *t);
/* The checks that call no function of the plugin. `descs` ends with NULL: all run types of the
 * file. */
void rules_check(const struct pb_transport *const *descs, struct report *r);

/* Loads the plugin and goes through the contract. 0, or -EINVAL: the given keys do not fit, which
 * was printed on standard error. */
int drive(const struct pb_transport *t, const struct args *args, struct peers *peers,
          struct report *r, struct progress *progress);

#endif
