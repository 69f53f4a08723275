/* php-fpm's status page. */
#include "plugins/fastcgi/fcgi_status.c"

#include "tap.h"

#include <stdio.h>

struct seen {
  unsigned n;
  char script[100];
  double cpu;
  uint64_t memory, requests;
};

static void on_process(void *arg, const struct fcgi_process *p) {
  struct seen *s = arg;

  s->n++;
  snprintf(s->script, sizeof s->script, "%s", p->script);
  s->cpu = p->cpu;
  s->memory = p->memory;
  s->requests = p->requests;
}

/* As php-fpm 8.2 prints it. */
static const char full[] =
    "{\"pool\":\"www\",\"process manager\":\"static\",\"start time\":1795599200,\"start since\":1,"
    "\"accepted conn\":12,\"listen queue\":3,\"max listen queue\":0,\"listen queue len\":0,"
    "\"idle processes\":0,\"active processes\":912,\"total processes\":912,"
    "\"max active processes\":1,\"max children reached\":4,\"slow requests\":5, \"processes\":["
    "{\"pid\":13940,\"state\":\"Idle\",\"requests\":7,\"request duration\":100990,"
    "\"script\":\"\\/srv\\/w.php\",\"last request cpu\":150.50,\"last request memory\":2097152},"
    "{\"pid\":13941,\"state\":\"Running\",\"requests\":9,\"script\":\"\\/srv\\/v.php\","
    "\"last request cpu\":0.00,\"last request memory\":0},"
    "{\"pid\":13942,\"state\":\"Idle\",\"requests\":0,\"script\":\"-\",\"last request cpu\":0.00,"
    "\"last request memory\":0}]}";

static int parse(const char *text, struct fcgi_page *page, struct seen *seen) {
  *seen = (struct seen){0};
  return fcgi_status_parse(text, strlen(text), page, on_process, seen);
}

int main(void) {
  static const char *const refused[] = {
      "",
      "File not found.",
      "pool: www\nprocess manager: static\n",
      "[]",
      "{}",
      "null",
      "{\"process manager\":\"static\"}",
      "{\"total processes\":3}",
      "{\"process manager\":1,\"total processes\":3}",
  };
  struct fcgi_page page;
  struct seen seen;
  unsigned cut_ok = 0;

  is_int(parse(full, &page, &seen), 0, "a full page");
  is_int(page.start_time, 1795599200, "start time");
  is_int(page.accepted, 12, "accepted");
  is_int(page.queue, 3, "queue");
  ok(page.idle == 2 && page.active == 1 && page.total == 3, "processes, counted one by one");
  ok(page.max_children_reached == 4 && page.slow_requests == 5, "counters");
  ok(page.fixed, "pm = static");
  is_int(seen.n, 1, "only an idle process that had a request");
  is_str(seen.script, "/srv/w.php", "its script");
  ok(seen.cpu > 1.504 && seen.cpu < 1.506, "its CPU, in cores");
  ok(seen.memory == 2097152 && seen.requests == 7, "its memory and requests");
  is_int(fcgi_status_parse(full, strlen(full), &page, NULL, NULL), 0, "processes may be left out");

  is_int(parse("{\"process manager\":\"dynamic\",\"total processes\":2,\"idle processes\":-4,"
               "\"processes\":[1,{\"requests\":1,\"state\":\"Idle\"},"
               "{\"requests\":2,\"last request cpu\":-1,\"state\":\"Idle\"}]}",
               &page, &seen),
         0, "odd values");
  ok(!page.fixed && page.total == 3 && page.idle == 2, "what is no process is not idle");
  ok(seen.n == 1 && !*seen.script, "what makes no sense is left out");
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    page.total = 77;
    is_int(parse(refused[i], &page, &seen), -EBADMSG, "no such page: \"%s\"", refused[i]);
    is_int(page.total, 77, "nothing is written");
  }
  for (size_t n = 0; n < strlen(full); n++)
    cut_ok += fcgi_status_parse(full, n, &page, on_process, &seen) == 0;
  is_int(cut_ok, 0, "a page cut anywhere is refused");
  return done_testing();
}
