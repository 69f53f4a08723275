/* hiredis HOST PORT: one by one, and many at once. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is(redisReply *r, int type, const char *part) {
  int ok = r && r->type == type && strstr(r->str, part);
  if (r) freeReplyObject(r);
  return ok;
}

int main(int argc, char **argv) {
  redisContext *c = argc == 3 ? redisConnect(argv[1], atoi(argv[2])) : NULL;
  if (!c || c->err) return 1;
  int good = 0;
  puts(is(redisCommand(c, "AUTH %s", "q:pw"), REDIS_REPLY_STATUS, "OK") ? "auth" : "no auth");
  puts(is(redisCommand(c, "LPUSH %s %b", "q/t", "\0\xff", (size_t)2), REDIS_REPLY_STRING,
          "\"error\":\"\"")
           ? "push"
           : "no push");
  for (int i = 0; i < 1000; i++) redisAppendCommand(c, "LPUSH q job%d", i);
  for (int i = 0; i < 1000; i++) {
    void *r;
    if (redisGetReply(c, &r) == REDIS_OK) good += is(r, REDIS_REPLY_STRING, "\"error\":\"\"");
  }
  puts(good == 1000 ? "pipeline" : "bad pipeline");
  puts(is(redisCommand(c, "NOSUCH"), REDIS_REPLY_ERROR, "unknown command") ? "error" : "no error");
  redisFree(c);
  return 0;
}
