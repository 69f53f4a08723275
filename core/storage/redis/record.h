/* The records of failed jobs, as scripts answer them. */
#ifndef PB_CORE_STORAGE_REDIS_RECORD_H
#define PB_CORE_STORAGE_REDIS_RECORD_H

#include "storage/store.h"

struct redis_reply;

/* A record (scripts/parts/record.lua) taken apart; field, node and message point into it. */
struct record_parts {
  uint64_t failed, crashes, first_ms, at_ms;
  int code;
  const char *field, *node, *message;
  size_t field_len, node_len, message_len;
};
/* False: it is none; all is zero and empty then. */
bool record_parse(const char *text, size_t len, struct record_parts *ret);

#define RECORD_ANSWER 7 /* elements: id score dead claimed record size body */
/* Copies; record_done() frees what it points to. */
void record_read(struct store_record *ret, struct redis_reply *const *e);
void record_done(struct store_record *record);

#endif
