/* Owns the commands about the broker. */
#include "intake/command.h"

#include "event/loop.h"
#include "intake/resp.h"
#include "metrics/info.h"
#include "metrics/metrics.h"

#include <inttypes.h>
#include <stdio.h>

void command_info(struct command_call *c) {
  struct buf text = {0};
  if (c->argc == 1) info_write(c->s->sv->metrics, NULL, 0, &text);
  for (size_t i = 1; i < c->argc && i <= RESP_UNAUTH_ARGS; i++)
    info_write(c->s->sv->metrics, c->args[i].text, c->args[i].len, &text);
  if (text.failed)
    resp_error(&c->reply->out, COMMAND_MEMORY);
  else
    resp_verbatim(&c->reply->out, c->s->version, text.data ? text.data : "", text.len);
  buf_free(&text);
  reply_done(c->reply);
}

/* redis-benchmark asks for both before it starts. */
void command_config(struct command_call *c) {
  struct buf *out = &c->reply->out;
  if (!arg_is(&c->args[1], "GET") || c->argc != 3) {
    resp_error(out, "ERR only CONFIG GET <name> is supported; the configuration is a file");
  } else {
    bool save = arg_is(&c->args[2], "save"), aof = arg_is(&c->args[2], "appendonly");
    resp_map(out, c->s->version, save || aof);
    if (save || aof) {
      resp_bulk_text(out, save ? "save" : "appendonly");
      resp_bulk_text(out, save ? "" : "yes"); /* jobs are durable when they are acknowledged */
    }
  }
  reply_done(c->reply);
}

void command_time(struct command_call *c) {
  uint64_t ms = loop_wall_ms(c->s->sv->loop);
  char text[24];
  resp_array(&c->reply->out, 2);
  snprintf(text, sizeof text, "%" PRIu64, ms / 1000);
  resp_bulk_text(&c->reply->out, text);
  snprintf(text, sizeof text, "%" PRIu64, ms % 1000 * 1000);
  resp_bulk_text(&c->reply->out, text);
  reply_done(c->reply);
}
