/* One broker: what main() wires together and what the admin API works on.
 */
#ifndef PB_CORE_BROKER_H
#define PB_CORE_BROKER_H

#include "dispatch/dispatcher.h"
#include "intake/intake.h"
#include "transport/plugin.h"
#include "config/settings.h"
#include "metrics/stats.h"
#include "dispatch/topic.h"

struct listener;
struct acts;
struct admin;
struct notify;

struct broker {
  struct loop *loop;
  struct log *log;
  const char *config_file;   /* absolute */
  char *changes;             /* what the last reload changed, in lines; NULL: there was none */
  struct settings *settings; /* the snapshot that runs */
  struct plugins *plugins;
  struct registry *registry;
  struct dispatcher *dispatcher;
  struct acts *acts;
  struct intake *intake;
  struct stats *stats;
  struct listener *listener;
  struct admin *admin;
  struct reload *reload;
  struct notify *notify; /* the service manager, or NULL */
  struct gateway gateway;
  uint64_t started_ms; /* Unix */
  bool stopping;
};

/* Reads the configuration again and applies the difference: fn(arg, 0 or -errno, text) when that is
 * done. `text` says what is wrong, or has warnings, a line each; on failure nothing has changed.
 * Also the HUP handler. */
typedef void (*broker_reloaded_fn)(void *arg, int rc, const char *text);
void broker_reload(struct broker *b, broker_reloaded_fn fn, void *arg);
/* Shares the descriptors out again, by b->settings. */
void broker_limits(struct broker *b);

#endif
