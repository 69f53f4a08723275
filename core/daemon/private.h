/* One broker: the parts that broker.c puts together and that a reload and a stop work on. */
#ifndef PB_CORE_DAEMON_PRIVATE_H
#define PB_CORE_DAEMON_PRIVATE_H

#include "admin/admin.h"
#include "job/id.h"

struct control_text;
struct memory;
struct notify;
struct orphans;
struct reload;
struct shutdown;

struct broker {
  struct admin_view view;    /* loop, log, settings and more: the admin port sees the same */
  struct control_text *copy; /* of the shared configuration that it starts with; NULL: none */
  char *copy_refused;        /* why it could not start with that; NULL: it did */
  bool drained;              /* as it ended last */
  struct admin *admin;
  struct reload *reload;
  struct shutdown *shutdown; /* NULL until a signal asks for it */
  struct notify *notify;     /* the service manager, or NULL */
  struct orphans *orphans;
  struct memory *memory;
  struct gateway gateway;
  uint64_t marked; /* the revision that a mark told of last */
  int exit_code;
  int state_lock; /* open as long as we run; -1: none */
};

#endif
