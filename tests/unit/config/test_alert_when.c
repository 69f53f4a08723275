/* core/config/alert_when.c: conditions that can be read, and sentences about those that cannot. */
#include "tap.h"
#include "config/alert_when.h"

#include <errno.h>
#include <string.h>

static void reads(const char *text, enum alert_metric metric, uint64_t over, uint64_t for_ms) {
  struct alert_when w;
  char why[256] = "";
  is_int(alert_when_parse(text, &w, why, sizeof why), 0, "%s can be read: %s", text, why);
  is_int(w.metric, metric, "its metric");
  is_int((long long)w.over, (long long)over, "its threshold");
  is_int((long long)w.for_ms, (long long)for_ms, "its time");
}

static void refuses(const char *text, const char *part) {
  struct alert_when w = {.over = 77};
  char why[256] = "";
  is_int(alert_when_parse(text, &w, why, sizeof why), -EINVAL, "\"%s\" is refused", text);
  ok(strstr(why, part), "it says: %s", why);
  is_int((long long)w.over, 77, "and nothing was written");
}

int main(void) {
  reads("ready > 10000 for 2m", ALERT_READY, 10000, 120000);
  reads("  running>3 for\t90s ", ALERT_RUNNING, 3, 90000);
  reads("oldest > 5m for 1m", ALERT_OLDEST, 300000, 60000);
  reads("failed/min > 20 for 5m", ALERT_FAILED, 20, 300000);
  reads("dead > 0 for 1s", ALERT_DEAD, 0, 1000);
  reads("unreachable for 1m", ALERT_UNREACHABLE, 0, 60000);
  reads("node_away for 30s", ALERT_NODE_AWAY, 0, 30000);
  reads("storage_down for 1m", ALERT_STORAGE_DOWN, 0, 60000);
  reads("revision_behind for 10m", ALERT_REVISION_BEHIND, 0, 600000);
  refuses("", "a condition begins with ready");
  refuses("redy > 3 for 1m", "did you mean ready?");
  refuses("> 3 for 1m", "a condition begins with");
  refuses("ready > for 1m", "number");
  refuses("ready > -1 for 1m", "0 to");
  refuses("ready 3 for 1m", "it ends with for DURATION");
  refuses("ready > 3", "it ends with for DURATION");
  refuses("ready > 3 for", "the value is missing");
  refuses("ready > 3 for 1", "");
  refuses("ready > 3 for 10ms", "");
  refuses("ready > 3 for 1m again", "delete again");
  refuses("oldest for 1m", "write oldest > 5m for 1m");
  refuses("oldest > 3 for 1m", "");
  refuses("a-word-that-is-longer-than-any-metric-has-ever-been-so-far for 1m", "");
  return done_testing();
}
