/* Owns the sense of one [alert]: condition, target, and where its notices go.
 *
 * A target need not be there: a file of a node may watch what the shared configuration has, which
 * is not known yet when the node starts.
 */
#include "config/private.h"

#include "base/suggest.h"

#include <string.h>

struct target {
  const char *key, *name;
  enum kind_id id;
};

/* The only one that is set; NULL: none or several, which was told. `all` has no name. */
static bool target_find(struct build *b, const struct section *section, struct target *ret) {
  const struct alert_settings *a = section->raw;
  const struct target all[] = {{"topic", a->topic, TOPIC},
                               {"queue", a->queue, QUEUE},
                               {"system", a->system, SYSTEM},
                               {"all", a->all ? "" : NULL, KINDS}};
  size_t n = 0;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (!all[i].name || (all[i].id != KINDS && !*all[i].name)) continue;
    if (n++)
      section_fault(b, section, all[i].key, "an alert has one target; delete this or %s", ret->key);
    else
      *ret = all[i];
  }
  if (!n)
    section_fault(b, section, NULL,
                  "a target is missing; write topic = QUEUE/TOPIC, queue, system, or all = yes");
  return n == 1;
}

static void target_missing(struct build *b, const struct section *section, const struct target *t) {
  char text[512];
  struct suggest near = {.want = t->name};
  for (const struct section *i = b->sections[t->id]; i && !faults_many(b->faults); i = i->next)
    suggest_offer(&near, i->name);
  snprintf(text, sizeof text, "there is no [%s %.257s]%s%.257s%s", kind_get(t->id)->name, t->name,
           near.best ? "; did you mean " : "", near.best ? near.best : "", near.best ? "?" : "");
  if (section->shared)
    section_lack(b, section, t->key, "%s", text);
  else if (b->shared_file || b->sections[CLUSTER])
    section_warn(b, section, t->key, "%s", text);
  else
    section_fault(b, section, t->key, "%s", text);
}

/* Whose rights a look at it, or a silence, needs. */
static const char *target_system(struct build *b, const struct target *t) {
  if (t->id == SYSTEM) return t->name;
  if (t->id == KINDS) return "";
  const struct section *queue = name_index_get(&b->names[QUEUE], t->name, strcspn(t->name, "/"));
  const struct queue_raw *q = queue ? queue->raw : NULL;
  return q && q->s.system ? q->s.system->name : "";
}

static void target_check(struct build *b, const struct section *section, const struct target *t) {
  struct alert_raw *a = section->raw;
  enum alert_metric m = a->s.when.metric;
  if (t->id != KINDS && !name_index_get(&b->names[t->id], t->name, strlen(t->name)))
    target_missing(b, section, t);
  if ((m == ALERT_NODE_AWAY || m == ALERT_REVISION_BEHIND) && t->id != KINDS)
    section_fault(b, section, t->key, "%s is about all nodes; write all = yes in place of this",
                  alert_metric_names[m]);
  if (m == ALERT_STORAGE_DOWN && t->id != KINDS && t->id != SYSTEM)
    section_fault(b, section, t->key,
                  "storage_down is about storages; write system = NAME or all = yes");
  a->s.of = target_system(b, t);
}

static bool has_user(const char *url) {
  const char *at = strstr(url, "://");
  return at && memchr(at + 3, '@', strcspn(at + 3, "/?#"));
}

static void notice_check(struct build *b, const struct section *section) {
  const struct alert_settings *a = section->raw;
  if (*a->webhook && strncmp(a->webhook, "https://", 8) != 0 &&
      strncmp(a->webhook, "http://", 7) != 0)
    section_fault(b, section, "webhook", "write https://HOST/PATH or http://HOST/PATH");
  else if (*a->webhook && has_user(a->webhook))
    section_fault(b, section, NULL, /* without the value: the password is in it */
                  "the URL of webhook has a user or a password, which everybody could see here; "
                  "sign with webhook_secret in place of that");
  if (*a->webhook && *a->exec)
    section_fault(b, section, "exec", "an alert has a webhook or a command; write two alerts");
  if (*a->webhook_secret && !*a->webhook)
    section_warn(b, section, "webhook_secret", "nothing is signed with it: there is no webhook");
  if (!has_user(a->webhook)) shared_alert_check(b, section);
}

void rules_alert_check(struct build *b, const struct section *section) {
  struct alert_raw *a = section->raw;
  struct target target = {0};
  char why[OPTION_TEXT_MAX];
  a->s.of = "";
  if (*a->s.when_text && alert_when_parse(a->s.when_text, &a->s.when, why, sizeof why))
    section_fault(b, section, "when", "%s", why);
  if (target_find(b, section, &target)) target_check(b, section, &target);
  notice_check(b, section);
  if (!section->lack) return;
  a->s.broken = section->lack;
  shared_broken_add(b, section, section->lack);
}
