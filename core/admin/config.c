/* Owns the configuration as the port shows it, and reloads.
 *
 * Must never happen: a secret in the shown configuration.
 */
#include "admin/private.h"

#include "base/buf.h"
#include "config/settings.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_US 1000 /* of a turn of the loop */

/* --- showing --- */

struct config_text {
  struct settings *settings;
  const char *file;
  size_t part;
};

static enum http_stream config_more(void *arg, struct buf *out) {
  struct config_text *t = arg;
  uint64_t end = loop_clock_us() + SLICE_US;
  char *text = NULL;
  size_t len = 0;
  bool more = true;
  FILE *f = open_memstream(&text, &len);
  if (!f) return HTTP_CUT;
  if (!t->part) {
    buf_add_text(out, "{\"config_file\":\"");
    buf_add_json(out, t->file, strlen(t->file));
    buf_add_text(out, "\",\"config\":\"");
  }
  while (more && loop_clock_us() < end) more = settings_dump_part(t->settings, t->part++, f);
  fclose(f);
  buf_add_json(out, text, len);
  free(text);
  if (more) return HTTP_MORE;
  buf_add_text(out, "\"}\n");
  return HTTP_END;
}

static void config_done(void *arg) {
  struct config_text *t = arg;
  settings_unref(t->settings);
  free(t);
}

void admin_get_config(struct call *c) {
  struct config_text *t = calloc(1, sizeof *t);
  if (!t) {
    call_error(c, 500, "out of memory");
    return;
  }
  t->settings = settings_ref(c->view->settings);
  t->file = c->view->config_file;
  call_stream(c, "application/json", UINT64_MAX, config_more, config_done, t);
}

/* --- reloading --- */

static void on_reloaded(void *arg, int rc, const char *text) {
  struct call *c = arg;
  json_t *o = json_object();
  if (rc) {
    log_warning(c->view->log, "admin",
                "the configuration was not reloaded: it has faults; the old one stays in effect");
    json_object_set_new(o, "error",
                        json_string("the configuration has faults; nothing was changed"));
    json_object_set_new(o, "status", json_integer(400));
    json_object_set_new(o, "faults", json_cstr(text));
  } else {
    log_info(c->view->log, "admin", "configuration reloaded from %s", c->view->config_file);
    json_object_set_new(o, "reloaded", json_true());
    json_object_set_new(o, "config_file", json_cstr(c->view->config_file));
    json_object_set_new(o, "changes", json_cstr(c->view->changes));
    json_object_set_new(o, "warnings", json_cstr(text));
  }
  call_json(c, rc ? 400 : 200, o);
  call_unref(c);
}

void admin_post_reload(struct call *c) {
  call_wait(c, ADMIN_WAIT_MS);
  c->view->reload(c->view->reload_arg, on_reloaded, c);
}
