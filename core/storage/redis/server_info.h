/* What the server of a storage tells of itself (INFO). */
#ifndef PB_CORE_STORAGE_REDIS_SERVER_INFO_H
#define PB_CORE_STORAGE_REDIS_SERVER_INFO_H

#include "storage/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

struct store_info {
  struct store_server told; /* the last answer */
  uint64_t asked_ms;        /* monotonic; also of a question without an answer */
  bool asking;
  bool denied; /* by its ACL: not asked again on this connection */
};

enum server_fault {
  SERVER_FITS,
  SERVER_LOADS,   /* it reads its data back */
  SERVER_REPLICA, /* its name may lead to another server soon */
  SERVER_UNFIT
};

/* The value of "name:" in INFO, up to the end of its line. */
bool info_get(const char *info, const char *name, char *ret, size_t cap);
/* Can a storage be there? `ret_why`: a sentence for people that follows "it". */
enum server_fault info_fault(const char *info, char *ret_why, size_t size);
void info_read(const char *info, int64_t db, struct store_server *ret);
/* The start of a connection asked already. NULL: it may not be asked. */
void info_told(struct store *s, const char *info);

#endif
