/* Owns the words in which ids are taken apart: pure, no broker needed. */
#include "job/id_json.h"

#include "job/id.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* "<id>-<IPv4 as decimal>-<port>"; false: not of that form. */
static bool trace_split(const char *text, char *id, size_t size, struct gateway *ret) {
  char *end;
  const char *dash = strchr(text, '-');
  if (!dash || (size_t)(dash - text) >= size) return false;
  memcpy(id, text, (size_t)(dash - text));
  id[dash - text] = 0;
  const char *ip_text = dash + 1;
  if (*ip_text < '0' || *ip_text > '9') return false;
  errno = 0;
  unsigned long long ip = strtoull(ip_text, &end, 10);
  if (*end != '-' || ip > UINT32_MAX || errno) return false;
  const char *port_text = end + 1;
  if (*port_text < '0' || *port_text > '9') return false;
  unsigned long port = strtoul(port_text, &end, 10);
  if (*end || port > UINT16_MAX || errno) return false;
  *ret = (struct gateway){.ipv4 = (uint32_t)ip, .port = (uint16_t)port};
  return true;
}

static json_t *time_json(uint64_t unix_ms) {
  struct tm tm;
  char day[32];
  time_t s = (time_t)(unix_ms / 1000);
  if (!gmtime_r(&s, &tm) || !strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm))
    return json_null();
  return json_sprintf("%s.%03uZ", day, (unsigned)(unix_ms % 1000));
}

json_t *id_json(const char *text) {
  uint64_t id;
  struct gateway g = {0};
  struct id_parts parts;
  char inner[ID_DISQUE_LEN + 1], decimal[ID_TEXT_MAX], disque[ID_DISQUE_LEN + 1];
  bool trace = strncmp(text, "D-", 2) != 0 && trace_split(text, inner, sizeof inner, &g);
  const char *given = trace ? inner : text;
  if (!id_parse(given, strlen(given), &id)) return NULL;
  id_decode(id, &parts);
  id_format(id, decimal);
  id_format_disque(id, disque);
  json_t *o = json_object();
  json_object_set_new(o, "id", json_string(decimal));
  json_object_set_new(o, "disque_id", json_string(disque));
  json_object_set_new(o, "unix_ms", json_integer((json_int_t)parts.unix_ms));
  json_object_set_new(o, "time", time_json(parts.unix_ms));
  json_object_set_new(o, "shard", json_integer(parts.shard));
  json_object_set_new(o, "sequence", json_integer(parts.sequence));
  if (trace) {
    char host[INET_ADDRSTRLEN];
    struct in_addr ip = {.s_addr = htonl(g.ipv4)};
    inet_ntop(AF_INET, &ip, host, sizeof host);
    json_object_set_new(o, "trace", json_string(text));
    json_object_set_new(o, "gateway", json_sprintf("%s:%u", host, g.port));
  }
  return o;
}
